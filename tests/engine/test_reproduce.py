"""Running a table: each cell once, results that are used again or not, intervals, what is skipped, and the text."""

from __future__ import annotations

import csv
import json
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from scipy.stats import t as student

from sketchfusion.engine import reproduce as module
from sketchfusion.engine.protocols import Found, find_protocol
from sketchfusion.engine.reproduce import Bench, Open, Reproduced, Status, file_of, number_of, reproduce
from sketchfusion.engine.results import Result
from sketchfusion.engine.table_data import read_table
from sketchfusion.engine.table_models import Contender, Model, chosen, contenders
from sketchfusion.engine.table_text import as_plain, markdown, of_ours, strips
from sketchfusion.engine.tables import TableRow, find_table
from sketchfusion.errors import ConfigError, DataError, WeightsUnavailable
from sketchfusion.fusion.extractor import SketchFusion

Draw = Callable[[tuple[int, int], int], Image.Image]
Go = Callable[..., Reproduced]


@pytest.fixture
def root(tmp_path: Path, draw_picture: Draw) -> Path:
    """``data/pacs`` of two classes with two photos and sketches each, of which one photo each was drawn."""
    folder = tmp_path / "data" / "pacs"
    for seed, name in enumerate(("cat", "house")):
        for side in ("photo", "sketch"):
            (folder / side / name).mkdir(parents=True)
            for index in range(2):
                draw_picture((40, 30), 10 * seed + index).save(folder / side / name / f"{index}.png")
    with (folder / "instance_pairs.csv").open("w", newline="") as lines:
        csv.writer(lines).writerows([["class", "photo", "sketch"],
                                     *([name, f"photo/{name}/0.png", f"sketch/{name}/{number}.png"]
                                       for name in ("cat", "house") for number in range(2))])
    return tmp_path / "data"


@pytest.fixture
def opened(tiny_model: SketchFusion, make_tiny: Callable[..., SketchFusion]) -> Open:
    """Models named ``tiny`` or ``tiny N``, of the noise of seed N; ``opened.calls`` tells which were asked for."""

    def open_model(place: str, overrides: Sequence[str]) -> SketchFusion:
        open_model.calls.append(place)  # type: ignore[attr-defined]
        seed = [f"diffusion.seed={place.split()[1]}"] if " " in place else []
        return make_tiny(*overrides, *seed) if overrides or seed else tiny_model

    open_model.calls = []  # type: ignore[attr-defined]
    return open_model


@pytest.fixture
def go(root: Path, tmp_path: Path, opened: Open) -> Go:
    """``go("2", "fused", "HOG")`` runs some rows of a table."""

    def go(name: str, *methods: str, overrides: Sequence[str] = (), **options: Any) -> Reproduced:
        table = chosen(find_table(name), methods)
        entered, skips = contenders(table, "tiny", overrides, {}, None)
        data, missing = read_table(table, root, {})
        return reproduce(table, entered, data, [*missing, *skips], tmp_path / "out", open_model=opened, **options)

    return go


def row(found: Reproduced, title: str) -> module.RowFound:
    return next(item for item in found.rows if item.row.title == title)


def test_rows_of_ours_stand_beside_the_papers(go: Go, tmp_path: Path) -> None:
    found = go("2", "fused", "HOG", "B-CLIP")
    assert (found.computed, found.resumed) == (3, 0)
    assert [item.row.title for item in found.rows] == ["B-CLIP", "HOG", "Gen-VAE", "LVM", "SD-PL", "Proposed"]
    ours = row(found, "Proposed")
    result = Result.load(tmp_path / "out" / "2" / "pacs-instances" / "fused.json")
    assert ours.evidence == {"pacs-instances": (module.Evidence(
        "2/pacs-instances/fused.json", "pacs-instances, test split", result.fingerprint, result.data),)}
    assert ours.paper == (33.01, 67.92, None, None, None)
    assert ours.ours[:2] == (None, None)  # there is no Sketchy
    measure = result.measures["Acc@5"]
    assert ours.ours[3] == module.Number(measure.mean, measure.low, measure.high, 4, 1, enough=False)
    assert row(found, "LVM").ours == (None,) * 5
    assert [(skip.kind, skip.name) for skip in found.skips] == [("missing data", "sketchy")]
    assert "pacs-instances: 4 queries, 2 photos in the gallery" in ours.notes
    assert "pacs-instances: own, docs/mini.md" in found.notes


