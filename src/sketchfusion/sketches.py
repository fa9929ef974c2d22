"""Freehand sketches: strokes, drawings, and reading a sketch from whatever file holds it.

Paper is white and ink is black. Strokes are (N, 2) points ``(x, y)`` in the drawing's own units, y downwards.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from sketchfusion.errors import BlankPicture, ImageError
from sketchfusion.images import decode, open_image
from sketchfusion.svg import holds_unread, render_svg

Stroke = npt.NDArray[np.float64]
Source = str | os.PathLike[str] | bytes

SIDE = 512  # pixels at which drawings and SVG are drawn unless told otherwise
MARGIN = 0.08  # of the side, on each edge
LINE_WIDTH = 0.016  # of the side
OVERSAMPLING = 4
MAX_POINTS = 1_000_000
MAX_BYTES = 50_000_000
MAX_PIXELS = 60_000_000  # a picture takes about twelve bytes of memory for each; phones photograph with 50 million
INK_CONTRAST = 4  # 8-bit levels; paper that differs by less is blank
NEARLY_WHITE = 240  # of 255 in each channel; lighter paper stays as it is
PAPER_SPREAD = 32  # 8-bit levels by which paper may differ from its own colour, for the light that falls on it
PAPER_SHARE = 2 / 3  # of the pixels; where fewer have one colour, there is no paper, as in most photos
PAPER_SIDE = 256  # pixels at which the paper is looked for
DARKEST_PAPER = 32  # a channel in which the paper is darker tells nothing about ink


@dataclass(frozen=True, eq=False)
class Drawing:
    """Strokes as they were drawn.

    Attributes:
        strokes: one or more (N, 2) arrays of finite points, N >= 1; a single point is a dot.
        width, height: size of the paper, in the same units, both above 0.
    Raises:
        ImageError: there is no stroke, or a stroke or size is malformed.
    """

    strokes: tuple[Stroke, ...]
    width: float
    height: float

    def __post_init__(self) -> None:
        if not self.strokes:
            raise ImageError("the drawing has no strokes; draw something first")
        for stroke in self.strokes:
            if stroke.ndim != 2 or stroke.shape[1] != 2 or len(stroke) == 0 or not np.isfinite(stroke).all():
                raise ImageError(f"a stroke must be a non-empty (N, 2) array of finite points, got {stroke.shape}")
        if sum(len(stroke) for stroke in self.strokes) > MAX_POINTS:
            raise ImageError(f"the drawing has more than {MAX_POINTS:,} points; simplify it")
        if not (0 < self.width < math.inf and 0 < self.height < math.inf):
            raise ImageError(f"a drawing's width and height must be above 0, got {self.width} x {self.height}")

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Box (left, top, right, bottom) of all points, without the width of the line."""
        points = np.concatenate(self.strokes)
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return float(left), float(top), float(right), float(bottom)


def render(drawing: Drawing, side: int = SIDE, *, line_width: float | None = None) -> Image.Image:
    """The drawing in smooth, round black lines on a white square, its ink centred, as large as the margin allows.

    Args:
        drawing: strokes in any units; the aspect ratio is kept.
        side: of the square, in pixels.
        line_width: in pixels of the result; a fixed share of the side if not given.
    Returns:
        RGB picture, (side, side).
    """
    width = max(1.0, side * LINE_WIDTH if line_width is None else line_width) * OVERSAMPLING
    left, top, right, bottom = drawing.bounds
    full = side * OVERSAMPLING
    extent = max(right - left, bottom - top)
    scale = (full * (1 - 2 * MARGIN) - width) / extent if extent > 0 else 0.0
    offset = np.array([full / 2, full / 2]) - np.array([left + right, top + bottom]) / 2 * scale
    paper = Image.new("L", (full, full), 255)
    pen = ImageDraw.Draw(paper)
    for stroke in drawing.strokes:
        points = [(float(x), float(y)) for x, y in stroke * scale + offset]
        if len(points) > 1:
            pen.line(points, fill=0, width=round(width))
        for x, y in points:  # round ends and joints
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=0)
    return paper.resize((side, side), Image.Resampling.BOX).convert("RGB")


