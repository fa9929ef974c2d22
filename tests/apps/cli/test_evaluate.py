"""``sketchfusion evaluate``: the list, a whole run with ``tiny``, its result file, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result as Outcome
from PIL import Image
from typer.testing import CliRunner

from sketchfusion.apps.cli import common
from sketchfusion.apps.cli.main import app
from sketchfusion.engine.protocols import PROTOCOLS
from sketchfusion.engine.results import Result
from sketchfusion.fusion.extractor import SketchFusion


def run(*arguments: object) -> Outcome:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tiny_model: SketchFusion) -> list[tuple[str, tuple[str, ...]]]:
    """Which models were asked for; all of them are ``tiny``."""
    calls: list[tuple[str, tuple[str, ...]]] = []

    def open_model(model: str, overrides: list[str], device: str, dtype: str) -> SketchFusion:
        calls.append((model, tuple(overrides)))
        return tiny_model

    monkeypatch.setattr(common, "open_model", open_model)
    return calls


@pytest.fixture
def folders(tmp_path: Path, draw_picture: Callable[[tuple[int, int], int], Image.Image]) -> Path:
    """Two classes of two photos and two sketches."""
    for seed, name in enumerate(("cat", "house")):
        for side in ("photos", "sketches"):
            (tmp_path / "data" / side / name).mkdir(parents=True)
            for index in range(2):
                draw_picture((40, 30), 10 * seed + index).save(tmp_path / "data" / side / name / f"{index}.png")
    return tmp_path / "data"


def test_list() -> None:
    text = run("--list")
    assert text.exit_code == 0, text.output
    rows = json.loads(run("--list", "--json").stdout)
    assert [row["name"] for row in rows] == list(PROTOCOLS)
    for row in rows:
        assert f"{row['name']}: {row['task']} on {row['data']}" in text.stdout
        assert row["measures"]
    assert "min(k, R)" in text.stdout


def test_table_and_result(folders: Path, asked: list[tuple[str, tuple[str, ...]]], tmp_path: Path) -> None:
    out = tmp_path / "results" / "tiny.json"
    found = run("folders", "--data", folders, "--model", "tiny", "--method", "B-CLIP", "--seed", 3, "--out", out)
    assert found.exit_code == 0, found.output
    assert asked == [("tiny", ("diffusion.seed=3",))]
    result = Result.load(out)
    assert (result.model, result.protocol) == ("tiny, B-CLIP", "folders, test split")
    line = next(line for line in found.stdout.splitlines() if line.startswith("mAP@all"))
    measure = result.measures["mAP@all"]
    assert line.split()[1:4] == ["4", f"{100 * measure.mean:.2f}", "%"]
    assert line.endswith(f"{100 * measure.low:.2f} to {100 * measure.high:.2f}")
    assert "tiny, B-CLIP" in found.stdout
    assert "4 sketches, 4 photos" in found.stdout
    assert "4 queries, 4 photos in the gallery" in found.stderr


def test_json(folders: Path, asked: list[tuple[str, tuple[str, ...]]]) -> None:
    found = json.loads(run("folders", "--data", folders, "--classes", "cat", "--json").stdout)
    assert asked == [("mini", ())]
    assert found["protocol"] == "folders, test split, cat only"
    assert (found["split"], found["photos"], found["sketches"]) == ("test", 2, 2)
    assert found["measures"]["mAP@all"]["mean"] == 1.0  # one class: every photo is right
    assert found["measures"]["mAP@all"]["queries"] == 2
    assert "all relevant photos R" in found["measures"]["mAP@all"]["definition"]


def test_a_place_that_cannot_be_written_is_told_at_once(folders: Path, asked: list[tuple[str, tuple[str, ...]]],
                                                       tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    found = run("folders", "--data", folders, "--out", tmp_path / "file" / "a.json", "--json")
    message = json.loads(found.stdout)["error"]["message"]
    assert found.exit_code == 2
    assert message == (f"cannot write to --out {tmp_path / 'file' / 'a.json'}: {tmp_path / 'file'}: File exists; "
                       "name a place that is writable and has room")

    def full(**options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    found = run("folders", "--data", folders, "--out", tmp_path / "b.json", "--json")
    assert "No space left on device" in json.loads(found.stdout)["error"]["message"]
    assert not asked


def test_a_broken_photo_says_what_to_do(folders: Path) -> None:
    (folders / "photos/cat/0.png").write_bytes(b"no picture")
    found = run("folders", "--data", folders, "--method", "HOG", "--json")
    assert found.exit_code == 3
    assert f"remove or repair it; `sketchfusion data check folders {folders} --deep` lists all" in json.loads(
        found.stdout)["error"]["message"]


def test_hog_loads_no_model(folders: Path, asked: list[tuple[str, tuple[str, ...]]]) -> None:
    found = json.loads(run("folders", "--data", folders, "--method", "HOG", "--json").stdout)
    assert (found["model"], found["seeds"], asked) == ("HOG", [], [])


def test_a_baseline_with_an_encoder_of_its_own(folders: Path, asked: list[tuple[str, tuple[str, ...]]], tmp_path: Path,
                                               encoder_folder: Callable[[str], Path]) -> None:
    place, out = encoder_folder("dinov2"), tmp_path / "dino.json"
    found = run("folders", "--data", folders, "--method", "B-DINOv2", "--baseline-set", f"source={place}",
                "--baseline-set", "size=32", "--out", out)
    assert found.exit_code == 0, found.output
    assert asked == [("mini", ())]
    result = Result.load(out)
    assert result.model == "tiny, B-DINOv2"
    assert result.settings["encoder"] == {"source": [str(place)], "layer": -1, "size": 32, "final_norm": True}


def test_weights_of_a_baseline_that_are_not_there(folders: Path, asked: list[tuple[str, tuple[str, ...]]]) -> None:
    found = run("folders", "--data", folders, "--method", "B-DINO", "--json")
    assert found.exit_code == 4
    message = json.loads(found.stdout)["error"]["message"]
    assert "no weights for the patch encoder of B-DINO" in message
    assert "name a folder with --baseline-set source=FOLDER" in message
    assert len(asked) == 1


@pytest.mark.parametrize(("arguments", "exit_code", "text"), [
    (("folders", "--data", ".", "--method", "B-CLIP", "--baseline-set", "layer=3"), 2,
     "B-CLIP has no encoder of its own that 'layer=3' could set"),
    ((), 2, "name a protocol and the folder of its data set"),
    (("folders",), 2, "name a protocol and the folder of its data set"),
    (("folder", "--data", "."), 2, "there is no protocol 'folder'; did you mean folders?"),
    (("psc6k", "--data", ".", "--method", "HOG"), 2, "HOG cannot do correspondence"),
    (("folders", "--data", ".", "--split", "validation"), 2, "folders has no validation split"),
    (("sketchy-21", "--data", ".", "--split", "train"), 2, "split must be validation or test, got 'train'"),
    (("folders", "--data", ".", "--classes", "cat,,dog"), 2, "--classes takes different names"),
    (("folders", "--data", ".", "--out", "."), 2, "--out . is a folder; name a file"),
    (("sketchy-21", "--data", "nowhere"), 6, "there is no folder nowhere"),
    (("sketchy-21", "--data", "nowhere"), 6, "from http://sketchy.eye.gatech.edu")])
def test_what_goes_wrong_goes_wrong_before_the_model_is_loaded(
    asked: list[tuple[str, tuple[str, ...]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], exit_code: int, text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run(*arguments, "--json")
    assert found.exit_code == exit_code, found.output
    assert text in json.loads(found.stdout)["error"]["message"]
    assert not asked
