"""``sketchfusion segment`` from end to end, with the tiny extractor."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from sketchfusion.apps.cli import common
from sketchfusion.apps.cli.main import app
from sketchfusion.apps.cli.segment import mask_names
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.tasks.segmentation import segment

THRESHOLD = ("--threshold", "0.1")  # at which the untrained model finds something


@pytest.fixture(autouse=True)
def _shared_model(monkeypatch: pytest.MonkeyPatch, tiny_model: SketchFusion) -> None:
    monkeypatch.setattr(common, "open_model", lambda *arguments: tiny_model)


def run(*arguments: object, input: bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["segment", "--preset", "tiny", *map(str, arguments)], input=input)


@pytest.mark.parametrize("refined", [True, False])
def test_masks_and_json(sketch_file: Path, album: Path, tmp_path: Path, tiny_model: SketchFusion,
                        refined: bool) -> None:
    folder = tmp_path / "new" / "masks"
    result = run(sketch_file, album, *THRESHOLD, "--refine" if refined else "--no-refine", "--masks", folder, "--json",
                 "--batch-size", 2)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert list(told) == ["sketch", "results", "failures"]
    assert [failure["path"] for failure in told["failures"]] == [str(album / "broken.jpg")]
    paths = [str(album / f"{number}.png") for number in range(3)]
    assert [row["photo"] for row in told["results"]] == paths
    expected = segment(tiny_model, sketch_file, paths, threshold=0.1, refined=refined)
    shares = set()
    for number, (row, found) in enumerate(zip(told["results"], expected, strict=True)):
        assert row["mask"] == str(folder / f"{number}-mask.png")
        with Image.open(row["mask"]) as mask:
            assert (mask.mode, mask.size) == ("L", (60, 40))
            levels = np.asarray(mask)
        assert ((levels == 255) == found.mask.numpy()).all()
        assert set(np.unique(levels)) <= {0, 255}
        assert row["foreground"] == pytest.approx((levels == 255).mean(), abs=1e-6)
        assert (row["score"], row["threshold"]) == pytest.approx((found.score, 0.1), abs=1e-5)
        ys, xs = np.nonzero(levels)
        assert row["box"] == (None if not len(xs) else [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        shares.add(row["foreground"])
    assert shares != {0.0}
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize(("threshold", "foreground"), [("1.0", 0.0), ("-1.0", 1.0)])
def test_masks_of_nothing_and_all(sketch_file: Path, album: Path, threshold: str, foreground: float) -> None:
    told = json.loads(run(sketch_file, album / "0.png", "--threshold", threshold, "--json").stdout)
    (row,) = told["results"]
    assert row == {"photo": str(album / "0.png"), "mask": None, "foreground": foreground, "score": row["score"],
                   "threshold": float(threshold), "box": [0, 0, 60, 40] if foreground else None}


def test_a_table(sketch_file: Path, album: Path, tmp_path: Path) -> None:
    result = run(sketch_file, album, "--threshold", "-1", "--masks", tmp_path / "m")
    header, row, *others = result.stdout.splitlines()
    assert len(others) == 2
    assert row.split()[:2] == ["100.0", "%"]
    assert "0, 0, 60, 40" in row
    assert row.endswith(f"{album / '0.png'} -> {tmp_path / 'm' / '0-mask.png'}")
    assert row.index(str(album)) == header.index("photo")
    assert result.stderr.count(str(album / "broken.jpg")) == 1


def test_no_mask_takes_the_place_of_another_or_of_a_photo() -> None:
    assert mask_names(["a/x.jpg", "b/X.png", "b/x.jpg", "y.jpg", "z.jpg", "z-mask.png"]) == {
        "a/x.jpg": "x-mask.png", "b/X.png": "X-mask-2.png", "b/x.jpg": "x-mask-3.png", "y.jpg": "y-mask.png",
        "z.jpg": "z-mask-2.png", "z-mask.png": "z-mask-mask.png"}


def test_photos_of_one_name(sketch_file: Path, album: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "0.png"
    other.parent.mkdir()
    Image.new("RGB", (30, 20), "white").save(other)
    told = json.loads(run(sketch_file, album / "0.png", other, "--masks", tmp_path / "m", "--json").stdout)
    sizes = []
    for row in told["results"]:
        with Image.open(row["mask"]) as mask:
            sizes.append(mask.size)
    assert sizes == [(60, 40), (30, 20)]


def test_the_picture(sketch_file: Path, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "overlay.jpg"
    result = run(sketch_file, album, *THRESHOLD, "--picture", out)
    assert result.exit_code == 0, result.output
    assert f"Picture: {out}" in result.stderr
    pixels = np.asarray(Image.open(out).convert("RGB")).astype(int)
    assert pixels.shape[0] > 3 * 280
    assert pixels.shape[1] > 3 * 280
    assert (pixels[:, :330].max(axis=2) < 100).sum() > 500  # ink
    for channel, floor in ((0, 200), (1, 100), (2, 200)):  # each photo is there as it is
        others = [other for other in range(3) if other != channel]
        assert ((pixels[..., channel] > floor) & (pixels[..., others].max(axis=-1) < 60)).sum() > 10_000


@pytest.mark.parametrize(("arguments", "exit_code", "message"), [
    (["sketch.png", "album/0.png", "--masks", "sketch.png"], 2, "cannot write masks into sketch.png: File exists"),
    (["sketch.png", "album/0.png", "--picture", "nowhere/o.png"], 2, "there is no folder"),
    (["none.png", "album/0.png"], 3, "cannot read the sketch none.png"),
    (["sketch.png", "album/broken.jpg", "none.jpg"], 3, "none of the 2 pictures could be read"),
    (["sketch.png", "empty"], 3, "there are no photo files in empty"),
])
def test_what_goes_wrong(sketch_file: Path, album: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str],
                         exit_code: int, message: str) -> None:
    monkeypatch.chdir(sketch_file.parent)
    Path("empty").mkdir()
    result = run(*arguments, "--json")
    assert result.exit_code == exit_code, result.output
    assert message in json.loads(result.stdout)["error"]["message"]
    assert message in result.stderr


def test_a_threshold_that_is_no_cosine(sketch_file: Path, album: Path) -> None:
    assert run(sketch_file, album, "--threshold", "2").exit_code == 2
