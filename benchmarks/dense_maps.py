"""What a gallery's compact dense maps take and what they cost: bytes, nearness, accuracy, time at indexing.

    python benchmarks/dense_maps.py --composites FOLDER --world FOLDER --out benchmarks/results/dense_maps.json

The folders are of `sketchfusion data make-composites --part held-out` and `data make-world`. Points of each sketch are
looked for in its photo, and what it shows is cut out of it (no refinement, the model's own threshold), from the photo's
whole map and from what each way of keeping it gives back; both go the way that the page goes. Differences are paired
over pictures, with the 95 % interval of the bootstrap. "side 8" is rank 16 of a grid averaged to half its side.

Time is the processor's, so that others on the machine do not count: of one thread a pass of the networks, compressing
and expanding a map; of all threads whole runs of indexing, with and without maps by turns. A random smooth map of the
shape that Stable Diffusion's has is kept as well.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from measuring import machine, markdown_table, median, timed
from rich.progress import track
from torch import Tensor

from sketchfusion import Gallery, SketchFusion
from sketchfusion.canvas import Canvas, blank_canvas
from sketchfusion.data.sets import KeyPointPair, MaskedPair, read_set
from sketchfusion.fusion.compact_map import averaged, compress, expand
from sketchfusion.fusion.descriptor import content_mask
from sketchfusion.images import as_image
from sketchfusion.metrics.bootstrap import paired_bootstrap
from sketchfusion.metrics.correspondence import keypoint_errors
from sketchfusion.metrics.segmentation import mean_iou
from sketchfusion.tasks.correspondence import find_in_maps, point_features_of
from sketchfusion.tasks.segmentation import segment_maps, similarity_map, sketch_descriptor_of

RANKS = (4, 8, 16, 32)
WHOLE = "whole, float32"
BATCH = 16
NUM_INDEXED = 300
ROUNDS = 3  # of indexing, with and without maps by turns
SD_SHAPE = (1280, 60, 60)
Pair = KeyPointPair | MaskedPair
Kept = dict[str, tuple[int, Tensor]]
"""Way of keeping a map -> bytes, and the (D, Hf, Wf) map that it gives back."""


def keep(feature_map: Tensor) -> Kept:
    """A (D, Hf, Wf) map in every way."""
    half = feature_map.half()
    kept = {WHOLE: (feature_map.nbytes, feature_map), "whole, float16": (half.nbytes, half.float())}
    packed = {f"rank {rank}": compress(feature_map, rank) for rank in RANKS}
    packed["side 8"] = compress(feature_map, 16, max_side=8)
    return kept | {name: (len(data), expand(data)) for name, data in packed.items()}


def passes(model: SketchFusion, pairs: Sequence[Pair]) -> Iterator[tuple[Pair, Canvas, Tensor, Canvas, Tensor]]:
    """Each pair with canvas and (1, D, Hf, Wf) map of its sketch, and of its photo."""
    for start in range(0, len(pairs), BATCH):
        batch = pairs[start:start + BATCH]
        sides = []
        for kind in ("sketch", "photo"):
            canvases = [model.read(getattr(pair, kind).path, kind) for pair in batch]
            maps = model.features_of(Canvas.stack(canvases)).feature_map
            sides.append([(canvas, maps[row:row + 1]) for row, canvas in enumerate(canvases)])
        for pair, sketch, photo in zip(batch, *sides, strict=True):
            yield pair, *sketch, *photo


def judge(model: SketchFusion, points: Sequence[KeyPointPair], masks: Sequence[MaskedPair],
          title: str) -> dict[str, dict[str, Tensor]]:
    """Way of keeping -> measure -> one value per pair.

    "bytes"; "cosine" of whole and kept cells, mean over the photo's own, and "lowest", their 5 % quantile; "shift", how
    much higher the cosines of the sketch with the photo's cells are, and "error", how far off; "PCK@5", "PCK@10";
    "IoU" of the foreground.
    """
    found: dict[str, dict[str, list[float]]] = {}
    assert [pair.photo for pair in points] == [pair.photo for pair in masks]
    for (pair, drawn, drawn_map, photo, photo_map), masked in track(
            zip(passes(model, points), masks, strict=True), title, len(points), transient=True):
        canvas = blank_canvas([tuple(photo.sizes[0].tolist())], model.canvas_size)
        seen = torch.tensor(pair.visible)
        rows = point_features_of(drawn_map, drawn, torch.tensor(pair.sketch_points)[seen])
        target, size = torch.tensor(pair.photo_points)[seen], max(photo.sizes[0].tolist())
        descriptor = sketch_descriptor_of(drawn_map, drawn)
        truth = torch.frombuffer(bytearray(as_image(masked.mask).convert("L").tobytes()), dtype=torch.uint8)
        truth = truth.view(*photo.sizes[0].tolist()) > 127
        own = content_mask(photo.content, model.canvas_size, tuple(photo_map.shape[2:]))[0]
        whole = similarity_map(descriptor, photo_map)[0]
        for name, (size_bytes, feature_map) in keep(photo_map[0]).items():
            maps = feature_map[None]
            (places, _), = find_in_maps(model, rows, maps, canvas)
            mask = next(segment_maps(model, descriptor, maps, canvas)).mask
            errors = keypoint_errors(places, target) / size
            values = {"bytes": size_bytes, "PCK@5": share(errors <= 0.05), "PCK@10": share(errors <= 0.1),
                      "IoU": float(mean_iou(mask[None], truth[None], over="foreground"))}
            if maps.shape == photo_map.shape:
                near = F.cosine_similarity(maps, photo_map, dim=1)[0][own]
                apart = (similarity_map(descriptor, maps)[0] - whole)[own]
                values |= {"cosine": float(near.mean()), "lowest": float(near.quantile(0.05)),
                           "shift": float(apart.mean()), "error": float(apart.abs().mean())}
            for measure, value in values.items():
                found.setdefault(name, {}).setdefault(measure, []).append(value)
    return {name: {measure: torch.tensor(values, dtype=torch.float64) for measure, values in measures.items()}
            for name, measures in found.items()}


def share(hits: Tensor) -> float:
    """Of points that are near enough; NaN where there is no point."""
    return float(hits.double().mean())


def compared(values: dict[str, dict[str, Tensor]]) -> dict[str, dict[str, Any]]:
    """Means and, of accuracies, the differences from whole maps with their intervals."""
    report: dict[str, dict[str, Any]] = {}
    for name, measures in values.items():
        report[name] = {measure: float(each.nanmean()) for measure, each in measures.items()}
        for measure in ("PCK@5", "PCK@10", "IoU"):
            difference = paired_bootstrap(values[WHOLE][measure], measures[measure])
            report[name][f"{measure} difference"] = {
                key: value for key, value in asdict(difference).items() if key in ("difference", "low", "high")}
    return report


def milliseconds(work: Callable[[], Any], repeats: int) -> float:
    """Of the processor, the median, after one that does not count."""
    device = torch.device("cpu")
    timed(work, device)
    return round(1000 * median(timed(work, device, repeats=repeats)).cpu, 3)


def measure_time(model: SketchFusion, photos: Sequence[Path]) -> dict[str, Any]:
    """Milliseconds per photo."""
    canvas = Canvas.stack([model.read(photo, "photo") for photo in photos[:BATCH]])
    maps = model.features_of(canvas).feature_map
    network = milliseconds(lambda: model.features_of(canvas), 10) / BATCH
    report: dict[str, Any] = {"network_ms": round(network, 3), "shape": list(maps.shape[1:])}
    for rank in RANKS:
        data = compress(maps[0], rank)
        kept = milliseconds(lambda rank=rank: [compress(each, rank) for each in maps], 10) / BATCH
        report[f"rank {rank}"] = {"compress_ms": round(kept, 3), "share_of_network": round(kept / network, 4),
                                  "expand_ms": milliseconds(lambda data=data: expand(data), 50)}
    return report


def measure_indexing(model: SketchFusion, photos: Sequence[Path], rank: int) -> dict[str, Any]:
    """The processor's seconds for the photos with maps and without by turns, and what the galleries take on the disk.

    The disk holds former versions of the rows too, for ten minutes.
    """
    seconds: dict[int, list[float]] = {0: [], rank: []}
    num_bytes: dict[int, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(2 * ROUNDS):
            kept = (0, rank)[number % 2]
            gallery = Gallery.create(Path(folder) / f"{number}", model, dense_rank=kept)
            started = time.process_time()
            gallery.update(photos, model)
            seconds[kept].append(round(time.process_time() - started, 2))
            num_bytes[kept] = gallery.info()["num_bytes"]
    without, with_maps = (statistics.median(times) for times in seconds.values())
    return {"photos": len(photos), "rank": rank, "without_s": seconds[0], "with_s": seconds[rank],
            "ratio": round(with_maps / without, 3),
            "disk_bytes_per_photo": {"without": num_bytes[0] // len(photos), "with": num_bytes[rank] // len(photos)}}


def measure_large() -> dict[str, Any]:
    """A random smooth map of Stable Diffusion's shape, whole and averaged down first."""
    channels, height, width = SD_SHAPE
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, channels, height // 6, width // 6, generator=generator)
    shared = torch.randn(
        channels, 1, 1, generator=generator)
    smooth = F.interpolate(coarse, (height, width), mode="bicubic")[0] + shared
    report: dict[str, Any] = {"shape": list(SD_SHAPE), "float16_bytes": 2 * smooth.numel()}
    for side in (60, 32):
        truth = averaged(F.normalize(smooth, dim=0), side)
        for rank in RANKS:
            data = compress(smooth, rank, max_side=side)
            report[f"side {side}, rank {rank}"] = {
                "bytes": len(data), "cosine": round(float(F.cosine_similarity(expand(data), truth, dim=0).mean()), 4),
                "compress_ms": milliseconds(lambda rank=rank, side=side: compress(smooth, rank, max_side=side), 5),
                "expand_ms": milliseconds(lambda data=data: expand(data), 5)}
    return report


