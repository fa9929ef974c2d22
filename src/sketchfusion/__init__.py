"""SketchFusion: one feature space for freehand sketches and photos (Koley et al., CVPR 2025).

    model = SketchFusion.from_pretrained("mini")
    scores = model.describe("sketch.png", kind="sketch") @ model.describe(photos).T
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sketchfusion.errors import SketchFusionError
    from sketchfusion.features import Features
    from sketchfusion.fusion.extractor import SketchFusion
    from sketchfusion.index.gallery import Gallery
    from sketchfusion.tasks.correspondence import match_points
    from sketchfusion.tasks.recognition import classify
    from sketchfusion.tasks.segmentation import segment

__version__ = "0.1.0"
__all__ = ["Features", "Gallery", "SketchFusion", "SketchFusionError", "__version__", "classify", "match_points",
           "segment"]

_HOMES = {  # looked up on first use, so that `import sketchfusion` and `--help` stay quick
    "Features": "sketchfusion.features",
    "Gallery": "sketchfusion.index.gallery",
    "SketchFusion": "sketchfusion.fusion.extractor",
    "SketchFusionError": "sketchfusion.errors",
    "classify": "sketchfusion.tasks.recognition",
    "match_points": "sketchfusion.tasks.correspondence",
    "segment": "sketchfusion.tasks.segmentation",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sketchfusion' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
