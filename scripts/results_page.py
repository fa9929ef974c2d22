"""Write the tables and figures of docs/results.md anew from the files below benchmarks/results.

    python scripts/results_page.py [--check]

What stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` is written here; the words around it are not.
With ``--check`` nothing is written, and the exit code says whether the page is what the result files give.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from scipy.stats import t as student

from sketchfusion.engine.ablations import REFERENCE, ROWS
from sketchfusion.engine.tables import find_table

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "benchmarks/results", ROOT / "docs/results.md"
FIGURE = ROOT / "docs/images/results_ablations.svg"
SHORT = {"released": "as in the released code"}  # titles too long for the figure
MEASURES = {  # of benchmarks/tasks.py -> heading
    "pacs mAP@all": "mAP@all", "pacs Acc@10": "instance Acc@10", "classes recognition_Acc@5": "recognition Acc@5",
    "composites correspondence_PCK@10": "PCK@10", "composites segmentation_IoU": "mIoU"}
PAPERS = {  # those that are nearest to the paper's Table 6
    "composites correspondence_PCK@5": "PCK@5", "composites segmentation_IoU": "mIoU", "pacs mAP@all": "mAP@all",
    "classes recognition_Acc@1": "recognition Acc@1"}
RETRIEVAL = {"pacs mAP@all": "mAP@all", "pacs P@100": "P@100", "pacs Acc@1": "instance Acc@1",
             "pacs Acc@10": "instance Acc@10"}
METHODS = {"B-Finetuning": "B-Finetuning", "B-CLIP": "B-CLIP", "B-SD": "B-SD", "B-SD+CLIP": "B-SD+CLIP",
           "fused": "fused, all tasks"}  # in the order of the paper's Tables 1 to 5, worst first -> in tasks.json
UNSEEN = {"B-CLIP": "unseen-bclip", "B-SD": "unseen-bsd", "B-SD+CLIP": "unseen-bsdclip", "fused": "unseen"}
Seeds = Mapping[int, Mapping[str, float]]  # seed -> measure -> mean over queries


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds with its 95 % interval (Student's t), as shares of one; no interval of a single seed."""

    mean: float
    half: float
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Of one value per seed."""
        count = len(values)
        half = float(student.ppf(0.975, count - 1)) * statistics.stdev(values) / count ** 0.5 if count > 1 else 0.0
        return cls(statistics.mean(values), half, count)

    @property
    def verdict(self) -> str:
        """Of a difference that is expected to be above zero."""
        if self.seeds < 2:
            return "?"
        return "yes" if self.mean > self.half else "reversed" if self.mean < -self.half else "open"

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f}" + (f" ± {100 * self.half:.1f}" if self.seeds > 1 else "")


def difference(better: Seeds, worse: Seeds, measure: str) -> Estimate | None:
    """Of the seeds that both have; None where they share none that has the measure."""
    shared = [seed for seed in better if seed in worse and measure in better[seed] and measure in worse[seed]]
    return Estimate.of([better[seed][measure] - worse[seed][measure] for seed in shared]) if shared else None


def estimate(seeds: Seeds, measure: str) -> Estimate | None:
    """Of the seeds that have the measure."""
    values = [figures[measure] for figures in seeds.values() if measure in figures]
    return Estimate.of(values) if values else None


def trained_alike() -> dict[str, Seeds]:
    """Method -> seeds, of ``benchmarks/tasks.py``; a fusion lies in ``NAME-SEED/fusion``."""
    found = json.loads((RESULTS / "tasks.json").read_text())["methods"]
    return {name: {seed_of(folder): means(figures) for folder, figures in
                   zip(method["folders"], method["by_seed"], strict=True)} for name, method in found.items()}


def seed_of(folder: str) -> int:
    """The number at the end of the name above ``fusion``; 0 where there is none."""
    found = re.search(r"-(\d+)$", Path(folder).parent.name)
    return int(found[1]) if found else 0


def ablations() -> dict[str, Seeds]:
    """Variant -> seeds, of ``benchmarks/ablations.py``."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for file in sorted((RESULTS / "ablations").glob("seed-*.json")):
        seed = int(file.stem.removeprefix("seed-"))
        for name, entry in json.loads(file.read_text()).items():
            found.setdefault(name, {})[seed] = means(entry["figures"])
    return dict(found)