def table(report: dict[str, Any]) -> str:
    """Markdown; accuracies in per cent, differences in points."""
    names = list(report["pairs"])
    lines = []
    for way in report["pairs"][names[0]]:
        rows = [report["pairs"][name][way] for name in names]
        cells = [f"{100 * row[measure]:.2f} ({100 * row[f'{measure} difference']['difference']:+.2f})"
                 for row in rows for measure in ("PCK@10", "IoU")]
        near = f"{rows[0]['cosine']:.4f}" if "cosine" in rows[0] else "-"
        lines.append([way, f"{rows[0]['bytes']:,.0f}", near, *cells])
    head = ["map", "bytes", "cosine", *(f"{name} {measure}" for name in names for measure in ("PCK@10", "IoU"))]
    return markdown_table(head, lines)


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--composites", type=Path, required=True, help="of `data make-composites --part held-out`")
    parser.add_argument("--world", type=Path, required=True, help="of `data make-world` with a seed of its own")
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--count", type=int, default=1000, help="pairs of each folder at most")
    parser.add_argument("--rank", type=int, default=16, help="of the maps when indexing is timed")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = SketchFusion.from_pretrained(arguments.preset, device="cpu", dtype="float32")
    report: dict[str, Any] = {"preset": arguments.preset, "fingerprint": model.fingerprint,
                              "machine": machine(torch.device("cpu")), "pairs": {}, "numbers": {}}
    photos: list[Path] = []
    for name, folder in (("composites", arguments.composites), ("drawn-world", arguments.world)):
        data = read_set(name, folder)
        points, masks = data.key_points[:arguments.count], data.masked[:arguments.count]
        report["numbers"][name] = len(points)
        report["pairs"][name] = compared(judge(model, points, masks, name))
        photos += [photo.path for photo in data.photos]
    report["time"] = measure_time(model, photos)
    some = photos[::max(1, len(photos) // NUM_INDEXED)][:NUM_INDEXED]
    report["indexing"] = measure_indexing(model, some, arguments.rank)
    report["stable_diffusion"] = measure_large()
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table(report))
    print(json.dumps({name: report[name] for name in ("time", "indexing", "stable_diffusion")}, indent=1))


if __name__ == "__main__":
    main()
