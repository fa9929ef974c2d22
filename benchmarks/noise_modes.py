"""How much a feature depends on the noise that was drawn: every photo searched by its own re-saved copy.

    python benchmarks/noise_modes.py --photos DATA/caltech101 --count 200

A copy saved again as a JPEG of quality 60 looks the same, but its pixels differ. Printed for every noise setting: the
share of copies whose original comes first among all photos, and the mean cosine between copy and original.
"""

from __future__ import annotations

import argparse
import io
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from sketchfusion import SketchFusion
from sketchfusion.fusion.checkpoint import UntrainedWarning
from sketchfusion.images import as_image
from sketchfusion.index.scan import scan

SETTINGS: dict[str, tuple[str, ...]] = {
    "shared": ("diffusion.noise=shared",),
    "zero": ("diffusion.noise=zero",),
    "image": ("diffusion.noise=image",),
    "image, 8 samples": ("diffusion.noise=image", "diffusion.num_noise_samples=8"),
}


def saved_again(photo: Image.Image, quality: int) -> Image.Image:
    """The photo after a JPEG of that quality."""
    stream = io.BytesIO()
    photo.save(stream, "JPEG", quality=quality)
    return Image.open(io.BytesIO(stream.getvalue()))


def measure(preset: str, overrides: tuple[str, ...], photos: list[Image.Image], quality: int) -> dict[str, float]:
    """Share of copies whose original comes first, and mean cosine between the two."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UntrainedWarning)
        model = SketchFusion.from_pretrained(preset, overrides=overrides)
    originals = model.describe(photos, batch_size=16)
    copies = model.describe([saved_again(photo, quality) for photo in photos], batch_size=16)
    scores = copies @ originals.T
    first = (scores.argmax(1) == torch.arange(len(photos))).float().mean()
    return {"first": float(first), "cosine": float(scores.diagonal().mean())}


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200, help="photos, evenly spaced over the folder")
    parser.add_argument("--quality", type=int, default=60)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    files = [file.path for file in scan([options.photos]).files]
    photos = [as_image(files[index * len(files) // options.count]) for index in range(min(options.count, len(files)))]
    report: dict[str, Any] = {"preset": options.preset, "photos": len(photos), "quality": options.quality, "noise": {}}
    for name, overrides in SETTINGS.items():
        found = report["noise"][name] = measure(options.preset, overrides, photos, options.quality)
        print(f"{name:18} original first {found['first']:6.1%}   cosine {found['cosine']:.4f}")
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