def to_svg(drawing: Drawing) -> str:
    """The drawing as an SVG document: one path per stroke, black, round, on paper of the drawing's own size."""
    line_width = max(drawing.width, drawing.height) * LINE_WIDTH
    bounds = drawing.bounds
    left, top = min(0.0, bounds[0]), min(0.0, bounds[1])  # ink may lie beside the paper
    width, height = max(drawing.width, bounds[2]) - left, max(drawing.height, bounds[3]) - top
    paths = []
    for stroke in drawing.strokes:
        # A path of one point draws nothing; a zero-length line with round caps draws the dot.
        points = stroke if len(stroke) > 1 else np.repeat(stroke, 2, axis=0)
        steps = " L ".join(f"{x:.6g} {y:.6g}" for x, y in points)
        paths.append(f'  <path d="M {steps}"/>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:.6g} {top:.6g} {width:.6g} {height:.6g}">\n'
            f'<g fill="none" stroke="black" stroke-width="{line_width:.4g}" '
            'stroke-linecap="round" stroke-linejoin="round">\n' + "\n".join(paths) + "\n</g>\n</svg>\n")


def read_ndjson(source: str | os.PathLike[str], line: int = 1) -> Drawing:
    """One drawing of a Quick, Draw! file, or of such text itself.

    Both published forms are read: simplified (``[[x...], [y...]]`` per stroke) and raw (a third list of times, which
    is left out).

    Args:
        source: path, or text that begins with ``{`` or ``[``.
        line: which line, from 1.
    Raises:
        ImageError: no such file or line, or the line holds no drawing.
    """
    if isinstance(source, str) and source.lstrip()[:1] in ("{", "["):
        return parse_drawing(pick_line(io.StringIO(source), line, "the text"), "the text")
    name = os.fspath(source)
    try:
        with Path(source).open(encoding="utf-8-sig", newline="\n") as file:
            lines = iter(lambda: file.readline(MAX_BYTES), "")  # never more than that at once
            return parse_drawing(pick_line(lines, line, name), f"{name}, line {line}")
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"cannot read {name}: {error}; expected a Quick, Draw! ndjson file") from None


def pick_line(lines: Any, line: int, name: str) -> str:
    """Line number ``line``, from 1, of lines that end in ``\\n`` alone. Raises ImageError: there are not as many."""
    if line < 1:
        raise ImageError(f"lines are counted from 1, got {line}")
    count = 0
    for count, text in enumerate(lines, start=1):
        if count == line:
            return str(text)
    raise ImageError(f"{name} has {count} lines, so there is no line {line}; give a number from 1 to {count}")


def parse_drawing(text: str, name: str) -> Drawing:
    """The drawing in one line of Quick, Draw! JSON."""
    try:
        record = json.loads(text)
        lists = record["drawing"] if isinstance(record, dict) else record
        strokes = tuple(np.column_stack([np.asarray(axis, dtype=np.float64).reshape(-1) for axis in stroke[:2]])
                        for stroke in lists if len(stroke[0]))
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise ImageError(f"{name} is not a Quick, Draw! drawing ({type(error).__name__}: {error}); "
                         'expected {"drawing": [[[x, ...], [y, ...]], ...]}') from None
    if not strokes:
        raise BlankPicture(f"{name} is a blank sketch: it has no strokes; draw something first")
    high = max(float(np.max(stroke)) if np.isfinite(stroke).all() else 0.0 for stroke in strokes)
    paper = max(256.0, high + 1)
    return Drawing(strokes, paper, paper)


def read_svg(source: Source, *, side: int = SIDE) -> Image.Image:
    """An SVG or SVGZ file, or its bytes, as RGB on white paper; no file but this one is read.

    Raises:
        ImageError: missing, not SVG, cannot be drawn, or blank.
    """
    data, name = source_bytes(source)
    return draw_svg(data, side, name)


def read_sketch(source: Source, *, line: int = 1, side: int = SIDE) -> Image.Image:
    """Any sketch as upright RGB, dark on white paper. What it is is told by its content, not its name.

    Args:
        source: path of a picture, an SVG or SVGZ, or a Quick, Draw! ndjson file (``file.ndjson#12`` is its 12th
            line); the content of such a file as bytes; or ndjson or SVG text itself.
        line: which line of ndjson, from 1; ``#12`` in the path goes before it.
        side: longer side in pixels of what is drawn from strokes or SVG; pictures keep their size.
    Raises:
        ImageError: unreadable, a picture of more than ``MAX_PIXELS``, or blank: nothing on it differs from the paper.
    """
    if isinstance(source, str) and source.lstrip()[:1] in ("{", "[", "<"):
        source = source.encode("utf-8", "replace")
    if not isinstance(source, bytes):
        source, line = split_line_number(os.fspath(source), line)
        if is_large_ndjson(source):
            return render(read_ndjson(source, line), side)
    data, name = source_bytes(source)
    start = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] == b"<" or start[:2] == b"\x1f\x8b":
        return draw_svg(data, side, name)
    if start[:1] in (b"{", b"["):
        text = pick_line(io.StringIO(data.decode("utf-8-sig", "replace")), line, name)
        return render(parse_drawing(text, f"{name}, line {line}"), side)
    if not start:
        raise ImageError(f"{name} is empty; expected a picture, an SVG or Quick, Draw! ndjson")
    opened = open_image(source if isinstance(source, str) else data, max_pixels=MAX_PIXELS)
    return on_paper(opened, name)


