"""SVG text to picture, for files from anywhere.

The renderer, resvg, opens files that an ``href`` names and overflows its stack on deeply nested input. So the text is
first copied without pictures, scripts and foreign content, tag by tag and within limits, and then drawn by a separate
process with limits on time and memory; whatever happens there, the caller gets a picture or an ``ImageError``.
"""

from __future__ import annotations

import gzip
import io
import re
import subprocess
import sys
import zlib
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from PIL import Image

from sketchfusion.errors import ImageError

MAX_BYTES = 20_000_000
MAX_DEPTH = 200
MAX_ELEMENTS = 200_000
MAX_ATTRIBUTES = 1_000_000  # of all elements together
MAX_IN_ONE = 1000  # attributes of one element
MAX_DECLARATIONS = 1000  # of entities and attributes; drawing programs write about ten
TIMEOUT_S = 30
# Everything that can pull in a file, a font, another document or a program.
LEFT_OUT = frozenset(("image", "feimage", "foreignobject", "script", "iframe", "audio", "video", "font-face-uri"))
PIXELS_PER_UNIT = {"": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0}
RENDERER = """
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
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
    text = Copy(unzip(data, name), side, name).text
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


class Copy:
    """The drawing without what ``LEFT_OUT`` names, at the size wanted; no tree of it is made.

    Names stay as they are written: with their namespaces put in, they may need far more memory than the text does.

    Args:
        data: SVG text.
        side: see ``render_svg``.
        name: what to call it in messages.
    Attributes:
        text: UTF-8.
    Raises:
        ImageError: not SVG, without a size, nested too deeply, or over a limit.
    """

    def __init__(self, data: bytes, side: int, name: str) -> None:
        self.name = name
        self.root: tuple[str, dict[str, str]] = "", {}
        self.pieces: list[str] = []
        self.length = self.depth = self.elements = self.attributes = self.declarations = 0
        self.left_out = MAX_DEPTH + 1  # depth of the element that is being left out; nothing is as deep
        self.references = data.count(b"&")
        reader = expat.ParserCreate()
        reader.buffer_text = True
        reader.StartElementHandler, reader.EndElementHandler = self.start, self.end
        reader.CharacterDataHandler = self.characters
        reader.EntityDeclHandler, reader.AttlistDeclHandler = self.entity, self.declaration
        try:
            reader.Parse(data, True)
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise ImageError(f"{name} is not well-formed SVG: {error}; save it again or give a PNG") from None
        set_size(self.root[1], side, name)
        self.pieces[0] = start_tag(*self.root)
        self.text = "".join(self.pieces).encode()

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        if not self.depth:
            self.root = tag, attributes
            if local_name(tag) != "svg":
                raise ImageError(f"{self.name} is XML but not SVG: its root element is not <svg>")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ImageError(f"{self.name} nests more than {MAX_DEPTH} elements; ungroup it and save it again")
        self.elements += 1
        self.attributes += len(attributes)
        self.check(self.elements, MAX_ELEMENTS, "elements")
        self.check(self.attributes, MAX_ATTRIBUTES, "attributes")
        self.check(len(attributes), MAX_IN_ONE, "attributes in one element")
        if local_name(tag) in LEFT_OUT:
            self.left_out = min(self.left_out, self.depth)
        self.add(start_tag(tag, attributes))

    def end(self, tag: str) -> None:
        """An element ends."""
        self.add(f"</{tag}>")
        if self.depth == self.left_out:
            self.left_out = MAX_DEPTH + 1
        self.depth -= 1

    def characters(self, text: str) -> None:
        """Text between tags, such as a style sheet."""
        self.add(escape(text))

    def entity(self, entity: str, is_parameter: bool, value: str | None, *others: object) -> None:
        """A name is declared to stand for text. It may do so wherever there is an ``&``."""
        self.declaration()
        if value is not None and "&" in value:
            raise ImageError(f"{self.name} is not well-formed SVG for this reader: its entity {entity[:40]!r} holds "
                             "others; save it again as plain SVG or give a PNG")
        self.check(len(value or "") * self.references, MAX_BYTES, "bytes once its entities are put in")

    def declaration(self, *others: object) -> None:
        """An entity, or an attribute that elements have unless they say otherwise, is declared."""
        self.declarations += 1
        self.check(self.declarations, MAX_DECLARATIONS, "declarations")

    def add(self, text: str) -> None:
        """Copy this, unless it is left out."""
        if self.depth < self.left_out:
            self.length += len(text)
            self.check(self.length, 2 * MAX_BYTES, "bytes once its entities are put in")
            self.pieces.append(text)

    def check(self, count: int, most: int, what: str) -> None:
        """Raise ImageError where there are too many."""
        if count > most:
            raise ImageError(f"{self.name} has more than {most:,} {what}; simplify it or give a PNG")


def start_tag(tag: str, attributes: dict[str, str]) -> str:
    """As it is written."""
    return f"<{tag}{''.join(f' {key}={quoteattr(value)}' for key, value in attributes.items())}>"


def local_name(tag: str) -> str:
    """In lower case, without its namespace's prefix."""
    return tag.rpartition(":")[2].lower()


def set_size(root: dict[str, str], side: int, name: str) -> None:
    """Give the root, by its attributes, the pixel size at which it is wanted; what it shows stays the same."""
    view_box = [float(number) for number in re.findall(NUMBER, root.get("viewBox", ""))]
    has_box = len(view_box) == 4
    width, height = length_px(root.get("width", "")), length_px(root.get("height", ""))
    if has_box and not (width and height):
        width, height = view_box[2:]
    if not width or not height or not 1e-6 < width < 1e9 or not 1e-6 < height < 1e9:
        raise ImageError(f"{name} has no usable size; give its <svg> element a viewBox, or a width and height above 0")
    if not has_box:
        root["viewBox"] = f"0 0 {width} {height}"
    scale = side / max(width, height)
    root["width"] = str(max(1, round(width * scale)))
    root["height"] = str(max(1, round(height * scale)))


NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


def length_px(text: str) -> float | None:
    """An absolute SVG length in pixels; None for none, a percentage or a relative unit."""
    match = re.fullmatch(rf"\s*({NUMBER})\s*([a-z]*)\s*", text)
    if match is None or match[2] not in PIXELS_PER_UNIT:
        return None
    return float(match[1]) * PIXELS_PER_UNIT[match[2]]
