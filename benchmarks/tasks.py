"""Every task's figures of fusions over the same backbones, side by side, by one command that writes one file.

    python benchmarks/tasks.py --data DATA --shards shards --composites FOLDER --world FOLDER \
        --out benchmarks/results/tasks.json --method "universal=runs/a/fusion runs/b/fusion" --method "B-SD=..."

A method is a name and the folders of its seeds. What is judged was not seen in training by any of the networks:
retrieval on ``pacs_dev``; recognition on the held-out drawings of the shards (mean over classes, and over all drawings,
of which some classes have far more than others); correspondence and segmentation on
composites of held-out photos (`data make-composites --part held-out`) and on a drawn world of another seed. Frozen
encoders run once, for all methods that share them. Intervals: 95 % bootstrap over queries for one fusion, Student t
over seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from scipy.stats import t as student
from torch import Tensor

from sketchfusion import SketchFusion
from sketchfusion.canvas import Canvas, Kind
from sketchfusion.data.packed.augment import PLAIN
from sketchfusion.data.packed.corpus import load_corpus
from sketchfusion.data.packed.packing import PackOptions, pack
from sketchfusion.data.pacs import PacsFolder, read_pacs
from sketchfusion.engine.encoded import EncodedSide, encode_side, encoding_identity
from sketchfusion.engine.judge_tasks import describe_side, judge_dense, judge_recognition
from sketchfusion.engine.pacs_retrieval import judge_pacs, summary
from sketchfusion.features import Encoded

BATCH = 32
TABLES = (  # measure of the JSON -> heading
    {"pacs mAP@all": "mAP@all", "pacs P@100": "P@100", "pacs Acc@1": "instance Acc@1", "pacs Acc@10": "instance Acc@10",
     "classes recognition_Acc@1": "recognition Acc@1", "classes recognition_Acc@5": "recognition Acc@5",
     "drawings recognition_Acc@1": "Acc@1 over all drawings"},
    {"composites correspondence_PCK@5": "PCK@5, traced", "composites correspondence_PCK@10": "PCK@10, traced",
     "world correspondence_PCK@5": "PCK@5, world", "world correspondence_PCK@10": "PCK@10, world",
     "composites segmentation_IoU": "mIoU", "composites segmentation_pAcc": "pAcc",
     "composites segmentation_IoU_refined": "mIoU, refined", "composites segmentation_pAcc_refined": "pAcc, refined"},
)
Bar = Callable[[int, int], None]
Figures = dict[str, Tensor]


@dataclass(frozen=True)
class TestData:
    """Everything that is judged, as the frozen encoders see it.

    Attributes:
        pacs: the folder, and its sketches and photos in batches.
        drawings: held-out drawings; ``names`` are all class names of their shards.
        pairs: "composites" and "world" -> sketches and photos.
    """

    pacs: PacsFolder
    pacs_sketches: list[tuple[Encoded, Tensor]]
    pacs_photos: list[tuple[Encoded, Tensor]]
    drawings: EncodedSide
    names: tuple[str, ...]
    pairs: dict[str, tuple[EncodedSide, EncodedSide]]


def read_test_data(arguments: argparse.Namespace, model: SketchFusion, bar: Callable[[str], Bar]) -> TestData:
    """Read and encode it."""
    pacs = read_pacs(arguments.data / "pacs_dev")
    sides = [encode_files(model, [item.path for item in items], kind, bar(f"pacs_dev {kind}es"))
             for items, kind in ((pacs.sketches, "sketch"), (pacs.photos, "photo"))]
    corpus = load_corpus(arguments.shards, model.canvas_size, ["drawing"]).named().part(held_out=True)
    drawings = encode_side(model, corpus, "sketches", {"drawing": PLAIN}, num_views=1, seed=0,
                           on_progress=bar("drawings"))
    pairs = {name: encode_pairs(model, name, getattr(arguments, name), bar(name)) for name in ("composites", "world")
             if getattr(arguments, name, None)}
    return TestData(pacs, *sides, drawings, corpus.classes, pairs)


def encode_files(model: SketchFusion, files: list[Path], kind: Kind, on_progress: Bar) -> list[tuple[Encoded, Tensor]]:
    """Batches of what ``SketchFusion.fuse`` takes."""
    batches = []
    for start in range(0, len(files), BATCH):
        canvas = Canvas.stack([model.read(file, kind) for file in files[start:start + BATCH]])
        with torch.no_grad():
            batches.append((model.encode(canvas.images_01, always_patches=True), canvas.content))
        on_progress(min(start + BATCH, len(files)), len(files))
    return batches


def encode_pairs(model: SketchFusion, kind: str, folder: Path, on_progress: Bar) -> tuple[EncodedSide, EncodedSide]:
    """Sketches and photos of a generated folder, all of them."""
    with tempfile.TemporaryDirectory() as place:
        pack(None, Path(place) / "shards", PackOptions(held_out=0.0), extra=[f"{kind}={folder}"])
        corpus = load_corpus(Path(place) / "shards", model.canvas_size, ["photo", "sketch"])
    views = {"photo": PLAIN, "sketch": PLAIN}
    both = [encode_side(model, corpus, side, views, num_views=1, seed=0, keep_images=True, on_progress=on_progress)
            for side in ("sketches", "photos")]
    return both[0], both[1]


@torch.no_grad()
def judge(model: SketchFusion, data: TestData, *, refined: Sequence[str] = ("composites",)) -> Figures:
    """Per-query values of every measure; masks of the ``refined`` pairs also after refinement."""
    vectors = [torch.cat([model.fuse(encoded, content).descriptor.float() for encoded, content in batches])
               for batches in (data.pacs_sketches, data.pacs_photos)]
    figures = {f"pacs {name}": values for name, values in judge_pacs(data.pacs, *vectors).items()}
    if model.heads.recognition is not None:
        known = {name: number for number, name in enumerate(model.heads.recognition.class_names)}
        targets = torch.tensor([known.get(name, -1) for name in data.names])[data.drawings.class_ids]
        found = judge_recognition(model, describe_side(model, data.drawings), targets)
        figures |= {f"drawings {name}": values for name, values in found.items()}
        figures |= {f"classes {name}": by_class(values, targets[targets >= 0]) for name, values in found.items()}
    for place, (sketches, photos) in data.pairs.items():
        found = judge_dense(model, sketches, photos, refined=place in refined)
        figures |= {f"{place} {name}": values for name, values in found.items()}
    return figures


def by_class(values: Tensor, targets: Tensor) -> Tensor:
    """(K,) means over the drawings of each class: all classes count alike, however many drawings they have."""
    return torch.stack([values[targets == target].mean() for target in targets.unique()])


def over_seeds(by_seed: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Measure -> mean over the seeds, standard deviation, and the 95 % interval of the mean."""
    result = {}
    for measure in by_seed[0]:
        values = [figures[measure]["mean"] for figures in by_seed]
        mean, count = statistics.mean(values), len(values)
        std = statistics.stdev(values) if count > 1 else float("nan")
        half = float(student.ppf(0.975, count - 1)) * std / count ** 0.5 if count > 1 else float("nan")
        result[measure] = {"mean": mean, "std": std, "low": mean - half, "high": mean + half, "seeds": count}
    return result


