"""The packed data as the frozen encoders see them, made once and kept on disk: only the fusion learns.

What takes room is written as it is made and read as it is needed, so it never has to fit into memory.
Where the patch encoder learns too, pictures are kept in the place of its features; the VAE never learns.

Kinds vanish here: there are sketches and there are photos.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sketchfusion.config import digest
from sketchfusion.data.packed.augment import Placement, ViewConfig
from sketchfusion.data.packed.corpus import Corpus, ItemSet, PictureSet, spread
from sketchfusion.data.packed.sampling import generator_for
from sketchfusion.engine.pairs import Labels
from sketchfusion.engine.parts import Begin, InMemory, OnDisk, mapped
from sketchfusion.errors import ConfigError, DataError
from sketchfusion.features import Encoded
from sketchfusion.fusion.extractor import SketchFusion

SIDES = {"sketches": ("drawing", "sketch", "icon"), "photos": ("photo", "emoji")}
LARGE = ("latents", "patch_features", "images")  # a file of its own each
CHUNK = 64
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EncodedSide:
    """All sketches, or all photos.

    Attributes:
        latents: (V, N, 4, h, w), V views of each picture.
        patch_features: (V, N, C, Hp, Wp), also where the model injects none: its variants share what was encoded.
            (V, N, 0) where the patch encoder learns too.
        content: (N, 4) boxes of the pictures on their own canvases, before a view moves them; see ``shown``.
        class_ids, instance_ids, kinds: (N,) long; ``kinds`` counts those of the side in ``SIDES``.
        rows: (N,) long, place of the picture among those of its kind in the corpus.
        theta: (V, N, 2, 3), how each view was placed; see ``augment.Placement``.
        sample_ids, mask_ids: (N,) long; keypoints: (N, K, 4); masks: (M, S, S) bool; see ``corpus.PictureSet``.
        images: (K * N, 3, S, S) uint8, the first K views, one view after the other. All of them where the patch
            encoder learns too, otherwise the first where it was to be kept, or none.
    """

    latents: Tensor
    patch_features: Tensor
    content: Tensor
    class_ids: Tensor
    instance_ids: Tensor
    kinds: Tensor
    rows: Tensor
    theta: Tensor
    sample_ids: Tensor
    mask_ids: Tensor
    keypoints: Tensor
    masks: Tensor
    images: Tensor

    def __len__(self) -> int:
        return len(self.class_ids)

    def take(self, rows: Tensor, views: Tensor, model: SketchFusion) -> tuple[Encoded, Tensor]:
        """(B,) rows and views -> what ``SketchFusion.fuse`` takes, on the model's device, and (B, 4) boxes ``shown``.

        Of a patch encoder that learns too, the features are made now, and record gradients unless the caller says
        otherwise.
        """
        keys = [f"{row}:{view}" for row, view in zip(rows.tolist(), views.tolist(), strict=True)]

        def placed(kept: Tensor) -> Tensor:
            return kept[views, rows].to(model.device, model.dtype)

        boxes = self.shown(rows, views)
        if not model.config.finetune:
            return Encoded(placed(self.latents), placed(self.patch_features), keys), boxes
        images = self.images[views * len(self) + rows].to(model.device).float() / 255
        patches = model.encoder.patch_features(images) if model.uses_patches else None
        return Encoded(placed(self.latents), patches, keys), boxes

    def shown(self, rows: Tensor, views: Tensor) -> Tensor:
        """(B,) rows and views -> (B, 4) boxes of the pictures where these views show them."""
        return moved_boxes(self.content[rows], self.theta[views, rows], self.masks.shape[-1])

    def labels(self, weights: Mapping[str, float], side: str) -> Labels:
        """For the sampler; ``weights`` by kind."""
        by_kind = np.array([weights.get(kind, 1.0) for kind in SIDES[side]])
        return Labels(self.class_ids.numpy(), self.instance_ids.numpy(), self.sample_ids.numpy(),
                      by_kind[self.kinds.numpy()])


@torch.no_grad()
def encode_side(model: SketchFusion, corpus: Corpus, side: str, views: Mapping[str, ViewConfig], *, num_views: int,
                seed: int, most: int = 0, samples: Tensor | None = None,
                keep_images: bool = False, on_progress: Progress | None = None,
                begin: Begin = InMemory) -> EncodedSide:
    """Encode every picture of a side, or ``most`` of each kind, evenly spread, and all of these samples.

    Args:
        side: "sketches" or "photos".
        views: kind -> augmentation.
        num_views: of each picture; every other one is mirrored, unless the augmentation does not mirror.
        samples: ids of photos and sketches that belong together.
        keep_images: the first view of each, to look at later. Of a model whose patch encoder learns too, all views
            are kept instead of its features.
        begin: where what is ``LARGE`` goes, in parts of ``CHUNK`` pictures.
    Raises:
        ConfigError: the corpus holds no picture of this side.
    """
    found = [(number, kind) for number, kind in enumerate(SIDES[side]) if kind in corpus.sets]
    if not found:
        raise ConfigError(f"the data hold no {side} ({', '.join(SIDES[side])}); name some in data.mix")
    chosen = {kind: _chosen(corpus.sets[kind], most, samples) for _, kind in found}
    count, done, theta = sum(map(len, chosen.values())), 0, []
    views_kept = num_views if model.config.finetune else int(keep_images)
    latents, patches = (begin(name, (num_views, count)) for name in ("latents", "patch_features"))
    kept = begin("images", (views_kept * count,))
    kept.append(torch.zeros(0, 3, model.canvas_size, model.canvas_size, dtype=torch.uint8))
    for view in range(num_views):
        for _, kind in found:
            shown = views[kind].model_copy(update={"flip": float(view % 2) if views[kind].flip else 0.0})
            for index, part in enumerate(chosen[kind].split(CHUNK)):
                items, key = corpus.sets[kind], (seed, kind, view, index)
                images = items.render(part, shown, generator_for(part.device, *key))
                theta.append(items.place(part, shown, generator_for(part.device, *key)).theta.cpu())
                encoded = model.encode(images, keys=[str(row) for row in part.tolist()], always_patches=True,
                                       without=["patches"] if model.config.finetune else [])
                latents.append(encoded.latents.half().cpu())
                patches.append(torch.empty(len(part), 0) if encoded.patch_features is None
                               else encoded.patch_features.half().cpu())
                if view < views_kept:
                    kept.append((images * 255).round().to(torch.uint8).cpu())
                done += len(part)
                if on_progress:
                    on_progress(done, num_views * count)
    sets = [(number, corpus.sets[kind], chosen[kind]) for number, kind in found]
    return EncodedSide(
        latents.whole(),
        patches.whole(),
        torch.cat([_content(items, rows, model.canvas_size) for _, items, rows in sets]).cpu(),
        torch.cat([items.class_ids[rows] for _, items, rows in sets]).cpu(),
        torch.cat([items.instance_ids[rows] for _, items, rows in sets]).cpu(),
        torch.cat([torch.full((len(rows),), number) for number, _, rows in sets]),
        torch.cat([rows for _, _, rows in sets]).cpu(),
        torch.cat(theta).unflatten(0, (num_views, -1)),
        torch.cat([items.sample_ids[rows] for _, items, rows in sets]).cpu(),
        torch.cat([items.mask_ids[rows] for _, items, rows in sets]).cpu(),
        torch.cat([items.keypoints[rows] for _, items, rows in sets]).cpu(),
        corpus.masks.cpu(),
        kept.whole())


def cached_side(folder: Path, key: object, make: Callable[[Begin], EncodedSide]) -> EncodedSide:
    """The side from the cache, or made and put there, part by part.

    Args:
        key: plain data that tells everything that shapes the side.
        make: is given where what is ``LARGE`` goes.
    Raises:
        DataError: it cannot be written.
    """
    file = folder / f"{digest(key)}.safetensors"
    if file.is_file():
        try:
            return read_side(file)
        except (OSError, ValueError, SafetensorError):
            file.unlink()  # torn by a full disk: made anew
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as building:
            place = Path(building)
            side = make(partial(OnDisk, place))
            save_file({name: value.contiguous() for name, value in vars(side).items() if name not in LARGE},
                      place / file.name)
            for name in LARGE:
                (place / f"{name}.npy").replace(beside(file, name))
            (place / file.name).replace(file)  # last: where it is, all is
        return read_side(file)
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot write encoded pictures to {folder}: {error}; check permissions and room, or name "
                        "another folder as the recipe's cache") from None


def read_side(file: Path) -> EncodedSide:
    """A side of the cache; older ones have everything in one file.

    Raises:
        OSError, ValueError, SafetensorError: one of its files is not there or not whole.
    """
    kept = load_file(file)
    return EncodedSide(**{name: kept[name] if name in kept else mapped(beside(file, name))
                          for name in (field.name for field in fields(EncodedSide))})


def beside(file: Path, name: str) -> Path:
    """Where a tensor of a side lies that has a file of its own."""
    return file.with_suffix(f".{name}.npy")


def encoding_identity(model: SketchFusion) -> dict[str, object]:
    """What of an extractor shapes its latents and patch features: frozen weights, canvas, sampling of the VAE."""
    return {"encoder": "learns too" if model.config.finetune else model.encoder.identity,
            "diffusion": model.diffusion.identity,
            "canvas": model.config.canvas.model_dump(mode="json", exclude={"ink"}),  # packed drawings are dark
            "latents": bool(model.config.aggregation.unet_taps),
            "settings": [model.config.encoder.model_dump(mode="json", exclude={"source"}),
                         model.config.diffusion.vae_sampling, list(model.config.diffusion.value_range),
                         model.config.diffusion.seed], "dtype": str(model.dtype)}


def moved_boxes(content: Tensor, theta: Tensor, side: int) -> Tensor:
    """Boxes of pictures after they were placed anew: upright, around the moved corners, cut off at the canvas.

    What is turned thus keeps all its cells, and the box holds a little of what lies beside it, which is the picture's
    own paper; photos, whose bars are of another colour, are not turned.

    Args:
        content: (B, 4) boxes (left, top, right, bottom) on the pictures' own canvases, in pixels.
        theta: (B, 2, 3), see ``augment.Placement``.
        side: of the canvas, in pixels.
    Returns:
        (B, 4); for a picture that was not moved exactly its box, since it is worked out in double precision.
    """
    corners = content.double()[:, [[0, 1], [2, 1], [0, 3], [2, 3]]]                 # (B, 4, 2)
    moved = Placement(theta.double()).move(corners, side).clamp(0, side)
    return torch.cat([moved.amin(1), moved.amax(1)], dim=1).to(content.dtype)


def _chosen(items: ItemSet, most: int, samples: Tensor | None) -> Tensor:
    rows = spread(items, most or len(items.class_ids))
    if samples is None:
        return rows
    wanted = torch.isin(items.sample_ids, samples.to(rows.device)) & (items.sample_ids >= 0)
    return torch.cat([rows, torch.nonzero(wanted).flatten()]).unique()


def _content(items: ItemSet, rows: Tensor, side: int) -> Tensor:
    """Boxes on the pictures' own canvases; drawings fill it."""
    if isinstance(items, PictureSet):
        return items.content[rows]
    return torch.tensor([[0.0, 0.0, side, side]], device=rows.device).expand(len(rows), -1)
