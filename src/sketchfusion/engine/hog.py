"""A floor for retrieval without any learning: histograms of oriented gradients (HOG) of edges, compared by cosine.

Photos become line drawings by Canny's edge detector, sketches become lines of one pixel; then both are treated alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from sketchfusion.canvas import Kind, place_on_canvas
from sketchfusion.config import CanvasConfig
from sketchfusion.errors import BlankPicture, ConfigError
from sketchfusion.images import as_image

CELL, BLOCK, ORIENTATIONS = 16, 2, 9
CANNY_SIGMA, CANNY_LOW, CANNY_HIGH = 2.0, 0.1, 0.2  # blur in pixels; thresholds for grey stretched to [0, 1]
LINE_SIGMA = 1.0  # a line of one pixel has gradients only when blurred
MIN_CONTRAST = 8 / 255  # flatter pictures hold noise alone
Greys = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def edge_descriptor(picture: Image.Image, kind: Kind, *, side: int = 128) -> npt.NDArray[np.float32]:
    """HOG of the picture's lines; the cosine of two is their dot product.

    Args:
        picture: any size and mode.
        kind: "photo", of which edges are found; or "sketch", dark on light, whose ink is thinned.
        side: of the square canvas, pixels; a multiple of 16, at least 32.
    Returns:
        (D,) float32 of unit length; D = 1,764 at a side of 128.
    Raises:
        ConfigError: the extra ``eval`` is not installed, the kind is unknown, or the side does not fit.
        BlankPicture: there is no line on it.
        ImageError: it cannot be read.
    Source: own combination; Canny, PAMI 1986; Dalal and Triggs, Histograms of Oriented Gradients, CVPR 2005.
    """
    try:
        from skimage.feature import hog
        from skimage.filters import gaussian
    except ImportError:
        raise ConfigError("HOG of edges needs scikit-image, which is not installed; "
                          "install the extra: pip install 'sketchfusion[eval]'") from None
    if side < BLOCK * CELL or side % CELL:
        raise ConfigError(f"side must be a multiple of {CELL} of at least {BLOCK * CELL} pixels, got {side}")
    grey, content = _on_canvas(picture, kind, side)
    lines = _photo_lines(grey, content) if kind == "photo" else _sketch_lines(grey, content)
    if not lines.any():
        raise _blank(kind)
    cells = hog(gaussian(lines.astype(np.float64), LINE_SIGMA), orientations=ORIENTATIONS,
                pixels_per_cell=(CELL, CELL), cells_per_block=(BLOCK, BLOCK), block_norm="L2-Hys")
    found = np.asarray(cells, dtype=np.float64)
    return (found / np.linalg.norm(found)).astype(np.float32)


def _on_canvas(picture: Image.Image, kind: Kind, side: int) -> tuple[Greys, Flags]:
    """(S, S) grey in [0, 1] and where the picture lies, its contrast stretched to the full range."""
    canvas = place_on_canvas(as_image(picture), side, CanvasConfig(size=side).padding(kind))
    colours = Image.fromarray(canvas.pixels[0].permute(1, 2, 0).numpy())
    grey = np.asarray(colours.convert("L"), dtype=np.float64) / 255
    left, top, right, bottom = canvas.content[0].int().tolist()
    content = np.zeros((side, side), dtype=bool)
    content[top:bottom, left:right] = True
    low, high = float(grey[content].min()), float(grey[content].max())
    if high - low < MIN_CONTRAST:
        raise _blank(kind)
    return np.clip((grey - low) / (high - low), 0, 1), content


def _photo_lines(grey: Greys, content: Flags) -> Flags:
    """(S, S) edges; the mask keeps the border between picture and padding from being one."""
    from skimage.feature import canny
    return np.asarray(canny(grey, sigma=CANNY_SIGMA, low_threshold=CANNY_LOW, high_threshold=CANNY_HIGH,
                            mask=content), dtype=bool)


def _sketch_lines(grey: Greys, content: Flags) -> Flags:
    """(S, S) the ink, thinned to one pixel; what is filled shrinks to a line in its middle."""
    from skimage.filters import threshold_otsu
    from skimage.morphology import skeletonize
    return np.asarray(skeletonize((grey <= threshold_otsu(grey[content])) & content), dtype=bool)


def _blank(kind: Kind) -> BlankPicture:
    what = "a photo with something on it" if kind == "photo" else "dark lines on light paper"
    return BlankPicture(f"the {kind} is blank: no line was found on it; expected {what}: leave it out, or choose "
                        "another")
