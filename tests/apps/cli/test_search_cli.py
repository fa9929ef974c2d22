"""``sketchfusion search``, ``similar`` and ``gallery`` as a user meets them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sketchfusion.index.gallery import Gallery

Run = Callable[..., Any]
STROKES = '{"drawing": [[[0, 100, 50], [0, 0, 80]]]}'


def test_lines_of_score_and_path(run: Run, indexed: Path, sketch_file: Path, album: Path) -> None:
    ran = run("search", sketch_file, "--gallery", indexed)
    assert ran.exit_code == 0
    lines = [line.split("  ", 1) for line in ran.out.splitlines()]
    assert sorted(path for _, path in lines) == [str(album / f"{number}.png") for number in range(3)]
    assert [float(score) for score, _ in lines] == sorted((float(score) for score, _ in lines), reverse=True)


def test_json(run: Run, indexed: Path, sketch_file: Path, album: Path, loaded: Any) -> None:
    found = run("search", sketch_file, "--gallery", indexed, "--top", 2, "--json").json
    assert set(found) == {"query", "gallery", "results"}
    assert (found["query"], found["gallery"]) == (str(sketch_file), str(indexed))
    first = found["results"][0]
    assert list(first) == ["rank", "path", "score", "date", "folder", "width", "height"]
    assert [row["rank"] for row in found["results"]] == [1, 2]
    assert (first["folder"], first["width"], first["height"]) == (str(album), 60, 40)
    assert datetime.fromisoformat(first["date"]).tzinfo is None
    assert loaded.calls[-1] == ("fake-0", ())  # the recorded model, not the default


def test_every_way_to_give_a_sketch(run: Run, indexed: Path, sketch_file: Path, tmp_path: Path) -> None:
    (tmp_path / "many.ndjson").write_text(f"{STROKES}\n{STROKES}\n")
    (tmp_path / "s.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M1 1L8 8" '
                                    'stroke="black"/></svg>')
    literal = run("search", STROKES, "--gallery", indexed, "--json").json["results"]
    assert run("search", f"{tmp_path / 'many.ndjson'}#2", "--gallery", indexed, "--json").json["results"] == literal
    assert run("search", "-", "--gallery", indexed, "--json", input=STROKES.encode()).json["results"] == literal
    assert len(run("search", tmp_path / "s.svg", "--gallery", indexed, "--json").json["results"]) == 3
    missing = run("search", f"{tmp_path / 'many.ndjson'}#3", "--gallery", indexed)
    assert (missing.exit_code, "there is no line 3" in missing.err) == (3, True)


def test_nothing_found_is_no_error_and_gets_a_hint(run: Run, indexed: Path, album: Path, tmp_path: Path) -> None:
    ran = run("search", STROKES, "--gallery", indexed, "--min-score", "1.0", "--json")
    assert (ran.exit_code, ran.json["results"]) == (0, [])
    assert "Nothing scored 1.0 or more; the best was 0." in ran.err
    ran = run("search", STROKES, "--gallery", indexed, "--folder", tmp_path / "other")
    assert (ran.exit_code, ran.out) == (0, "")
    assert f"The gallery knows no photo in {tmp_path / 'other'}." in ran.err
    ran = run("search", STROKES, "--gallery", indexed, "--folder", album, "--before", "1990-01-01")
    assert "Nothing was found in this folder and between these dates." in ran.err
    assert "Nothing was found between" in run("search", STROKES, "--gallery", indexed, "--before", "1990-01-01").err
    for name in ("1.png", "2.png"):
        (album / name).unlink()
    run("index", "--gallery", indexed)
    assert "The gallery has no other photo." in run("similar", album / "0.png", "--gallery", indexed).err


def test_filters_and_order(run: Run, indexed: Path, album: Path) -> None:
    today = datetime.now().date().isoformat()
    for arguments, number in [(["--after", today], 3), (["--before", "2000-01-01"], 0), (["--folder", album], 3),
                              (["--before", today, "--sort", "date"], 3), (["--top", "1"], 1)]:
        assert len(run("search", STROKES, "--gallery", indexed, "--json", *arguments).json["results"]) == number
    assert run("search", STROKES, "--gallery", indexed, "--after", "1.2.2020").exit_code == 2
    backwards = run("search", STROKES, "--gallery", indexed, "--after", "2020-02-01", "--before", "2020-01-01")
    assert (backwards.exit_code, "no photo can match" in backwards.err) == (2, True)


def test_the_contact_sheet(run: Run, indexed: Path, sketch_file: Path, album: Path, tmp_path: Path) -> None:
    assert run("search", sketch_file, "--gallery", indexed, "--sheet", tmp_path / "s.png").exit_code == 0
    pixels = np.asarray(Image.open(tmp_path / "s.png").convert("RGB")).astype(int)
    for channel in range(3):  # each photo is there
        others = [other for other in range(3) if other != channel]
        assert ((pixels[..., channel] > 110) & (pixels[..., others].max(axis=-1) < 60)).sum() > 1500
    assert run("similar", album / "0.png", "--gallery", indexed, "--sheet", tmp_path / "t.jpg").exit_code == 0
    assert (tmp_path / "t.jpg").stat().st_size > 3000
    assert run("search", sketch_file, "--gallery", indexed, "--sheet", tmp_path / "s.pdf").exit_code == 2


@pytest.mark.parametrize("verb", ["search", "similar"])
def test_no_result_is_printed_where_the_sheet_cannot_be_written(run: Run, indexed: Path, sketch_file: Path,
                                                                tmp_path: Path, verb: str) -> None:
    (tmp_path / "folder.png").mkdir()
    for name, exit_code in (("folder.png", 2), (f"{'x' * 300}.png", 3)):
        ran = run(verb, sketch_file, "--gallery", indexed, "--sheet", tmp_path / name, "--json")
        assert (ran.exit_code, ran.json["error"]["exit_code"]) == (exit_code, exit_code)


def test_errors_before_the_model_is_loaded(run: Run, indexed: Path, tmp_path: Path, loaded: Any) -> None:
    loaded.calls.clear()
    Image.new("L", (20, 20), 255).save(tmp_path / "blank.png")
    blank = run("search", tmp_path / "blank.png", "--gallery", indexed, "--json")
    assert blank.exit_code == 3
    assert "blank sketch" in blank.json["error"]["message"]
    assert run("search", STROKES, "--gallery", tmp_path / "none").exit_code == 5
    assert run("similar", tmp_path / "none.jpg", "--gallery", indexed).exit_code == 3
    assert loaded.calls == []


def test_a_gallery_of_another_extractor(run: Run, indexed: Path) -> None:
    record = indexed / "gallery.json"
    record.write_text(record.read_text().replace("fake-32-0", "fake-32-9"))
    ran = run("search", STROKES, "--gallery", indexed)
    assert ran.exit_code == 5
    assert "fake-32-9" in ran.err
    assert "--rebuild" in ran.err


def test_similar(run: Run, indexed: Path, album: Path, tmp_path: Path, loaded: Any) -> None:
    loaded.calls.clear()
    found = run("similar", album / "0.png", "--gallery", indexed, "--json").json["results"]
    assert sorted(Path(row["path"]).name for row in found) == ["1.png", "2.png"]
    assert loaded.calls == []  # the descriptor of a photo in the gallery is known
    shutil.copy(album / "0.png", tmp_path / "same.png")
    Image.new("RGB", (30, 30), "orange").save(tmp_path / "new.png")
    assert len(run("similar", tmp_path / "same.png", "--gallery", indexed, "--json").json["results"]) == 2
    assert len(run("similar", tmp_path / "new.png", "--gallery", indexed, "--json").json["results"]) == 3
    assert loaded.calls == [("fake-0", ())]


def test_gallery_info(run: Run, indexed: Path, album: Path) -> None:
    facts = run("gallery", "info", indexed, "--json").json
    assert (facts["photos"], facts["model"], facts["fingerprint"], facts["roots"]) == (
        3, "fake-0", "fake-32-0", [str(album)])
    text = run("gallery", "info", indexed)
    assert text.exit_code == 0
    assert "photos:       3\n" in text.out
    assert run("gallery", "info", album).exit_code == 5


def test_gallery_verify(run: Run, indexed: Path, album: Path) -> None:
    good = run("gallery", "verify", indexed, "--deep", "--json")
    assert (good.exit_code, good.json["problems"], good.json["photos"]) == (0, [], 3)
    (album / "1.png").unlink()
    bad = run("gallery", "verify", indexed)
    assert bad.exit_code == 5
    assert f"{album / '1.png'}: it cannot be read" in bad.out
    assert "3 photos checked, 1 problems" in bad.err
    assert run("gallery", "verify", indexed, "--json").json["problems"][0]["path"] == str(album / "1.png")


@pytest.mark.parametrize("name", ["out.npz", "out.parquet"])
def test_gallery_export(run: Run, indexed: Path, tmp_path: Path, name: str) -> None:
    ran = run("gallery", "export", indexed, tmp_path / name, "--json")
    assert (ran.exit_code, ran.json["photos"]) == (0, 3)
    assert (tmp_path / name).stat().st_size > 100
    assert run("gallery", "export", indexed, tmp_path / "out.csv").exit_code == 2


def test_empty_gallery(run: Run, indexed: Path, album: Path) -> None:
    for file in album.iterdir():
        file.unlink()
    run("index", album, "--gallery", indexed, "--allow-empty")
    ran = run("search", STROKES, "--gallery", indexed)
    assert (ran.exit_code, ran.out) == (0, "")
    assert "The gallery has no photos" in ran.err
    assert Gallery.open(indexed).info()["photos"] == 0