def test_a_second_run_uses_what_is_there(go: Go, opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = go("2", "fused", "HOG")
    monkeypatch.setattr(module, "evaluate", None)  # a call would fail
    second = go("2", "fused", "HOG")
    assert (second.computed, second.resumed) == (0, 2)
    assert second.rows == first.rows
    monkeypatch.undo()
    again = go("2", "HOG", again=True)
    assert (again.computed, again.resumed) == (1, 0)
    assert opened.calls == ["tiny", "tiny"]  # HOG opens none


def test_what_has_changed_is_judged_anew(go: Go, root: Path, tmp_path: Path, draw_picture: Draw) -> None:
    go("2", "fused", "HOG")
    other = go("2", "fused", "HOG", overrides=["diffusion.seed=5"])
    assert (other.computed, other.resumed) == (1, 1)  # HOG has no seed
    draw_picture((40, 30), 77).save(root / "pacs" / "photo" / "cat" / "0.png")
    changed = go("2", "HOG")
    assert (changed.computed, changed.resumed) == (1, 0)
    file = tmp_path / "out" / "2" / "pacs-instances" / "HOG.json"
    file.write_text(file.read_text()[:100])  # as no kill can leave it
    assert go("2", "HOG").computed == 1
    plain = Result.load(file)
    plain.model_copy(update={"settings": {}}).save(file)  # of `sketchfusion evaluate --out`
    assert go("2", "HOG").computed == 1


def test_heads_are_part_of_the_identity(root: Path, make_tiny: Callable[..., SketchFusion]) -> None:
    tested = read_table(find_table("2"), root, {})[0]["pacs-instances"]
    model = make_tiny()
    fused, other = (module.identity_of(model, method, (), tested) for method in ("fused", "B-CLIP"))
    with torch.no_grad():
        for value in model.heads.parameters():
            value.add_(0.5)
    assert module.identity_of(model, "fused", (), tested) != fused
    assert module.identity_of(model, "B-CLIP", (), tested) == other


@pytest.mark.parametrize("change", [
    {"rounded": True}, {"refined": True}, {"gallery": "photos"}, {"split_rule": "pictures"}, {"options": {"a": 1}},
    {"side": 256}, {"lists": "sketchy-21"}, {"measures": (Found(1),)}])
def test_all_of_the_protocol_is_part_of_the_identity(change: dict[str, Any]) -> None:
    protocol = find_protocol("pacs-instances")
    assert module.identity_of_protocol(replace(protocol, **change)) != module.identity_of_protocol(protocol)
    reworded = replace(protocol, source="in other words")
    assert module.identity_of_protocol(reworded) == module.identity_of_protocol(protocol)


def test_a_stopped_run_goes_on(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = module.evaluate, []

    def once(*arguments: Any, **options: Any) -> Any:
        if calls:
            raise KeyboardInterrupt
        calls.append(options["method"])
        return real(*arguments, **options)

    monkeypatch.setattr(module, "evaluate", once)
    with pytest.raises(KeyboardInterrupt):
        go("2", "B-CLIP", "HOG", "fused")
    monkeypatch.setattr(module, "evaluate", real)
    found = go("2", "B-CLIP", "HOG", "fused")
    assert (calls, found.computed, found.resumed) == (["B-CLIP"], 2, 1)


def test_weights_that_are_missing_are_skipped_once(go: Go, encoder_folder: Callable[[str], Path]) -> None:
    found = go("2", "B-DINOv2", "HOG")
    skip, = [skip for skip in found.skips if skip.kind == "missing weights"]
    assert (skip.name, skip.protocols) == ("B-DINOv2", ("pacs-instances",))
    assert "name a folder with --baseline-set B-DINOv2.source=FOLDER" in skip.reason
    there = go("2", "B-DINOv2", baseline_settings={"B-DINOv2": [f"source={encoder_folder('dinov2')}", "size=32"]})
    assert there.computed == 1
    assert row(there, "B-DINOv2").ours[2] is not None


def test_a_broken_picture_stops_nothing_else(go: Go, root: Path) -> None:
    (root / "pacs" / "photo" / "house" / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"(?s)nothing of table.*- pacs \(broken data\): .*0\.png.*check pacs .*--deep"):
        go("2", "HOG", "fused")
    (root / "caltech-quickdraw").mkdir()
    shutil.rmtree(root / "pacs" / "photo" / "house")
    with pytest.raises(DataError, match=r"(?s)- caltech-quickdraw \(broken data\).*- pacs|- pacs \(broken data\)"):
        go("1", "HOG")


def test_a_sketch_that_is_blank_to_one_method_is_no_obstacle_to_the_others(go: Go, root: Path) -> None:
    """Grey on a little darker grey: too flat for HOG, and yet not of one colour."""
    faint = Image.new("RGB", (40, 30), (200, 200, 200))
    faint.paste((196, 196, 196), (5, 5, 20, 20))
    faint.save(next((root / "pacs" / "sketch" / "cat").iterdir()))
    found = go("2", "HOG", "chance", "fused")
    skip, = [skip for skip in found.skips if skip.kind == "failed"]
    assert (skip.name, skip.protocols) == ("HOG", ("pacs-instances",))
    assert "the sketch is blank" in skip.reason
    assert row(found, "chance").ours[2] is not None
    assert row(found, "Proposed").ours[2] is not None


def test_a_result_that_cannot_be_written_ends_the_run(go: Go, tmp_path: Path) -> None:
    (tmp_path / "out" / "2").mkdir(parents=True)
    (tmp_path / "out" / "2" / "pacs-instances").write_text("in the way")
    with pytest.raises(DataError, match="cannot write the result"):
        go("2", "HOG")


def test_nothing_at_all_says_everything(go: Go, root: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"- B-DINO \(missing weights\): no weights for the patch encoder"):
        go("2", "B-DINO")
    shutil.rmtree(root / "pacs")
    with pytest.raises(DataError, match=r"- pacs \(missing data\): there is no folder"):
        go("2", "HOG")


def test_a_wrong_setting_is_an_error_at_once(go: Go) -> None:
    with pytest.raises(ConfigError, match="diffusion"):
        go("2", "HOG", "fused", overrides=["diffusion.sed=1"])


def test_a_baseline_that_the_preset_cannot_be_is_skipped(go: Go) -> None:
    found = go("2", "B-CLIP", "fused", overrides=["finetune=true"])
    assert found.computed == 1
    skip, = [skip for skip in found.skips if skip.kind == "failed"]
    assert (skip.name, "would not be free of training" in skip.reason) == ("B-CLIP", True)


def test_seeds_give_students_interval(root: Path, tmp_path: Path, opened: Any) -> None:
    table = chosen(find_table("2"), ["fused"])
    models = tuple(Model(f"tiny {seed}", (), f"-{seed}") for seed in (1, 2, 3))
    entered = [Contender(next(item for item in table.rows if item.method), "fused", "fused", models)]
    data, _ = read_table(table, root, {})
    found = reproduce(table, entered, data, [], tmp_path / "out", open_model=opened)
    files = [tmp_path / "out" / "2" / "pacs-instances" / f"fused-{seed}.json" for seed in (1, 2, 3)]
    results = [Result.load(file) for file in files]
    means = [result.measures["Acc@1"].mean for result in results]
    number = row(found, "Proposed").ours[2]
    assert number is not None
    assert (number.mean, number.seeds) == (pytest.approx(statistics.mean(means)), 3)
    half = student.ppf(0.975, 2) * statistics.stdev(means) / 3 ** 0.5
    assert number.high - number.mean == pytest.approx(half)
    assert number_of([], "Acc@1") is None
    assert "Proposed (3 seeds)" in markdown(found)


def test_progress_reaches_the_end(go: Go) -> None:
    seen: list[Status] = []
    go("2", "HOG", "fused", on_status=seen.append)
    assert [status.cell for status in seen] == sorted(status.cell for status in seen)
    assert {status.cells for status in seen} == {2}
    assert seen[-1].done == seen[-1].total == 16  # two rows, four sketches and four photos
    assert seen[-1].doing == "Proposed on pacs-instances"


def test_names_of_files_are_safe_and_differ() -> None:
    def name(title: str) -> str:
        contender = Contender(TableRow(title=title), title, "fused", ())
        return file_of(Path("out"), contender, Model("x", (), "-0"), "pacs").name

    assert name("B-SD+CLIP") == "B-SD+CLIP-0.json"
    assert name("../../etc") != name("..//..etc")
    assert set(name("../../a b\n")) <= set("abcdef0123456789_.-jsno")
    assert not name("..").startswith(".")


def test_a_model_is_opened_once_for_all_rows(go: Go, opened: Any) -> None:
    go("2", "B-CLIP", "B-SD", "fused")
    assert opened.calls == ["tiny"]
    assert Bench.__dataclass_fields__["opened"].default == (None, None)


def test_text(go: Go) -> None:
    found = go("1", "fused", "HOG")
    text = markdown(found)
    head, _, *lines = [line for line in text.splitlines() if line.startswith("|")]
    columns = [cell.strip() for cell in head.strip("|").split("|")]
    assert columns[:3] == ["method", "Sketchy mAP@200, paper", "Sketchy mAP@200, ours"]
    assert "PACS mAP@all, ours" in columns
    assert "PACS mAP@all, paper" not in columns
    cells = {line.split("|")[1].strip(): [cell.strip() for cell in line.strip("|").split("|")] for line in lines}
    assert cells["Proposed"][1:3] == [".761", "-"]
    assert cells["CCGAN"][1] == "-"
    place, number = columns.index("PACS mAP@all, ours"), row(found, "Proposed").ours[6]
    assert number is not None
    shown = f"{number.mean:.3f}".replace("0.", ".")  # two photos: an interval says nothing
    wide = of_ours(replace(number, enough=True), found.table.columns[6])
    assert wide == f"{number.mean:.3f} ± {(number.high - number.low) / 2:.3f}".replace("0.", ".")
    best = max(item.ours[6].mean for item in found.rows if item.ours[6] is not None)
    assert cells["Proposed"][place] == (f"**{shown}**" if number.mean == best else shown)
    assert "* Skipped, missing data: sketchy-extended (sketchy-21). there is no folder" in text
    assert all(len(strip.cells) == len(found.rows) for strip in strips(found))


def test_plain_values_are_in_the_unit_of_their_column(go: Go) -> None:
    found = go("2", "fused")
    plain = json.loads(json.dumps(as_plain(found)))
    number = row(found, "Proposed").ours[3]
    assert number is not None
    last = plain["rows"][-1]
    assert last["ours"][3] == {"mean": pytest.approx(100 * number.mean), "low": pytest.approx(100 * number.low),
                               "high": pytest.approx(100 * number.high), "queries": 4, "seeds": 1,
                               "evidence": last["ours"][2]["evidence"]}
    evidence, = last["ours"][3]["evidence"]
    assert evidence["file"] == last["results"][0] == "2/pacs-instances/fused.json"
    assert (evidence["protocol"], len(evidence["data"]) > 8) == ("pacs-instances, test split", True)
    assert last["paper"][:2] == [33.01, 67.92]
    assert plain["columns"][3] == {"data": "PACS", "protocol": "pacs-instances", "measure": "Acc@5", "in_paper": False,
                                   "unit": "percent"}
    assert plain["skipped"][0]["name"] == "sketchy"
