"""A describer that is quick and yet tells pictures apart: coarse layout and colours, projected."""

from __future__ import annotations

import itertools
import time

import torch
from PIL import Image
from torch import Tensor

from sketchfusion.canvas import Canvas, Kind, place_on_canvas
from sketchfusion.config import CanvasConfig
from sketchfusion.features import Features


class FakeDescriber:
    """``index.describer.Describer`` without a network; counts what passes and can be slow or wrong on demand."""

    def __init__(self, *, size: int = 32, seed: int = 0, delay_s: float = 0.0) -> None:
        self.fingerprint = f"fake-{size}-{seed}"
        self.name, self.overrides = "fake", ("some.setting=1",)
        self.descriptor_size, self.canvas_size, self.delay_s = size, 48, delay_s
        self.projection = torch.randn(64 + 12, size, generator=torch.Generator().manual_seed(seed))
        self.batches: list[int] = []
        self.spoil: int | None = None  # row of each batch that comes out as NaN

    @property
    def num_described(self) -> int:
        return sum(self.batches)

    def place(self, image: Image.Image, kind: Kind, size: tuple[int, int] | None = None) -> Canvas:
        return place_on_canvas(image, self.canvas_size, CanvasConfig(size=48).padding(kind), size=size)

    def describe_canvas(self, canvas: Canvas) -> Tensor:
        time.sleep(self.delay_s)
        self.batches.append(len(canvas))
        images = canvas.images_01
        grey = torch.nn.functional.adaptive_avg_pool2d(images.mean(1, keepdim=True), 8).flatten(1)
        edges = torch.linspace(0, 1, 5)
        colours = torch.stack([((images >= low) & (images <= high)).float().mean((2, 3))
                               for low, high in itertools.pairwise(edges)], 1).flatten(1)
        features = torch.cat([grey - grey.mean(1, keepdim=True), colours], 1) @ self.projection
        descriptors = torch.nn.functional.normalize(features, dim=1)
        if self.spoil is not None:
            descriptors[self.spoil] = float("nan")
        return descriptors

    def features_of(self, canvas: Canvas) -> Features:
        """The descriptors, and a map of 4 x 4 cells that depend on the pixels below them."""
        descriptors = self.describe_canvas(canvas)
        colours = torch.nn.functional.adaptive_avg_pool2d(canvas.images_01, 4)
        return Features(torch.einsum("bchw,cd->bdhw", colours, self.projection[:3]) + 0.1, descriptors)
