"""Why a photo was found: the region that matches a sketch, its mask, and where the sketch's points are."""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from sketchfusion.apps.web.admission import ModelThread
from sketchfusion.apps.web.errors import ApiError
from sketchfusion.apps.web.memory import apart
from sketchfusion.apps.web.models import Loaded
from sketchfusion.apps.web.photos import as_png, decode_photo, read_photo
from sketchfusion.apps.web.settings import Limits
from sketchfusion.apps.web.sketches import Described, Sketch
from sketchfusion.canvas import Canvas, blank_canvas
from sketchfusion.fusion.compact_map import expand
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.index.store import Photo
from sketchfusion.tasks.correspondence import find_in_maps, point_features_of
from sketchfusion.tasks.segmentation import Segmentation, segment_maps, similarity_map, to_picture

Origin = Literal["stored", "photo"]
Key = tuple[str, str, int, int]  # fingerprint of the model; content, height and width of the photo
REGION_SIDE = 256  # of the picture of the cosines that the page enlarges


@dataclass(frozen=True, eq=False)
class PhotoMap:
    """(1, D, Hf, Wf) features of a photo on the CPU, where they lie in it, and whether the gallery had them."""

    features: Tensor
    canvas: Canvas
    origin: Origin


@dataclass(frozen=True)
class Region:
    """Cosines over a photo as an 8-bit grey PNG in base64, from ``low`` (0) to ``high`` (255)."""

    threshold: float
    softness: float
    low: float
    high: float
    width: int
    height: int
    png: str


class PhotoMaps:
    """Maps of photos: the gallery's own, or worked out from the file where it keeps none; some are remembered.

    Those that are worked out are worked out once, however many ask, and remembered whoever still waits for them.
    """

    def __init__(self, thread: ModelThread, limits: Limits) -> None:
        self.thread, self.limits = thread, limits
        self.kept: OrderedDict[Key, PhotoMap] = OrderedDict()
        self.coming: dict[tuple[Key, str, int], Future[PhotoMap]] = {}  # from which file, as of which time
        self.lock = threading.Lock()  # of both; the model's thread adds what it has worked out

    async def of(self, photo: Photo, loaded: Loaded, root: Path) -> PhotoMap:
        """The map of a photo; for ``root`` see ``photos.open_photo``.

        Raises:
            ApiError: 404, the gallery keeps no map and the file is gone; 503 or 504, see ``ModelThread``.
            GalleryError: the stored map is damaged.
            ImageError: the file is unreadable.
        """
        key = loaded.fingerprint, photo.hash, photo.height, photo.width
        source = key, photo.path, photo.mtime_ns
        with self.lock:
            found, future = self.kept.get(key), self.coming.get(source)
            if found is not None:
                self.kept.move_to_end(key)
        if found is not None:
            return found
        if photo.dense:
            return self.keep(key, stored_map(photo, loaded))
        return await self.thread.result(future or self.begin(source, photo, loaded, root))

    def begin(self, source: tuple[Key, str, int], photo: Photo, loaded: Loaded, root: Path) -> Future[PhotoMap]:
        """Let the model work it out from the file. Raises ApiError 503."""
        future = self.thread.submit(lambda items: [map_of_file(photo, loaded.model, root)], None)
        with self.lock:
            self.coming[source] = future
        future.add_done_callback(lambda done: self.arrived(source, done))
        return future

    def arrived(self, source: tuple[Key, str, int], future: Future[PhotoMap]) -> None:
        """Remember what was worked out; what failed, or was given up, may be tried again."""
        if not future.cancelled() and future.exception() is None:
            self.keep(source[0], future.result())
        with self.lock:  # afterwards, so that at no time it is neither kept nor coming
            del self.coming[source]

    def keep(self, key: Key, found: PhotoMap) -> PhotoMap:
        """Remember it, and give it; those used least recently leave."""
        with self.lock:
            self.kept[key] = found
            self.kept.move_to_end(key)
            total = sum(each.features.nbytes for each in self.kept.values())
            while len(self.kept) > 1 and total > self.limits.map_bytes:
                total -= self.kept.popitem(last=False)[1].features.nbytes
        return found


def stored_map(photo: Photo, loaded: Loaded) -> PhotoMap:
    """The one of the gallery. Raises GalleryError: damaged."""
    canvas = blank_canvas([(photo.height, photo.width)], loaded.model.canvas_size)
    return PhotoMap(apart(expand(photo.dense)[None]), canvas, "stored")


@torch.no_grad()
def map_of_file(photo: Photo, model: SketchFusion, root: Path) -> PhotoMap:
    """By one pass of the model, decoded as indexing decodes it."""
    picture = decode_photo(photo, root, model.canvas_size)
    canvas = model.place(picture, "photo", (photo.height, photo.width))
    features = apart(model.features_of(canvas).feature_map)
    return PhotoMap(features, blank_canvas([(photo.height, photo.width)], canvas.side), "photo")


@torch.no_grad()
def region(described: Described, photo_map: PhotoMap, loaded: Loaded) -> Region:
    """Where the photo is like the sketch."""
    similarity = similarity_map(described.pooled, photo_map.features)[0]
    cosines = to_picture(similarity, photo_map.canvas, 0, longest=REGION_SIDE)
    low, high = float(cosines.min()), float(cosines.max())
    levels = ((cosines - low) / max(high - low, 1e-9) * 255).round().to(torch.uint8)
    head = loaded.model.heads.segmentation
    return Region(float(torch.as_tensor(head.threshold)), float(torch.as_tensor(head.softness)), low, high,
                  levels.shape[1], levels.shape[0], base64.b64encode(as_png(Image.fromarray(levels.numpy()))).decode())


@torch.no_grad()
def mask(described: Described, photo_map: PhotoMap, loaded: Loaded, photo: Photo, root: Path, *,
         threshold: float | None, refined: bool) -> Segmentation:
    """What the sketch shows, at the size of the photo.

    Raises:
        ApiError: 404, the edges are to follow the photo's and its file is gone.
        ConfigError: the threshold is no cosine.
    """
    photos = [read_photo(photo, root)] if refined else None
    return next(segment_maps(loaded.model, described.pooled, photo_map.features, photo_map.canvas, threshold=threshold,
                             photos=photos))


@torch.no_grad()
def find_points(described: Described, photo_map: PhotoMap, loaded: Loaded,
                points: Tensor) -> list[tuple[list[float], float]]:
    """Where (N, 2) points of the sketch are in the photo, and their cosines."""
    rows = point_features_of(described.feature_map, described.canvas, points)
    found, scores = find_in_maps(loaded.model, rows, photo_map.features, photo_map.canvas)[0]
    return list(zip(found.tolist(), scores.tolist(), strict=True))


def points_on(sketch: Sketch, points: list[tuple[float, float]]) -> Tensor:
    """(N, 2) points that lie on the sketch. Raises ApiError 422: one does not, or there is none."""
    height, width = sketch.size
    for x, y in points:
        if not (0 <= x <= width and 0 <= y <= height):
            raise ApiError(422, "bad_points", f"the point ({x:g}, {y:g}) lies outside the sketch, which is {width} "
                           f"pixels wide and {height} high")
    if not points:
        raise ApiError(422, "bad_points", "there are no points; give some as [x, y], or null to have them chosen")
    return torch.tensor(points, dtype=torch.float32)
