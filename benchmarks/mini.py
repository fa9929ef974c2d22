"""Everything that is claimed of the preset `mini`, by one command that writes one file.

    python benchmarks/mini.py --data DATA --out benchmarks/results/mini.json --pictures docs/images

Backbones on held-out pictures; the shipped fusion and what needs no training, on the real sketches and photos of the
development set ``pacs_dev``, of whose pictures none was trained on, while its classes were, from others; the cost of a
query. Every mean has the 95 % interval of a bootstrap over queries. ``--only`` runs a part and keeps the rest of an
existing file. Seeds and trained baselines, on all tasks: ``benchmarks/tasks.py``.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import torch
from measuring import markdown_table
from mini_backbones import measure_backbones
from mini_speed import measure_speed
from rich.progress import Progress

from sketchfusion import SketchFusion
from sketchfusion.data.pacs import PacsFolder, read_pacs
from sketchfusion.data.sets import Picture
from sketchfusion.engine.methods import HOG, describe
from sketchfusion.engine.pacs_retrieval import chance, describe_all, judge_pacs, summary

SECTIONS = ("backbones", "retrieval", "speed")


def measure_retrieval(data: Path, model: SketchFusion) -> dict[str, Any]:
    """Every method on ``pacs_dev``: measure -> mean and interval."""
    folder = read_pacs(data / "pacs_dev")
    with Progress(transient=True) as progress:
        vectors = {side: describe_all(model, files_of(folder, side), kind, baselines=True,
                                      on_progress=bar(progress, f"mini, {side}"))
                   for side, kind in (("sketches", "sketch"), ("photos", "photo"))}
        methods = {name: (vectors["sketches"][name], vectors["photos"][name]) for name in vectors["photos"]}
        edges = progress.add_task("HOG", total=len(folder.sketches) + len(folder.photos))
        methods["HOG of edges"] = tuple(
            describe(None, HOG, [Picture(item.path, item.class_name) for item in items], kind, batch_size=1,
                     advance=lambda count: progress.advance(edges, count))
            for items, kind in ((folder.sketches, "sketch"), (folder.photos, "photo")))
        table = {name: summary(judge_pacs(folder, *pair)) for name, pair in methods.items()}
        table["chance"] = summary(chance(folder))
    return {"photos": len(folder.photos), "sketches": len(folder.sketches), "pairs": len(folder.pairs),
            "drawn_photos": len({photo for photo, _ in folder.pairs}), "classes": list(folder.class_names),
            "average_precision": "plain: over all relevant photos, whole gallery", "methods": table}


def files_of(folder: PacsFolder, side: str) -> list[Path]:
    """The pictures of a side, in the order of the folder."""
    return [item.path for item in getattr(folder, side)]


def bar(progress: Progress, title: str) -> Any:
    """What to call with (done, total)."""
    task = progress.add_task(title, total=None)
    return lambda done, total: progress.update(task, completed=done, total=total)


def markdown(report: dict[str, Any]) -> str:
    """The retrieval table."""
    methods = report["retrieval"]["methods"]
    measures = list(methods["fused"])
    rows = [[name, *(f"{100 * own[m]['mean']:.1f} ({100 * own[m]['low']:.1f}-{100 * own[m]['high']:.1f})"
                     for m in measures)] for name, own in methods.items()]
    return markdown_table(["method", *measures], rows)


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--pictures", type=Path, required=True, help="folder for the sample pictures")
    parser.add_argument("--model", default="mini", help="preset or folder")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="a part; all if not given")
    arguments = parser.parse_args()
    report = json.loads(arguments.out.read_text()) if arguments.only and arguments.out.is_file() else {}
    model = SketchFusion.from_pretrained(arguments.model, device="cpu", dtype="float32")
    report |= {"model": model.name, "fingerprint": model.fingerprint, "threads": torch.get_num_threads(),
               "torch": torch.__version__, "machine": platform.machine()}
    wanted = arguments.only or SECTIONS
    if "retrieval" in wanted:
        report["retrieval"] = measure_retrieval(arguments.data, model)
    if "backbones" in wanted:
        report["backbones"] = measure_backbones(arguments.data, arguments.pictures)
    if "speed" in wanted:
        sketch = sorted((arguments.data / "pacs_dev" / "sketch" / "guitar").iterdir())[0]
        report["speed"] = measure_speed(model, arguments.data / "caltech101", sketch)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    if "retrieval" in report:
        print(markdown(report))
    print(json.dumps({key: report[key] for key in ("backbones", "speed") if key in report}, indent=1))


if __name__ == "__main__":
    main()
