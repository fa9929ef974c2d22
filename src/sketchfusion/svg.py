"""SVG text to picture, for files from anywhere.

The renderer, resvg, opens files that an ``href`` names and overflows its stack on deeply nested input. So the text is
first rebuilt without pictures, scripts and foreign content, and then drawn by a separate process with limits on time
and memory; whatever happens there, the caller gets a picture or an ``ImageError``.
"""

from __future__ import annotations

import gzip
import io
import re
import subprocess
import sys
import zlib
from typing import Any
from xml.etree import ElementTree

from PIL import Image

from sketchfusion.errors import ImageError

MAX_BYTES = 20_000_000
MAX_DEPTH = 200
TIMEOUT_S = 30
# Everything that can pull in a file, a font, another document or a program.
LEFT_OUT = frozenset(("image", "feimage", "foreignobject", "script", "iframe", "audio", "video", "font-face-uri"))
PIXELS_PER_UNIT = {"": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0}
RENDERER = """
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError, OSError):
    pass
import resvg_py
text = sys.stdin.buffer.read().decode("utf-8")
try:
    picture = resvg_py.svg_to_bytes(svg_string=text, skip_system_fonts=True)
except Exception as error:
    sys.exit(str(error))
sys.stdout.buffer.write(bytes(picture))
"""


def render_svg(data: bytes, *, side: int, name: str = "the SVG") -> Image.Image:
    """RGBA picture of an SVG or gzipped SVG, its longer side ``side`` pixels, on transparent ground.

    Embedded and linked pictures, scripts and text are left out: nothing but the data given is read.

    Args:
        data: content of a ``.svg`` or ``.svgz`` file.
        side: longer side of the result in pixels.
        name: what to call the data in messages.
    Raises:
        ImageError: not SVG, too large, without a size, nested too deeply, or it cannot be drawn.
    """
    root = parse(unzip(data, name), name)
    set_size(root, side, name)
    text = ElementTree.tostring(root, encoding="utf-8")
    # -P keeps a module in the working directory from being imported in place of the renderer.
    command = [sys.executable, "-P", "-c", RENDERER]
    try:
        done = subprocess.run(command, input=text, capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ImageError(f"drawing {name} took more than {TIMEOUT_S} s; simplify it or give a PNG") from None
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it is too complex"]
        raise ImageError(f"cannot draw {name}: {reason[0]}; save it again as plain SVG or give a PNG")
    return Image.open(io.BytesIO(done.stdout), formats=["PNG"]).convert("RGBA")


def unzip(data: bytes, name: str) -> bytes:
    """The plain text of a gzipped SVG; other data unchanged. Raises ImageError: damaged, or over ``MAX_BYTES``."""
    if data.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(io.BytesIO(data)) as stream:
                data = stream.read(MAX_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise ImageError(f"cannot unpack {name}: {error}; expected an SVG or a gzipped SVG") from None
    if len(data) > MAX_BYTES:
        raise ImageError(f"{name} holds more than {MAX_BYTES:,} bytes of SVG; simplify it or give a PNG")
    return data


def holds_unread(data: bytes, name: str) -> bool:
    """Whether an SVG that could be drawn has a picture or text in it, neither of which is drawn."""
    return re.search(rb"<(?:\w+:)?(?:image|foreignObject|text)\b", unzip(data, name)) is not None


def parse(data: bytes, name: str) -> ElementTree.Element:
    """The drawing as a tree without what ``LEFT_OUT`` names; its depth is checked while it is read."""
    reader: Any = ElementTree.XMLPullParser(("start", "end"))
    depth = 0
    root: ElementTree.Element | None = None
    try:
        for start in range(0, len(data), 1 << 16):
            reader.feed(data[start:start + (1 << 16)])
            for event, element in reader.read_events():
                root = element if root is None else root
                depth += 1 if event == "start" else -1
                if depth > MAX_DEPTH:
                    raise ImageError(f"{name} nests more than {MAX_DEPTH} elements; ungroup it and save it again")
                if event == "end":
                    element[:] = [child for child in element if local_name(child) not in LEFT_OUT]
        reader.close()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ImageError(f"{name} is not well-formed SVG: {error}; save it again or give a PNG") from None
    if root is None or local_name(root) != "svg":
        raise ImageError(f"{name} is XML but not SVG: its root element is not <svg>")
    return root


def local_name(element: ElementTree.Element) -> str:
    """Lower-case tag without its namespace."""
    return str(element.tag).rpartition("}")[2].lower()


def set_size(root: ElementTree.Element, side: int, name: str) -> None:
    """Give the drawing the pixel size at which it is wanted; what it shows stays the same."""
    view_box = [float(number) for number in re.findall(NUMBER, root.get("viewBox", ""))]
    has_box = len(view_box) == 4
    width, height = length_px(root.get("width", "")), length_px(root.get("height", ""))
    if has_box and not (width and height):
        width, height = view_box[2:]
    if not width or not height or not 1e-6 < width < 1e9 or not 1e-6 < height < 1e9:
        raise ImageError(f"{name} has no usable size; give its <svg> element a viewBox, or a width and height above 0")
    if not has_box:
        root.set("viewBox", f"0 0 {width} {height}")
    scale = side / max(width, height)
    root.set("width", str(max(1, round(width * scale))))
    root.set("height", str(max(1, round(height * scale))))


NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


def length_px(text: str) -> float | None:
    """An absolute SVG length in pixels; None for none, a percentage or a relative unit."""
    match = re.fullmatch(rf"\s*({NUMBER})\s*([a-z]*)\s*", text)
    if match is None or match[2] not in PIXELS_PER_UNIT:
        return None
    return float(match[1]) * PIXELS_PER_UNIT[match[2]]
