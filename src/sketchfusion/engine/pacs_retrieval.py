"""Retrieval on a PACS folder: category-level over all its photos, instance-level over the photos that were drawn.

Protocol: every sketch is a query against every photo, a photo of its class is relevant (plain average precision, and
P@100); every sketch of a pair is a query against all photos of the pairs, its own photo is relevant (Acc@1/5/10).
Pictures are read whole, on the extractor's canvas. Nothing of the folder was trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from sketchfusion.canvas import Canvas, Kind
from sketchfusion.config import DescriptorConfig
from sketchfusion.data.pacs import PacsFolder
from sketchfusion.engine.baselines import baseline_vectors
from sketchfusion.engine.judge import judge_categories, judge_instances
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.metrics.retrieval import bootstrap_interval

BATCH = 32
Vectors = dict[str, Tensor]
Progress = Callable[[int, int], None]


def describe_all(model: SketchFusion, files: Sequence[Path], kind: Kind, *, baselines: bool,
                 on_progress: Progress | None = None) -> Vectors:
    """"fused", and with ``baselines`` those of ``engine.baselines`` by global max- and mean-pooling.

    Returns:
        Method -> (N, D) unit vectors on the CPU.
    """
    found: dict[str, list[Tensor]] = {}
    for start in range(0, len(files), BATCH):
        canvas = Canvas.stack([model.read(file, kind) for file in files[start:start + BATCH]])
        with torch.no_grad():
            encoded = model.encode(canvas.images_01)
            vectors = {"fused": model.fuse(encoded, canvas.content).descriptor.cpu()}
            for pooling in ("max", "mean") if baselines else ():
                each = baseline_vectors(model, encoded, canvas.content, DescriptorConfig(pooling=pooling))
                vectors |= {f"{name} ({pooling})": value for name, value in each.items()}
        for name, value in vectors.items():
            found.setdefault(name, []).append(value)
        if on_progress:
            on_progress(min(start + BATCH, len(files)), len(files))
    return {name: torch.cat(parts) for name, parts in found.items()}


def judge_pacs(folder: PacsFolder, sketches: Tensor, photos: Tensor) -> dict[str, Tensor]:
    """Per-query values of every measure; see the protocol above.

    Args:
        sketches, photos: (N, D), (M, D) unit vectors, rows as in the folder.
    """
    number = {name: index for index, name in enumerate(folder.class_names)}
    sketch_ids = torch.tensor([number[item.class_name] for item in folder.sketches])
    photo_ids = torch.tensor([number[item.class_name] for item in folder.photos])
    figures = judge_categories(sketches, photos, sketch_ids, photo_ids)
    if not folder.pairs:
        return figures
    sketch_row = {item.path: row for row, item in enumerate(folder.sketches)}
    photo_row = {item.path: row for row, item in enumerate(folder.photos)}
    drawn = sorted({photo for photo, _ in folder.pairs})
    place = {photo: row for row, photo in enumerate(drawn)}
    gallery = photos[torch.tensor([photo_row[photo] for photo in drawn])]
    queries = sketches[torch.tensor([sketch_row[sketch] for _, sketch in folder.pairs])]
    return figures | judge_instances(queries, gallery, torch.tensor([place[photo] for photo, _ in folder.pairs]))


def summary(figures: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """Measure -> mean over the queries, with the 95 % interval of a bootstrap over them."""
    result = {}
    for name, values in figures.items():
        low, high = bootstrap_interval(values)
        result[name] = {"mean": float(values.nanmean()), "low": low, "high": high}
    return result


def chance(folder: PacsFolder, *, draws: int = 20) -> dict[str, Tensor]:
    """What vectors by lot reach: the mean of so many draws, per query."""
    totals: dict[str, Tensor] = {}
    for draw in range(draws):
        generator = torch.Generator().manual_seed(draw)
        sketches, photos = (torch.nn.functional.normalize(torch.randn(len(items), 64, generator=generator), dim=1)
                            for items in (folder.sketches, folder.photos))
        for name, values in judge_pacs(folder, sketches, photos).items():
            totals[name] = totals.get(name, torch.zeros_like(values)) + values / draws
    return totals
