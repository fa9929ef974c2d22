"""What the index needs of an extractor, and one picture or batch through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from sketchfusion.canvas import Canvas, Kind
from sketchfusion.errors import GalleryError
from sketchfusion.features import Features
from sketchfusion.fusion.compact_map import compress

Descriptors = npt.NDArray[np.float32]
UNIT_TOLERANCE = 1e-2  # of a descriptor's length; half precision stays well inside


class Describer(Protocol):
    """An extractor, as the index sees it; ``fusion.extractor.SketchFusion`` is one."""

    @property
    def fingerprint(self) -> str:
        """Identity of everything that shapes a descriptor; equal fingerprints give comparable descriptors."""

    @property
    def name(self) -> str:
        """Preset name, or the folder or configuration file it was loaded from."""

    @property
    def overrides(self) -> tuple[str, ...]:
        """The ``a.b=c`` settings it was loaded with."""

    @property
    def descriptor_size(self) -> int:
        """D."""

    @property
    def canvas_size(self) -> int:
        """S, pixels."""

    def place(self, image: Image.Image, kind: Kind, size: tuple[int, int] | None = None) -> Canvas:
        """An RGB picture on the canvas; ``size`` (height, width) of the original where it was decoded smaller."""

    def describe_canvas(self, canvas: Canvas) -> Tensor:
        """(B, D) float32 on the CPU, unit length."""

    def features_of(self, canvas: Canvas) -> Features:
        """Feature maps (B, D, Hf, Wf) and descriptors (B, D) of one pass, float32 on the CPU."""


@dataclass(frozen=True, eq=False)
class Described:
    """What a gallery keeps of a batch of photos.

    Attributes:
        descriptors: (B, D) float32.
        dense: B maps as ``fusion.compact_map`` has them; all empty where none are kept.
        usable: (B,) whether descriptor and map can be used.
    """

    descriptors: Descriptors
    dense: list[bytes]
    usable: npt.NDArray[np.bool_]


def describe_photos(describer: Describer, canvas: Canvas, dense_rank: int) -> Described:
    """One pass of a batch.

    Args:
        dense_rank: of the maps; 0 makes none, and then no map leaves the extractor.
    Raises:
        GalleryError: the extractor gives another shape than it declares.
    """
    if not dense_rank:
        descriptors = describe_batch(describer, canvas)
        return Described(descriptors, [b""] * len(canvas), usable(descriptors))
    features = describer.features_of(canvas)
    descriptors = checked(describer, features.descriptor, len(canvas))
    good = usable(descriptors) & features.feature_map.flatten(1).isfinite().all(1).numpy()
    dense = [compress(feature_map, dense_rank) if good[index] else b""
             for index, feature_map in enumerate(features.feature_map)]
    return Described(descriptors, dense, good)


def describe_batch(describer: Describer, canvas: Canvas) -> Descriptors:
    """(B, D) float32 of a batch.

    Raises:
        GalleryError: the extractor gives another shape than it declares.
    """
    return checked(describer, describer.describe_canvas(canvas), len(canvas))


def checked(describer: Describer, given: Tensor, count: int) -> Descriptors:
    """What the extractor gave for so many pictures, (B, D) float32. Raises GalleryError: it has another shape."""
    descriptors: Descriptors = given.detach().float().cpu().numpy()
    expected = (count, describer.descriptor_size)
    if descriptors.shape != expected:
        raise GalleryError(f"the extractor {describer.name!r} gave descriptors of shape {descriptors.shape}, "
                           f"expected {expected}; its declared descriptor_size is wrong")
    return descriptors


def usable(descriptors: Descriptors) -> npt.NDArray[np.bool_]:
    """(B,) whether each of (B, D) is finite and of unit length."""
    lengths = np.linalg.norm(np.nan_to_num(descriptors.astype(np.float64), nan=np.inf), axis=-1)
    return np.abs(lengths - 1) <= UNIT_TOLERANCE


def describe_picture(describer: Describer, picture: Image.Image, kind: Kind,
                     size: tuple[int, int] | None = None) -> Descriptors:
    """(D,) float32 of one RGB picture; ``size`` is (height, width) of the original where it was decoded smaller.

    Raises:
        GalleryError: the descriptor is not finite or not of unit length.
    """
    descriptors = describe_batch(describer, describer.place(picture, kind, size))
    if not usable(descriptors).all():
        raise GalleryError(f"the extractor {describer.name!r} gave a descriptor that is not finite or not of unit "
                           f"length for this {kind}; its weights may be damaged, load them again")
    return descriptors[0]
