"""What a query costs, part by part, and how long 1,000 photos take to index."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measuring import median, timed

from sketchfusion import Gallery, SketchFusion
from sketchfusion.fusion.descriptor import content_mask, pool

REPEATS, WARM_UP, NUM_PHOTOS = 30, 3, 1000


@torch.no_grad()
def measure_speed(model: SketchFusion, photos: Path, sketch: Path, *,
                  threads: tuple[int, ...] = (1, 2)) -> dict[str, Any]:
    """Milliseconds (median) of a query and its parts on so many threads, and seconds to index 1,000 photos."""
    every = sorted(photos.rglob("*.jpg"))
    files = every[::max(1, len(every) // NUM_PHOTOS)][:NUM_PHOTOS]
    report: dict[str, Any] = {"photos": len(files)}
    before = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        for number in threads:
            torch.set_num_threads(number)
            place = Path(folder) / f"gallery-{number}"
            gallery = Gallery.create(place, model)
            start = time.perf_counter()
            gallery.update(files, model)
            seconds = time.perf_counter() - start
            parts = measure_query(model, gallery, sketch)
            whole = parts.pop("query")
            report[f"{number} threads"] = {
                "index_s": round(seconds, 2), "index_photos_per_s": round(len(files) / seconds, 1), "query_ms": whole,
                "parts_ms": parts, "share_of_query": {name: round(value / whole, 3) for name, value in parts.items()}}
    torch.set_num_threads(before)
    return report


@torch.no_grad()
def measure_query(model: SketchFusion, gallery: Gallery, sketch: Path) -> dict[str, float]:
    """Part -> median milliseconds. "query" is a sketch file to ranked results, the model being loaded."""
    canvas = model.read(sketch, "sketch")
    images = canvas.images_01
    encoded = model.encode(images)
    assert encoded.patch_features is not None
    pyramids = model.pyramids(encoded)
    feature_map = model.aggregator(pyramids)
    mask = content_mask(canvas.content, model.canvas_size, (feature_map.shape[2], feature_map.shape[3]))
    descriptor = pool(feature_map, mask, model.config.descriptor)[0].numpy()

    def fusion() -> None:
        model.injector(encoded.patch_features)
        pool(model.aggregator(pyramids), mask, model.config.descriptor)

    work: dict[str, Callable[[], Any]] = {
        "VAE": lambda: model.diffusion.encode(images, [""]),
        "UNet": lambda: model.diffusion.forward_taps(encoded.latents, encoded.keys, None),
        "CLIP": lambda: model.encoder.patch_features(images),
        "fusion": fusion,
        "store": lambda: gallery.search_descriptor(descriptor),
        "query": lambda: gallery.search(sketch, model),
    }
    device = torch.device("cpu")
    found = {}
    for name, call in work.items():
        timed(call, device, repeats=WARM_UP)
        found[name] = round(1000 * median(timed(call, device, repeats=REPEATS)).wall, 2)
    return found
