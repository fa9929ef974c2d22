"""Sketches that clients sent: read once, described once for each model, kept for a while within bounds."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from sketchfusion.apps.web.errors import ApiError, one_problem, printable
from sketchfusion.apps.web.settings import Limits
from sketchfusion.apps.web.strokes import PenDrawing, draw
from sketchfusion.canvas import Canvas
from sketchfusion.errors import ImageError
from sketchfusion.images import open_image
from sketchfusion.index.describer import Descriptors
from sketchfusion.sketches import MAX_PIXELS, on_paper, read_sketch
from sketchfusion.tasks.correspondence import ink_points

STROKES = "application/json"
PICTURES = ("image/png", "image/jpeg", "image/webp")
DRAWINGS = ("image/svg+xml", "application/x-ndjson")
TYPES = (*PICTURES, *DRAWINGS, STROKES)
KEPT_SIDE = 1024  # a larger sketch is kept smaller; its points stay in its own pixels
PACKING = 1  # zlib's fastest level
INK_SIDE = 512  # at which ink is looked for
VALUES_PER_POINT = 8  # of JSON: a stroke of one point and pressure has three numbers, two fields, two lists, an object
LARGE_PIXELS = 20_000_000  # pictures above are decoded one at a time
ONE_LARGE = threading.Lock()


@dataclass(frozen=True, eq=False)
class Described:
    """What one forward pass gives of a sketch; all on the CPU.

    Attributes:
        canvas: the sketch on the model's canvas.
        descriptor: (D,) float32 for the search, unit length.
        feature_map: (1, D, Hf, Wf) float32.
        pooled: (1, D) float32, what regions are found by.
    """

    canvas: Canvas
    descriptor: Descriptors
    feature_map: Tensor
    pooled: Tensor

    @property
    def num_bytes(self) -> int:
        """In memory."""
        return int(self.feature_map.nbytes + self.pooled.nbytes + self.descriptor.nbytes + self.canvas.pixels.nbytes)


@dataclass(eq=False)
class Sketch:
    """One sketch.

    Attributes:
        id: of its content; the same sketch has the same.
        packed: its pixels, compressed; of a drawing that is a fiftieth.
        packed_size: (width, height) of these pixels, neither above ``KEPT_SIDE``.
        size: (height, width) as it was sent; its points are in these pixels.
        described: fingerprint of a model -> what it gives, maybe to come.
        points: on its ink, once asked for.
        on_use: told each time it was used and may have grown.
    """

    id: str
    packed: bytes
    packed_size: tuple[int, int]
    size: tuple[int, int]
    described: dict[str, Future[Described]] = field(default_factory=dict)
    points: Tensor | None = None
    on_use: Callable[[Sketch], object] = lambda sketch: None

    @staticmethod
    def of(picture: Image.Image, size: tuple[int, int]) -> Sketch:
        """The sketch that shows this RGB picture, and was sent at this (height, width)."""
        pixels = picture.tobytes()
        content = hashlib.blake2b(repr((size, picture.size)).encode() + pixels, digest_size=12).hexdigest()
        return Sketch(content, zlib.compress(pixels, PACKING), picture.size, size)

    @property
    def picture(self) -> Image.Image:
        """RGB on white paper, unpacked anew each time."""
        return Image.frombytes("RGB", self.packed_size, zlib.decompress(self.packed))

    @property
    def num_bytes(self) -> int:
        """In memory."""
        ready = [future.result() for future in list(self.described.values())
                 if future.done() and not future.cancelled() and future.exception() is None]
        return len(self.packed) + sum(each.num_bytes for each in ready)

    def ink(self, count: int, most: int) -> Tensor:
        """(N, 2) points spread over the ink, in pixels of ``size``, N at most ``count``; see ``ink_points``."""
        if self.points is None:  # each point is chosen after all those before it, so fewer are the first of many
            small = self.picture
            small.thumbnail((INK_SIDE, INK_SIDE), Image.Resampling.LANCZOS)
            scale = Tensor([self.size[1] / small.width, self.size[0] / small.height])
            self.points = ink_points(small, most) * scale
        return self.points[:count]


def read_body(data: bytes, content_type: str, limits: Limits) -> Sketch:
    """The sketch in the body of a request.

    Raises:
        ApiError: 415, the type is none of ``TYPES``; 422, the strokes are malformed or too many.
        ImageError: unreadable or blank.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in TYPES:
        raise ApiError(415, "unknown_type", f"a sketch of the type {printable(kind)[:80]!r} cannot be read; send one "
                       f"of {', '.join(TYPES)} and say so in Content-Type")
    if kind == STROKES:
        picture, size = draw(parse_strokes(data, limits))
        picture = on_paper(picture, "the sketch")
    else:
        picture = read_picture(data, limits)
        size = picture.height, picture.width
    if max(picture.size) > KEPT_SIDE:
        picture.thumbnail((KEPT_SIDE, KEPT_SIDE), Image.Resampling.LANCZOS)
    return Sketch.of(picture, size)


