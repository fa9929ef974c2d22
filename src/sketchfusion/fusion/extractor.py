"""The whole architecture on one screen (paper Fig. 2).

    pictures -> canvas -> patch encoder -------> injector
                      \\-> VAE -> noise -> UNet blocks <-' -> taps -> aggregation -> feature map -> descriptor
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal, Self

import torch
from PIL import Image
from torch import Tensor, nn

from sketchfusion.backbones.base import DenoisingBackbone, PatchEncoder, checkpoint_blocks
from sketchfusion.backbones.build import build_backbones
from sketchfusion.backbones.noise import content_keys
from sketchfusion.canvas import Canvas, Color, Kind, even_ink, place_on_canvas, read_canvas
from sketchfusion.config import PATCHES, ExtractorConfig, digest
from sketchfusion.errors import ConfigError
from sketchfusion.features import Encoded, FeaturePyramid, Features
from sketchfusion.fusion import checkpoint
from sketchfusion.fusion.aggregation import AggregationNetwork
from sketchfusion.fusion.descriptor import content_mask, pool
from sketchfusion.fusion.heads import Heads
from sketchfusion.fusion.injection import FeatureInjector
from sketchfusion.images import Picture, as_image, each_picture
from sketchfusion.sketches import on_paper, read_sketch

FUSION, HEADS = ("injector.", "aggregator."), ("heads.",)
BACKBONES = ("encoder.", "diffusion.unet.")  # what learns too where ``finetune`` is set; the VAE never does


class SketchFusion(nn.Module):
    """Frozen backbones, learned injection and aggregation; the parts are built outside and handed in.

    ``from_pretrained`` assembles one by name. ``features`` and ``describe`` take pictures; ``forward`` takes tensors
    and records gradients unless the caller says otherwise.
    """

    name = "custom"
    overrides: tuple[str, ...] = ()
    is_trained = False

    def __init__(self, encoder: PatchEncoder, diffusion: DenoisingBackbone, config: ExtractorConfig) -> None:
        """
        Args:
            encoder, diffusion: frozen backbones, built for this configuration.
            config: the settings; injection and aggregation are made from them, seeded by ``diffusion.seed``.
        """
        super().__init__()
        self.config, self.encoder, self.diffusion = config, encoder, diffusion
        self.rounded_from: dict[str, str] = {}  # digest of rounded learned weights -> digest of the exact ones
        self.learn_anew(config.diffusion.seed)
        for name, parameter in self.named_parameters():
            if config.finetune and name.startswith(BACKBONES):
                parameter.requires_grad_(True)

    def forward(self, images_01: Tensor, content: Tensor | None = None, keys: Sequence[str] | None = None) -> Features:
        """
        Args:
            images_01: (B, 3, S, S) in [0, 1], S the canvas size.
            content: (B, 4) boxes of the pictures on their canvases; None: they fill them.
            keys: B strings that the noise of each image depends on; None: made from the pixels.
        Returns:
            Feature map (B, D, Hf, Wf) and descriptors (B, D).
        """
        return self.fuse(self.encode(images_01, keys), content)

    def encode(self, images_01: Tensor, keys: Sequence[str] | None = None, *, always_patches: bool = False,
               without: Collection[Literal["latents", "patches"]] = ()) -> Encoded:
        """The frozen encoders' part of ``forward``: latents and patch features; arguments as there.

        Args:
            always_patches: give the patch features also where they have no part in this model's features.
            without: what is not wanted now, so that its network is not run.
        """
        self._check_canvas(images_01)
        keys = content_keys(images_01) if keys is None else keys
        images_01 = images_01.to(self.device)
        wanted = (self.uses_patches or always_patches) and "patches" not in without
        patches = self.encoder.patch_features(images_01) if wanted else None
        latents = images_01.new_empty(len(images_01), 0) if "latents" in without else \
            self.diffusion.encode(images_01, keys)
        return Encoded(latents, patches, keys)

    def fuse(self, encoded: Encoded, content: Tensor | None = None) -> Features:
        """The rest of ``forward``: everything that depends on what is learned; ``content`` as there."""
        feature_map = self.aggregator(self.pyramids(encoded))
        mask = None if content is None else content_mask(
            content.to(self.device), self.canvas_size, (feature_map.shape[2], feature_map.shape[3]))
        return Features(feature_map, pool(feature_map, mask, self.config.descriptor))

    def pyramids(self, encoded: Encoded) -> list[FeaturePyramid]:
        """The injected taps before aggregation: tap name -> (B, C, Hf, Wf), for each timestep."""
        patches = encoded.patch_features
        injection = self.injector(patches) if patches is not None and self.injector.channels else None
        pyramids = self.diffusion.forward_taps(encoded.latents, encoded.keys, injection)
        if patches is None or PATCHES not in self.config.aggregation.taps:
            return pyramids
        return [{**pyramid, PATCHES: patches} for pyramid in pyramids]

    @torch.no_grad()
    def features(self, pictures: Iterable[Picture] | Picture, *, kind: Kind = "photo", batch_size: int = 8) -> Features:
        """Dense features and descriptors of pictures, on the CPU in float32.

        Args:
            pictures: paths, PIL images, arrays or tensors (``images.as_image``); one or many, any sizes. A path of a
                sketch may lead to SVG or Quick, Draw! ndjson too (``sketches.read_sketch``).
            kind: "photo" or "sketch"; decides the colour of the padding.
            batch_size: pictures that pass the networks together.
        Raises:
            ImageError: a picture cannot be read, a sketch is blank, or there is none.
        """
        parts = [self.features_of(canvas) for canvas in self.canvases(pictures, kind, batch_size)]
        return Features(torch.cat([part.feature_map for part in parts]), torch.cat([part.descriptor for part in parts]))

    @torch.no_grad()
    def describe(self, pictures: Iterable[Picture] | Picture, *, kind: Kind = "photo", batch_size: int = 8) -> Tensor:
        """Descriptors alone, (B, D) float32 of unit length on the CPU; arguments as in ``features``."""
        return torch.cat([self.describe_canvas(canvas) for canvas in self.canvases(pictures, kind, batch_size)])

    @torch.no_grad()
    def features_of(self, canvas: Canvas) -> Features:
        """Features of one batch of canvases, on the CPU in float32."""
        found: Features = self(canvas.images_01, canvas.content)
        return Features(found.feature_map.float().cpu(), found.descriptor.cpu())

    @torch.no_grad()
    def describe_canvas(self, canvas: Canvas) -> Tensor:
        """(B, D) float32 descriptors of one batch of canvases, of unit length on the CPU."""
        found: Features = self(canvas.images_01, canvas.content)
        return found.descriptor.cpu()

    @classmethod
    def from_config(cls, config: ExtractorConfig) -> Self:
        """Assemble the parts that a configuration names, with a fusion that has not been trained."""
        return cls(*build_backbones(config), config)

    @classmethod
    def from_pretrained(cls, model: str | os.PathLike[str], *, overrides: Sequence[str] = (), device: str = "auto",
                        dtype: str = "auto", compiled: bool = False) -> Self:
        """A preset by name, a configuration file (.yaml), or a folder written by ``save_pretrained``.

        Args:
            overrides: settings ``"a.b=c"``; on a saved folder too, where one that shapes features changes the
                fingerprint.
            device: "auto" (CUDA, then Apple's MPS, then CPU), or a torch device such as "cuda:1".
            dtype: "auto" (bfloat16 on CUDA, else float32), "float32", "bfloat16" or "float16".
            compiled: compile the repeated blocks; pays off on a GPU and many pictures.
        Raises:
            ConfigError, WeightsUnavailable, DeviceError: with what to do.
        """
        built = checkpoint.load(cls, model, overrides)
        return checkpoint.place(built, device=device, dtype=dtype, compiled=compiled)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Write what was learned, the settings and the backbones' identity; the frozen weights stay where they are."""
        return checkpoint.save(self, Path(folder))

    @property
    def fingerprint(self) -> str:
        """Identity of everything that shapes a feature: settings, frozen weights and learned weights."""
        return digest([checkpoint.FEATURES, self.config.shaping(), self.encoder.identity, self.diffusion.identity,
                       checkpoint.learned_digest(self)])

    @property
    def uses_patches(self) -> bool:
        """Whether the patch encoder has a part in the features: injected, or as a tap."""
        return bool(self.injector.channels) or PATCHES in self.config.aggregation.taps

    @property
    def descriptor_size(self) -> int:
        """D."""
        return self.config.aggregation.out_channels

    @property
    def canvas_size(self) -> int:
        """S, side of the canvas in pixels."""
        return self.config.canvas.size

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.encoder.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the backbones."""
        return next(self.encoder.parameters()).dtype

    def place(self, image: Image.Image, kind: Kind, size: tuple[int, int] | None = None) -> Canvas:
        """An RGB picture on this model's canvas.

        Args:
            size: (height, width) of the upright original, where ``image`` was decoded at a smaller one.
        """
        return self._inked(place_on_canvas(image, self.canvas_size, self.padding(kind), size=size), kind)

    def read(self, picture: Picture, kind: Kind) -> Canvas:
        """One picture of any form on this model's canvas; arguments and errors as ``features``."""
        return self._inked(read_canvas(as_kind(picture, kind), self.canvas_size, self.padding(kind)), kind)

    def padding(self, kind: Kind) -> Color:
        """Colour of the bars beside a photo or sketch."""
        return self.config.canvas.padding(kind)

    def learned(self, *, heads: bool = True) -> dict[str, Tensor]:
        """Name -> tensor of everything that training changes; without the heads, all of it that shapes features."""
        learned = FUSION + (HEADS if heads else ()) + (BACKBONES if self.config.finetune else ())
        return {name: value for name, value in self.state_dict().items() if name.startswith(learned)}

    def learn_anew(self, seed: int, class_names: Sequence[str] = ()) -> None:
        """Injection, aggregation and heads as they are before any training, on the CPU; backbones stay as they are.

        Args:
            seed: of the random numbers.
            class_names: what the recognition head tells apart; none: there is no such head.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            blocks, config, patches = self.diffusion.blocks, self.config, self.encoder.patch_info
            self.injector = FeatureInjector(config.injection, patches.channels, blocks)
            self.aggregator = AggregationNetwork(config.aggregation, {**blocks, PATCHES: patches},
                                                 len(self.diffusion.timesteps))
            self.heads = Heads(config.heads, self.descriptor_size, class_names)
        self.is_trained = False

    def enable_gradient_checkpointing(self) -> None:
        """Compute blocks of UNet and aggregation again in the backward pass: slower, far less memory."""
        checkpoint_blocks(self.diffusion)
        self.aggregator.enable_gradient_checkpointing()

    def set_prompt(self, prompt: str) -> None:
        """Condition the diffusion model on another prompt; it becomes part of settings and fingerprint.

        Raises:
            WeightsUnavailable: the checkpoint's text encoder is not there.
        """
        self.diffusion.set_prompt(prompt)
        changed = self.config.diffusion.model_copy(update={"prompt": prompt})
        self.config = self.config.model_copy(update={"diffusion": changed})
        others = tuple(override for override in self.overrides if not override.startswith("diffusion.prompt="))
        self.overrides = (*others, f"diffusion.prompt={json.dumps(prompt)}")

    def canvases(self, pictures: Iterable[Picture] | Picture, kind: Kind, batch_size: int = 8) -> Iterator[Canvas]:
        """Batches of pictures on this model's canvas, read as they are needed; arguments and errors as ``features``."""
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, got {batch_size}")
        remaining = iter(each_picture(pictures))
        while batch := list(islice(remaining, batch_size)):
            yield Canvas.stack([self.read(picture, kind) for picture in batch])

    def _inked(self, canvas: Canvas, kind: Kind) -> Canvas:
        return even_ink(canvas) if kind == "sketch" and self.config.canvas.ink == "even" else canvas

    def _check_canvas(self, images_01: Tensor) -> None:
        expected = (3, self.canvas_size, self.canvas_size)
        if images_01.ndim != 4 or tuple(images_01.shape[1:]) != expected:
            raise ConfigError(f"forward expects (B, {', '.join(map(str, expected))}) for this model, got "
                              f"{tuple(images_01.shape)}; features() and describe() take pictures of any size")


def as_kind(picture: Picture, kind: Kind) -> Picture:
    """A photo as it is; a sketch read as sketches are, drawn on white paper, and not blank."""
    if kind == "photo":
        return picture
    if isinstance(picture, (str, os.PathLike)):
        return read_sketch(picture)
    return on_paper(as_image(picture), "the sketch")
