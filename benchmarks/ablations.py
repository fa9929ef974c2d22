"""Judge the variants of ``sketchfusion.engine.ablations``: one file of figures per seed.

    python benchmarks/ablations.py --models MODELS --data DATA --shards shards --composites FOLDER \
        --out benchmarks/results/ablations [--seeds 0,1] [--variants fused,skips]

``MODELS/VARIANT-SEED/fusion`` are what ``sketchfusion reproduce --table ablations --train`` makes. Judged as
``benchmarks/tasks.py`` does, without the drawn world and without refinement. What a file has already is left alone;
several of these may run beside each other on other seeds. Frozen encoders run once for all variants that share them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.progress import Progress
from tasks import TestData, backbones, judge, read_test_data, summary

from sketchfusion import SketchFusion
from sketchfusion.config import digest
from sketchfusion.engine.ablations import VARIANTS, Variant


def open_variant(variant: Variant, seed: int, models: Path) -> SketchFusion | None:
    """The trained fusion, read as the variant says; None where it was not trained."""
    folder = models / f"{variant.trained_as}-{seed}" / "fusion"
    if not folder.is_dir():
        return None
    settings = () if variant.retrained else variant.settings
    return SketchFusion.from_pretrained(folder, device="cpu", overrides=["diffusion.max_batch=64", *settings])


def main() -> None:
    """Judge what is missing and write after each variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, text in (("models", "folder of fusions"), ("data", "holds pacs_dev"), ("shards", "of `pretrain pack`"),
                       ("composites", "of `data make-composites --part held-out`"), ("out", "folder of the figures")):
        parser.add_argument(f"--{name}", type=Path, required=True, help=text)
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    arguments = parser.parse_args()
    test_data: dict[str, TestData] = {}  # by what the frozen encoders give
    arguments.out.mkdir(parents=True, exist_ok=True)
    with Progress(transient=True) as progress:

        def bar(title: str) -> Any:
            task = progress.add_task(title, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        for seed in map(int, arguments.seeds.split(",")):
            file = arguments.out / f"seed-{seed}.json"
            report = json.loads(file.read_text()) if file.is_file() else {}
            for name in arguments.variants.split(","):
                model = None if name in report else open_variant(VARIANTS[name], seed, arguments.models)
                if model is None:
                    continue
                key = digest(backbones(model))
                if key not in test_data:
                    test_data[key] = read_test_data(arguments, model, bar)
                found = summary(judge(model, test_data[key], refined=()))
                report[name] = {"fingerprint": model.fingerprint, "figures": found}
                file.write_text(json.dumps(report, indent=1) + "\n")
                print(f"{name}, seed {seed}: mAP@all {found['pacs mAP@all']['mean']:.3f}", flush=True)


if __name__ == "__main__":
    main()