def means(figures: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Measure -> mean over queries."""
    return {measure: figure["mean"] for measure, figure in figures.items()}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def shown(found: Estimate | None) -> str:
    """A cell; a dash where there is no figure."""
    return "-" if found is None else str(found)


def ordering_table(found: Mapping[str, Seeds], names: Mapping[str, str], measures: Mapping[str, str]) -> str:
    """Does the paper's order hold: differences over seeds, paired, each with its verdict."""
    rows = []
    for worse, better in [*pairwise(names), ("B-SD", "fused"), ("B-CLIP", "fused")]:
        above, below = (found.get(names[name], {}) for name in (better, worse))
        cells = [difference(above, below, measure) for measure in measures]
        rows.append([f"{better} above {worse}", *(f"{cell}: {cell.verdict}" if cell else "-" for cell in cells)])
    return table(["the paper's order", *measures.values()], rows)


def seeds_table(found: Mapping[str, Seeds], names: Mapping[str, str], measures: Mapping[str, str]) -> str:
    """Means over seeds of the methods that are there."""
    rows = [[title, str(len(found[name])), *(shown(estimate(found[name], measure)) for measure in measures)]
            for title, name in names.items() if name in found]
    return table(["trained alike", "seeds", *measures.values()], rows)


def injection_table() -> str:
    """What injecting gains or loses against not injecting at all, learned or not (paired by seed)."""
    found, titles = ablations(), {row.name: row.title for row in ROWS}
    rows = []
    for name in (REFERENCE, "frozen-injection", "released"):
        gained = [difference(found[name], found["no-injection"], measure) for measure in MEASURES]
        rows.append([titles[name], *("-" if item is None else change(item) for item in gained)])
    return table(["against no injection", *MEASURES.values()], rows)


def ablation_table(group: str, measures: Mapping[str, str] = MEASURES) -> str:
    """The reference's figures, and what each variant of a group gains or loses against it (paired by seed)."""
    found = ablations()
    reference = found[REFERENCE]
    rows = [["the reference", str(len(reference)), *(shown(estimate(reference, measure)) for measure in measures)]]
    for row in ROWS:
        if row.group == group and row.name in found:
            lost = [difference(found[row.name], reference, measure) for measure in measures]
            count = max((item.seeds for item in lost if item), default=0)
            rows.append([row.title, str(count), *("-" if item is None else change(item) for item in lost)])
    return table(["variant", "seeds", *measures.values()], rows)


def change(item: Estimate) -> str:
    """A difference with its sign, bold where the interval does not hold zero."""
    text = f"{100 * item.mean:+.1f}" + (f" ± {100 * item.half:.1f}" if item.seeds > 1 else "")
    return f"**{text}**" if item.verdict in ("yes", "reversed") else text


def missing_variants() -> str:
    """Which rows of the table of ablations have fewer than five seeds."""
    found = ablations()
    counts: dict[int, list[str]] = {}
    for row in ROWS:
        counts.setdefault(len(found.get(row.name, {})), []).append(f"`{row.name}`")
    lines = [f"{count} seed{'' if count == 1 else 's'}: {', '.join(names)}." for count, names in sorted(counts.items())
             if count < 5]
    return "Fewer than five seeds. " + " ".join(lines) if lines else "Every variant has five seeds."


def ablation_figure() -> None:
    """Write the picture of all differences: a row per variant, a panel per measure, 95 % intervals."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    mpl.rcParams |= {"svg.hashsalt": "results", "font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
    found = ablations()
    rows = [row for row in ROWS if row.name in found and row.group not in ("reference", "tasks", "unseen")]
    figure, panels = plt.subplots(1, len(MEASURES), sharey=True, figsize=(11, 0.8 + 0.24 * len(rows)),
                                  layout="constrained")
    for panel, (measure, title) in zip(panels, MEASURES.items(), strict=True):
        panel.axvline(0, color="#999999", linewidth=0.8)
        for height, row in enumerate(rows):
            item = difference(found[row.name], found[REFERENCE], measure)
            if item is not None:
                sure = item.verdict in ("yes", "reversed")
                panel.errorbar(100 * item.mean, height, xerr=100 * item.half, fmt="o", markersize=4, linewidth=1.2,
                               color="#d9480f" if sure else "#868e96", fillstyle="full" if item.seeds > 1 else "none")
        panel.set_title(title, fontsize=9)
        panel.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(rows)), [SHORT.get(row.name, row.title) for row in rows])
    panels[0].invert_yaxis()
    figure.supxlabel("points lost or gained against the reference, 95 % interval over seeds", fontsize=8)
    figure.savefig(FIGURE, metadata={"Date": None, "Creator": None})


def paper_table(name: str) -> str:
    """A table of the paper as ``sketchfusion reproduce`` left it: its own methods, the paper's numbers, then ours."""
    found = json.loads((RESULTS / "reproduce" / f"table-{name}.json").read_text())
    columns = list(enumerate(found["columns"]))
    theirs = [(place, column) for place, column in columns if column["in_paper"]]
    ours = [(place, column) for place, column in columns if any(row["ours"][place] for row in found["rows"])]
    head = [*(f"{column['data']} {column['measure']}, paper" for _, column in theirs),
            *(f"{column['data']} {column['measure']}" for _, column in ours)]
    rows = [[row["title"], *(printed(row["paper"][place], column) for place, column in theirs),
             *(interval(row["ours"][place], column) for place, column in ours)]
            for row in found["rows"] if not row["quoted"]]
    return table(["method", *head], rows)


def paper_ablations() -> str:
    """The paper's Table 6, as printed, in per cent."""
    sheet = find_table("6")
    columns = [column for column in sheet.columns if column.paper]
    units = [{"unit": "percent" if column.percent else "share"} for column in columns]
    rows = [[row.title, *map(printed, row.paper, units)] for row in sheet.rows if any(row.paper)]
    return table(["paper", *(f"{column.title} {column.measure}" for column in columns)], rows)


def printed(value: float | None, column: Mapping[str, object]) -> str:
    """One of the paper's numbers, in per cent."""
    return "-" if value is None else f"{per_cent(column) * value:.1f}"


def interval(found: Mapping[str, float] | None, column: Mapping[str, object]) -> str:
    """One of our figures, in per cent, with half of its interval."""
    if found is None:
        return "-"
    return f"{per_cent(column) * found['mean']:.1f} ± {per_cent(column) * (found['high'] - found['low']) / 2:.1f}"


def per_cent(column: Mapping[str, object]) -> float:
    """What a column's numbers are multiplied by; the paper has some as shares of one."""
    return 1.0 if column["unit"] == "percent" else 100.0


BLOCKS: Mapping[str, Callable[[], str]] = {
    **{f"paper-{name}": partial(paper_table, name) for name in ("1", "2", "3", "4", "5")},
    "trained": lambda: seeds_table(trained_alike(), METHODS, MEASURES),
    "ordering": lambda: ordering_table(trained_alike(), METHODS, MEASURES),
    "unseen": lambda: seeds_table(ablations(), UNSEEN, RETRIEVAL),
    "unseen-ordering": lambda: ordering_table(ablations(), UNSEEN, RETRIEVAL),
    "paper-6": paper_ablations, "table-6": partial(ablation_table, "table 6", PAPERS),
    "fig-5": partial(ablation_table, "fig 5"),
    "learned-injection": injection_table,
    **{group: partial(ablation_table, group) for group in ("injection", "noise", "descriptor", "tasks")},
    "seeds": missing_variants}


def written(page: str) -> str:
    """The page with every block anew. Raises SystemExit: a block is unknown or has no end."""
    def block(match: re.Match[str]) -> str:
        name = match[1]
        if name not in BLOCKS:
            sys.exit(f"{PAGE} asks for the block {name!r}; expected one of {', '.join(BLOCKS)}")
        try:
            return f"<!-- begin {name} -->\n\n{BLOCKS[name]()}\n\n<!-- end {name} -->"
        except FileNotFoundError as error:
            sys.exit(f"{error.filename} is not there, which the block {name!r} of {PAGE} is made of; the page says how "
                     "it is made")

    found = re.sub(r"<!-- begin ([\w-]+) -->.*?<!-- end \1 -->", block, page, flags=re.S)
    if found.count("<!-- begin ") != found.count("<!-- end "):
        sys.exit(f"{PAGE} has a block without an end")
    return found


def main() -> None:
    """Write, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is out of date")
    check = parser.parse_args().check
    page = PAGE.read_text()
    found = written(page)
    if check:
        sys.exit(0 if found == page else f"{PAGE} is not what the result files give; run python {Path(__file__).name}")
    PAGE.write_text(found)
    ablation_figure()
    print(f"{PAGE.relative_to(ROOT)}: {len(re.findall('<!-- begin', found))} blocks")


if __name__ == "__main__":
    main()