def markdown(methods: dict[str, dict[str, Any]]) -> str:
    """The tables, per cent: mean, and half of the interval over seeds or, of one fusion, over queries."""
    return "\n\n".join(table(methods, measures) for measures in TABLES)


def table(methods: dict[str, dict[str, Any]], measures: dict[str, str]) -> str:
    """One of them."""
    lines = ["| method | " + " | ".join(measures.values()) + " |", "|---" * (len(measures) + 1) + "|"]
    for name, method in methods.items():
        several = len(method["by_seed"]) > 1
        figures = method["over_seeds"] if several else method["by_seed"][0]
        seeds = f", {len(method['by_seed'])} seeds" if several else ""
        lines.append(f"| {name}{seeds} | " + " | ".join(cell(figures.get(measure)) for measure in measures) + " |")
    return "\n".join(lines)


def cell(figure: dict[str, float] | None) -> str:
    """Mean and half of the interval; a dash where the method cannot do this."""
    if figure is None:
        return "-"
    return f"{100 * figure['mean']:.1f} ± {50 * (figure['high'] - figure['low']):.1f}"


def named_folders(texts: list[str]) -> dict[str, list[Path]]:
    """``NAME=FOLDER FOLDER ...`` -> folders by name."""
    methods = {}
    for text in texts:
        name, _, places = text.partition("=")
        folders = [Path(place) for place in places.split()]
        if not folders or not all(folder.is_dir() for folder in folders):
            sys.exit(f"cannot read {text!r}; expected NAME=FOLDER FOLDER ... with folders of `sketchfusion train`")
        methods[name] = folders
    return methods


def main() -> None:
    """Judge, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds pacs_dev")
    parser.add_argument("--shards", type=Path, required=True, help="folder of `pretrain pack`")
    parser.add_argument("--composites", type=Path, required=True, help="of `data make-composites --part held-out`")
    parser.add_argument("--world", type=Path, required=True, help="of `data make-world` with a seed of its own")
    parser.add_argument("--out", type=Path, required=True, help="JSON file; methods that are in it already stay")
    parser.add_argument("--method", action="append", default=[], metavar="NAME=FOLDER ...", help="seeds of a method")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="setting of all models")
    arguments = parser.parse_args()
    methods = named_folders(arguments.method)
    report = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {"methods": {}}
    with Progress(transient=True) as progress:

        def bar(title: str) -> Bar:
            task = progress.add_task(title, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        data: TestData | None = None
        identity: object = None
        for name, folders in methods.items():
            by_seed = []
            for folder in folders:
                model = SketchFusion.from_pretrained(folder, device="cpu", dtype="float32",
                                                     overrides=["diffusion.max_batch=64", *arguments.set])
                if data is None or backbones(model) != identity:
                    data, identity = read_test_data(arguments, model, bar), backbones(model)
                by_seed.append(summary(judge(model, data)))
            report["settings"] = arguments.set
            report["methods"][name] = {"folders": [str(folder) for folder in folders], "by_seed": by_seed,
                                       "over_seeds": over_seeds(by_seed)}
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    print(markdown(report["methods"]))


def backbones(model: SketchFusion) -> object:
    """What fusions judged on the same encoded data share; whether the diffusion model is run does not matter here."""
    return {key: value for key, value in encoding_identity(model).items() if key != "latents"}


if __name__ == "__main__":
    main()
