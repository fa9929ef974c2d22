"""A recipe's model as training has it, and the loss of a batch: with real tensors, or from their shapes alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from measuring import weight_bytes
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from sketchfusion.backbones.build import shape_backbones
from sketchfusion.config import Preset, load_preset
from sketchfusion.engine.batches import Dense
from sketchfusion.engine.fusion_recipe import FusionRecipe
from sketchfusion.engine.objective import Objective, Seen
from sketchfusion.features import Encoded
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.tasks.correspondence import NUM_POINTS

ROOT = Path(__file__).resolve().parents[1]
CLASSES = 345  # that the recognition head tells apart: Quick, Draw!'s


@dataclass
class Bench:
    """A recipe and its model.

    Attributes:
        mode: what the model is to be run in: shapes alone, or nothing special.
    """

    recipe: FusionRecipe
    preset: Preset
    model: SketchFusion
    mode: AbstractContextManager[Any]

    @property
    def frozen(self) -> dict[str, int]:
        """Part -> bytes."""
        diffusion: Any = self.model.diffusion
        return {"UNet": weight_bytes(diffusion.unet), "VAE encoder": weight_bytes(diffusion.vae),
                "patch encoder": weight_bytes(self.model.encoder)}

    @property
    def learned(self) -> dict[str, int]:
        """Part -> bytes of its weights."""
        return {"injection": weight_bytes(self.model.injector), "aggregation": weight_bytes(self.model.aggregator),
                "heads": weight_bytes(self.model.heads)}

    @property
    def fixed(self) -> dict[str, int]:
        """What lies on the device all the time: part -> bytes."""
        copies = 4 + bool(self.recipe.training.ema)  # weights, gradients, two moments, average
        return {**self.frozen, "learned, gradients, moments, average": copies * sum(self.learned.values())}

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(4, h, w)."""
        diffusion: Any = self.model.diffusion
        side = self.model.canvas_size // diffusion.latent_stride
        return int(diffusion.vae.config.latent_channels), side, side

    @property
    def patch_shape(self) -> tuple[int, int, int]:
        """(C, Hp, Wp)."""
        info, spec = self.model.encoder.patch_info, self.model.encoder.input_spec
        return info.channels, spec.size // info.stride, spec.size // info.stride


def build(recipe: FusionRecipe, *, shapes_only: bool = True, classes: int = CLASSES,
          frozen: torch.dtype = torch.float32) -> Bench:
    """The recipe's model as training has it.

    Args:
        shapes_only: tensors without memory; otherwise real ones on the CPU, with random weights.
        frozen: number format of the UNet; training leaves it in single precision.
    """
    preset = load_preset(recipe.model, recipe.settings)
    encoder, diffusion = shape_backbones(preset.extractor, diffusion=preset.architectures["diffusion"],
                                         encoder=preset.architectures["encoder"],
                                         device="meta" if shapes_only else "cpu")
    model = SketchFusion(encoder, diffusion, preset.extractor)
    model.learn_anew(recipe.seed, [str(index) for index in range(classes)] if "recognition" in recipe.tasks.weights
                     else [])
    nn.Module.to(diffusion.unet, frozen)  # diffusers' own warns
    mode: AbstractContextManager[Any] = nullcontext()
    if shapes_only:
        mode = FakeTensorMode()
        with mode:
            without_memory(model)
    if recipe.training.gradient_checkpointing:
        model.enable_gradient_checkpointing()
    return Bench(recipe, preset, model.train(), mode)


def without_memory(model: nn.Module) -> None:
    """Every tensor of the model by one of its shape, which under ``FakeTensorMode`` holds nothing."""
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            empty = torch.empty(weight.shape, dtype=weight.dtype)
            module.register_parameter(name, nn.Parameter(empty, requires_grad=weight.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            module.register_buffer(name, torch.empty(buffer.shape, dtype=buffer.dtype),
                                   persistent=name not in module._non_persistent_buffers_set)


def at_hand(bench: Bench, pictures: int) -> Encoded:
    """What ``EncodedSide.take`` gives, all 0."""
    return Encoded(torch.zeros(pictures, *bench.latent_shape), torch.zeros(pictures, *bench.patch_shape),
                   [""] * pictures)


def loss_of(bench: Bench, pairs: int, give: Callable[[Bench, int], Encoded] = at_hand) -> Tensor:
    """The loss of a batch of so many pairs, as ``train_fusion.FusionLearner`` makes it.

    All pairs of the same thing have masks and key points, which is the most that there can be.

    Args:
        give: so many encoded pictures.
    """
    recipe, model = bench.recipe, bench.model
    slots = recipe.pairs.slots(recipe.tasks, pairs)
    photos = slots["instance"] + slots["category"]
    sketches, side = photos + 2 * slots["sketch"], model.canvas_size
    on_sketches, on_photos = boxes(sketches, side), boxes(photos, side)
    seen = Seen(
        sketches=model.fuse(give(bench, sketches), on_sketches), photos=model.fuse(give(bench, photos), on_photos),
        sketch_content=on_sketches, photo_content=on_photos,
        sketch_classes=zeros_long(sketches), photo_classes=zeros_long(photos),
        instances=torch.arange(photos), num_instances=slots["instance"], targets=zeros_long(sketches),
        dense=dense_of(slots["instance"], side), canvas_size=side,
        temperature=model.config.heads.correspondence.temperature)
    return Objective(recipe.tasks)(seen, model.heads, torch.Generator())[0]


def dense_of(count: int, side: int) -> Dense:
    """The first ``count`` pairs have masks and key points."""
    points = torch.zeros(count, NUM_POINTS, 2)
    return Dense(torch.arange(count), torch.zeros(count, side, side), points, points,
                 torch.ones(count, NUM_POINTS, dtype=torch.bool))


def boxes(count: int, side: int) -> Tensor:
    """(count, 4), the whole canvas."""
    return torch.tensor([[0.0, 0.0, side, side]]).expand(count, -1)


def zeros_long(count: int) -> Tensor:
    """(count,)."""
    return torch.zeros(count, dtype=torch.long)
