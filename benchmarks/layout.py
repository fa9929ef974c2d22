"""What one vector forgets: retrieval on `pacs_dev` by maps pooled over regions, instead of once over all.

    python benchmarks/layout.py --data DATA --out benchmarks/results/layout.json

The maximum over each of N x N regions of the feature map, one after the other, with and without the mean of all
sketches (of all photos) taken off. N = 1 without centring is the descriptor that galleries hold.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor

from sketchfusion import SketchFusion
from sketchfusion.canvas import Canvas, Kind
from sketchfusion.data.pacs import read_pacs
from sketchfusion.engine.pacs_retrieval import judge_pacs, summary

BATCH, REGIONS = 64, (1, 2, 3, 4)


@torch.no_grad()
def feature_maps(model: SketchFusion, files: list[Path], kind: Kind) -> Tensor:
    """(N, D, Hf, Wf) in half precision."""
    parts = []
    for start in track(range(0, len(files), BATCH), description=f"{kind}es", transient=True):
        canvas = Canvas.stack([model.read(file, kind) for file in files[start:start + BATCH]])
        parts.append(model.features_of(canvas).feature_map.half())
    return torch.cat(parts)


def pooled(maps: Tensor, regions: int, *, centred: bool) -> Tensor:
    """(N, D * regions ** 2) unit vectors."""
    vectors = torch.cat([F.adaptive_max_pool2d(part.float(), regions).flatten(1) for part in maps.split(BATCH)])
    return F.normalize(vectors - vectors.mean(0) if centred else vectors, dim=1)


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds pacs_dev")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    model = SketchFusion.from_pretrained(arguments.model, device="cpu", dtype="float32")
    folder = read_pacs(arguments.data / "pacs_dev")
    sketches = feature_maps(model, [item.path for item in folder.sketches], "sketch")
    photos = feature_maps(model, [item.path for item in folder.photos], "photo")
    report = {}
    for regions in REGIONS:
        for centred in (False, True):
            both = [pooled(maps, regions, centred=centred) for maps in (sketches, photos)]
            name = f"{regions} x {regions}{', centred' if centred else ''}"
            report[name] = summary(judge_pacs(folder, *both))
            print(name, {key: round(100 * value["mean"], 1) for key, value in report[name].items()}, flush=True)
    arguments.out.write_text(json.dumps({"model": model.name, "fingerprint": model.fingerprint, "pooling": report},
                                        indent=1) + "\n")


if __name__ == "__main__":
    main()
