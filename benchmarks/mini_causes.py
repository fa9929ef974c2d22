"""Why the figures of `mini` are what they are: one cause varied at a time, without any training.

    python benchmarks/mini_causes.py --data DATA --out benchmarks/results/mini_causes.json

* What four numbers for a square of 4 x 4 pixels hold by linear means, at 64 and 128 px: a yardstick of the autoencoder.
* How much of the floor (HOG of edges) is due to resolution and how much to keeping the layout: HOG of pictures shrunk
  to 64 px, and HOG whose cells are pooled by their maximum, as the descriptors are.
* Noise level, taps and layers of the backbones, as training-free baselines on ``pacs_dev``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from rich.progress import track
from torch import Tensor

from sketchfusion import SketchFusion
from sketchfusion.canvas import Kind
from sketchfusion.data.packed.augment import PLAIN
from sketchfusion.data.packed.corpus import load_corpus, spread
from sketchfusion.data.packed.packing import PackOptions, pack
from sketchfusion.data.packed.sampling import generator_for
from sketchfusion.data.pacs import PacsFolder, read_pacs
from sketchfusion.engine.hog import edge_descriptor
from sketchfusion.engine.pacs_retrieval import describe_all, judge_pacs
from sketchfusion.images import decode, open_image
from sketchfusion.pretrain.vae import psnr

PATCH, LEARNED, JUDGED = 4, 1500, 500
HOG_CELL = 36  # 9 orientations in each of a block's 2 x 2 cells
SIDES: tuple[tuple[str, Kind], ...] = (("sketches", "sketch"), ("photos", "photo"))
SETTINGS = {  # what is shown -> (settings of the model, baseline)
    "B-SD, t = 195 (as shipped)": ((), "B-SD (mean)"),
    "B-SD, t = 50": (("diffusion.timesteps=[50]",), "B-SD (mean)"),
    "B-SD, t = 400": (("diffusion.timesteps=[400]",), "B-SD (mean)"),
    "B-SD, no noise": (("diffusion.noise=zero",), "B-SD (mean)"),
    "B-SD, up1 alone": (("aggregation.taps=[up1]",), "B-SD (mean)"),
    "B-SD, up2 alone": (("aggregation.taps=[up2]",), "B-SD (mean)"),
    "B-SD, up3 alone": (("aggregation.taps=[up3]",), "B-SD (mean)"),
    "B-CLIP, penultimate block (as shipped)": ((), "B-CLIP (mean)"),
    "B-CLIP, last block": (("encoder.layer=-1",), "B-CLIP (mean)"),
    "B-CLIP, block before": (("encoder.layer=-3",), "B-CLIP (mean)"),
}


def linear_code(data: Path, sizes: Sequence[int] = (64, 128), channels: Sequence[int] = (4, 8)) -> dict[str, float]:
    """PSNR in dB of held-out photos from the first principal components of 4 x 4 patches of training photos.

    The best that a linear code without sight of its neighbours can do; an autoencoder sees more, and may do better.
    """
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        shards = Path(folder) / "shards"
        pack(data, shards, PackOptions(only=("caltech101", "clothing", "grocery", "trashnet")))
        for size in sizes:
            corpus = load_corpus(shards, size, ["photo"])
            learned, judged = (corpus.part(held_out=part).sets["photo"] for part in (False, True))
            photos = learned.render(spread(learned, LEARNED), PLAIN, generator_for("cpu", "plain"))
            patches = F.unfold(photos, PATCH, stride=PATCH).transpose(1, 2).flatten(0, 1)
            mean = patches.mean(0)
            _, _, directions = torch.linalg.svd((patches - mean)[::7], full_matrices=False)
            for count in channels:
                rebuilt = Linear(mean, directions[:count], size)
                found[f"{size} px, {count} channels"] = float(psnr(judged, spread(judged, JUDGED), rebuilt).mean())
    return found


class Linear:
    """Pictures through the first principal components of their patches."""

    def __init__(self, mean: Tensor, directions: Tensor, size: int) -> None:
        self.mean, self.directions, self.size = mean, directions, size

    def __call__(self, images_01: Tensor) -> Tensor:
        """(B, 3, S, S) -> the same, as far as the components hold it."""
        patches = F.unfold(images_01, PATCH, stride=PATCH).transpose(1, 2) - self.mean
        kept = patches @ self.directions.T @ self.directions + self.mean
        return F.fold(kept.transpose(1, 2), self.size, PATCH, stride=PATCH)


def hog_causes(folder: PacsFolder) -> dict[str, dict[str, float]]:
    """The floor of pictures as they are and of shrunk ones, and with its cells pooled."""
    found = {}
    for size in (227, 64):
        rows = {name: np.stack([edge_descriptor(shrunk(item.path, size), kind)
                                for item in track(getattr(folder, name), f"HOG, {size} px, {name}", transient=True)])
                for name, kind in SIDES}
        whole = {name: torch.from_numpy(value) for name, value in rows.items()}
        pooled = {name: F.normalize(value.unflatten(1, (-1, HOG_CELL)).amax(1), dim=1) for name, value in whole.items()}
        for how, vectors in (("", whole), (", maximum over the cells", pooled)):
            found[f"HOG of edges, pictures of {size} px{how}"] = means(
                judge_pacs(folder, vectors["sketches"], vectors["photos"]))
    return found


def shrunk(file: Path, size: int) -> Image.Image:
    """The picture, its longer side at most so many pixels."""
    picture = decode(open_image(file))
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    return picture


def settings_causes(folder: PacsFolder) -> dict[str, dict[str, float]]:
    """The baselines of ``SETTINGS``; models with the same settings are run once."""
    found: dict[str, dict[str, float]] = {}
    for settings in dict.fromkeys(settings for settings, _ in SETTINGS.values()):
        model = SketchFusion.from_config(_config(settings)).eval()
        vectors = {name: describe_all(model, [item.path for item in getattr(folder, name)], kind, baselines=True)
                   for name, kind in track(SIDES, " ".join(settings) or "as shipped", transient=True)}
        for name, (mine, method) in SETTINGS.items():
            if mine == settings:
                found[name] = means(judge_pacs(folder, vectors["sketches"][method], vectors["photos"][method]))
    return {name: found[name] for name in SETTINGS}


def _config(settings: Sequence[str]) -> Any:
    from sketchfusion.config import load_preset

    return load_preset("mini", settings).extractor


def means(figures: dict[str, Tensor]) -> dict[str, float]:
    """Measure -> mean over the queries, in per cent."""
    return {name: round(100 * float(values.nanmean()), 2) for name, values in figures.items()}


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    folder = read_pacs(arguments.data / "pacs_dev")
    report: dict[str, Any] = {}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    for name, measure in (("psnr_of_linear_code_db", lambda: linear_code(arguments.data)),
                          ("hog", lambda: hog_causes(folder)), ("settings", lambda: settings_causes(folder))):
        report[name] = measure()
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")  # each part as soon as it is known
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