def split_line_number(path: str, line: int) -> tuple[str, int]:
    """``("file.ndjson", 12)`` for ``file.ndjson#12``, unless a file of that very name exists."""
    match = re.fullmatch(r"(.+)#(\d+)", path, flags=re.DOTALL)
    if match is None or os.path.exists(path):  # noqa: PTH110, that of pathlib raises on long names
        return path, line
    return match[1], int(match[2])


def is_large_ndjson(path: str) -> bool:
    """Whether a file is too large to be read as a whole, and begins like ndjson, of which one line is enough."""
    try:
        if Path(path).stat().st_size <= MAX_BYTES:
            return False
        with Path(path).open("rb") as file:
            return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")
    except (OSError, ValueError):
        return False


def source_bytes(source: Source) -> tuple[bytes, str]:
    """Content of a file or byte string, and what to call it in messages."""
    if isinstance(source, bytes):
        return source, "the sketch"
    name = os.fspath(source)
    try:
        size = Path(source).stat().st_size
        if size > MAX_BYTES:
            raise ImageError(f"{name} has {size:,} bytes, more than the {MAX_BYTES:,} allowed for a sketch")
        return Path(source).read_bytes(), name
    except (OSError, ValueError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", error)
        raise ImageError(f"cannot read the sketch {name}: {reason}; "
                         "expected a picture, an SVG or Quick, Draw! ndjson") from None


def draw_svg(data: bytes, side: int, name: str) -> Image.Image:
    """An SVG on white paper. Raises ImageError: it cannot be drawn, or is blank as far as it is read."""
    try:
        return on_paper(render_svg(data, side=side, name=name), name)
    except BlankPicture:
        if not holds_unread(data, name):
            raise
        raise BlankPicture(f"{name} is a blank sketch: it holds only an embedded picture or text, which is not read; "
                           "give the PNG itself, or draw paths") from None


def on_paper(picture: Image.Image, name: str) -> Image.Image:
    """Upright RGB, dark on white. Raises ImageError: damaged, or nothing on it differs from the paper."""
    paper = decode(picture)
    white = whiten(paper)
    if is_blank(paper) or is_blank(white):
        alpha = picture.convert("RGBA").getchannel("A")
        if is_blank(alpha):
            raise BlankPicture(f"{name} is a blank sketch: the whole paper has one colour; draw something first")
        raise BlankPicture(f"{name} is blank on white paper: it is transparent and its ink is white; "
                           "draw in a dark colour, or save it on a dark ground, which is turned into white paper")
    return white


def whiten(picture: Image.Image) -> Image.Image:
    """The sketch with white paper: dark paper is inverted, coloured paper divided by its colour.

    The paper's colour is, in each channel, the median of the picture's border, or of the whole picture where that is
    lighter, since lines or a frame may cover the border, and a silhouette the middle. It is dark if the ink is lighter.

    Args:
        picture: RGB.
    Returns:
        The picture itself where the paper is (nearly) white, or where too little of it has one colour to be paper.
    """
    sample = np.asarray(picture.resize([min(side, PAPER_SIDE) for side in picture.size], Image.Resampling.BOX))
    border = np.concatenate([sample[0], sample[-1], sample[:, 0], sample[:, -1]])
    paper = np.maximum(np.median(border, axis=0), np.median(sample, axis=(0, 1)))
    difference = sample - paper
    if paper.min() >= NEARLY_WHITE or (np.abs(difference) <= PAPER_SPREAD).all(axis=2).mean() < PAPER_SHARE:
        return picture
    levels = np.arange(256.0)
    if (difference ** 3).mean() > 0:  # the cube, so that ink outweighs the paper's own light and shadow
        paper, levels = 255 - paper, levels[::-1]
    table = (levels / np.maximum(paper, 1)[:, None]).clip(0, 1)
    table[paper < DARKEST_PAPER] = 1
    return picture.point((255 * table).round().astype(int).ravel().tolist())


def is_blank(picture: Image.Image) -> bool:
    """Whether each channel differs by less than ``INK_CONTRAST`` levels over the whole picture."""
    extrema = picture.getextrema()
    pairs: Any = [extrema] if len(picture.getbands()) == 1 else extrema
    return all(high - low < INK_CONTRAST for low, high in pairs)