def read_picture(data: bytes, limits: Limits) -> Image.Image:
    """A picture, SVG or Quick, Draw! line as RGB; a very large one waits for the others of its kind."""
    if data.lstrip()[:1] in (b"{", b"["):
        line = data.lstrip().partition(b"\n")[0]
        check_values(line, limits)
        return read_sketch(line)
    if data.lstrip()[:1] == b"<" or data[:2] == b"\x1f\x8b" or not data:
        return read_sketch(data)
    with open_image(data, max_pixels=MAX_PIXELS) as image:
        turn = in_turn(image)
    with turn:
        return read_sketch(data)


def in_turn(image: Image.Image) -> AbstractContextManager[object]:
    """What to hold while a picture is decoded: each very large one takes so much memory that it waits for the last."""
    return ONE_LARGE if image.width * image.height > LARGE_PIXELS else nullcontext()


def parse_strokes(data: bytes, limits: Limits) -> PenDrawing:
    """The strokes of a JSON body. Raises ApiError 422, or ImageError: there is no stroke."""
    check_values(data, limits)
    try:
        sent = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ApiError(422, "bad_strokes", f"this is not JSON: {printable(str(error))[:200]}") from None
    check_counts(sent, limits)
    try:
        drawing = PenDrawing.model_validate(sent)
    except ValidationError as error:
        problems = "; ".join(one_problem({**problem, "loc": ("", *problem["loc"])}) for problem in error.errors()[:3])
        raise ApiError(422, "bad_strokes", f"these are no strokes: {printable(problems)}. Expected "
                       '{"width": w, "height": h, "strokes": [{"width": px, "points": [[x, y], ...]}]}') from None
    if not drawing.strokes:
        raise ImageError("the sketch is blank: it has no strokes; draw something first")
    return drawing


def check_values(data: bytes, limits: Limits) -> None:
    """Raise ApiError 422 where JSON, before it is read, holds more than a drawing with as many points as are allowed.

    Read, it may take thirty times the memory. Each value but the first follows one of these signs.
    """
    if sum(map(data.count, (b",", b"[", b"{"))) > VALUES_PER_POINT * limits.strokes_points + VALUES_PER_POINT:
        raise too_many("more values than these would have", limits)


def check_counts(sent: Any, limits: Limits) -> None:
    """Raise ApiError 422 where a drawing, before it is checked in full, has more strokes or points than allowed."""
    strokes = sent.get("strokes") if isinstance(sent, dict) else None
    if not isinstance(strokes, list):
        return
    lists = [stroke.get("points") for stroke in strokes if isinstance(stroke, dict)]
    points = sum(len(each) for each in lists if isinstance(each, list))
    for count, things in ((points, "points"), (len(strokes), "strokes")):
        if count > limits.strokes_points:
            raise too_many(f"{count:,} {things}", limits)


def too_many(things: str, limits: Limits) -> ApiError:
    """422."""
    return ApiError(422, "bad_strokes", f"a drawing may have {limits.strokes_points:,} points, this one has {things}; "
                    "simplify it, or send it as a picture")


class SketchStore:
    """The sketches that are known; those not used for long leave first. Only for one thread, the server's.

    Args:
        limits: how many, how large together, how long.
        clock: seconds.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits, self.clock = limits, clock
        self.sketches: OrderedDict[str, tuple[Sketch, float]] = OrderedDict()

    def add(self, sketch: Sketch) -> Sketch:
        """Keep it; if it is known already, the one that is."""
        known = self.sketches.get(sketch.id)
        sketch = known[0] if known else sketch
        self.sketches[sketch.id] = sketch, self.clock()
        sketch.on_use = self.touch
        self.touch(sketch)
        return sketch

    def get(self, sketch_id: str) -> Sketch:
        """The sketch of that id, whose time begins anew. Raises ApiError 404: it is not kept, or not any more."""
        self.drop_old()
        known = self.sketches.get(sketch_id)
        if known is None:
            raise ApiError(404, "unknown_sketch", f"there is no sketch {printable(sketch_id)[:40]!r} here, or not any "
                           "more; send it again with POST /api/v1/sketches")
        self.touch(known[0])
        return known[0]

    def touch(self, sketch: Sketch) -> None:
        """Begin its time anew, if it is still kept, and let others leave for what it has grown by."""
        if self.sketches.get(sketch.id, (None, 0.0))[0] is sketch:
            self.sketches[sketch.id] = sketch, self.clock()
            self.sketches.move_to_end(sketch.id)
        self.trim()

    def trim(self) -> None:
        """Drop what is too old, too many or too large; the last one stays."""
        self.drop_old()
        total = self.num_bytes
        most, most_bytes = self.limits.sketches, self.limits.sketch_bytes
        while len(self.sketches) > 1 and (len(self.sketches) > most or total > most_bytes):
            _, (sketch, _) = self.sketches.popitem(last=False)
            total -= sketch.num_bytes

    def drop_old(self) -> None:
        """Drop those not used for so long."""
        oldest = self.clock() - self.limits.sketch_seconds
        while self.sketches and next(iter(self.sketches.values()))[1] < oldest:
            self.sketches.popitem(last=False)

    @property
    def num_bytes(self) -> int:
        """Of all sketches in memory."""
        return sum(sketch.num_bytes for sketch, _ in self.sketches.values())

    def __len__(self) -> int:
        return len(self.sketches)
