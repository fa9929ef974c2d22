"""PSC6K: its two tables, the split of the released code, both directions, and broken tables."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from sketchfusion.data.sets.base import Findings
from sketchfusion.data.sets.psc6k import Protocol, read_psc6k, scan_psc6k
from sketchfusion.errors import ConfigError, DataError

Plant = Callable[..., Path]
PS, ST = "photo,sketch,class,XA,YA,XB,YB", "source_image,target_image,class,XA,YA,XB,YB"
XA, YA, XB, YB = "1;2;3;4;5;6;7;8", "10;20;30;40;50;60;70;80.5", "0;0;0;0;0;0;0;256", "9;9;9;9;9;9;9;9"


def photo(name: str, number: int) -> str:
    return f"photo/tx_000100000000/{name}/n01_{number:02d}.jpg"


def sketch(name: str, number: int, which: int) -> str:
    return f"sketch/tx_000100000000/{name}/n01_{number:02d}-{which}.png"


@pytest.fixture
def benchmark(plant: Plant) -> Path:
    """Two classes with ten photos and five sketches each, rows shuffled; pictures where Sketchy unpacks them."""
    rows = [(photo(name, number), sketch(name, number, which), index) for index, name in enumerate(("ant", "bat"))
            for number in range(10) for which in range(1, 6)]
    places = ("Sketchy/rendered_256x256/256x256/" + path for row in rows for path in row[:2])
    root = plant(*places, "PSC6K/README.md")
    random.Random(0).shuffle(rows)
    write(root, [f"{one},{other},{index + 1},{XA},{YA},{XB},{YB}" for one, other, index in rows])
    return root


def write(root: Path, rows: list[str], header: str = PS, name: str = "test_pairs_ps.csv") -> None:
    (root / "PSC6K" / name).write_text("\n".join([header, *rows]) + "\n")


def test_pairs_and_points(benchmark: Path) -> None:
    found = read_psc6k(benchmark)
    assert (len(found.photos), len(found.sketches), len(found.pairs), len(found.key_points)) == (20, 100, 100, 100)
    first = found.key_points[0]
    assert first.photo == found.photos[0]
    assert first.photo.path == benchmark / "Sketchy/rendered_256x256/256x256" / photo("ant", 0)
    assert (first.photo.class_name, first.photo.instance) == ("ant", "n01_00") == (
        first.sketch.class_name, first.sketch.instance)
    assert first.photo_points[0] == (1, 10)
    assert first.photo_points[7] == (8, 80.5)
    assert first.sketch_points[7] == (256, 9)
    assert first.visible == (True,) * 8
    assert len(found.part(["bat"]).key_points) == 50


def test_the_split_of_the_released_code_is_six_and_four_photos_a_class(benchmark: Path) -> None:
    train, test = read_psc6k(benchmark, protocol="train"), read_psc6k(benchmark, protocol="test")
    for name in ("ant", "bat"):
        assert [item.instance for item in train.photos if item.class_name == name] == [f"n01_0{n}" for n in range(6)]
        assert [item.instance for item in test.photos if item.class_name == name] == [f"n01_0{n}" for n in range(6, 10)]
    assert (len(train.key_points), len(test.key_points)) == (60, 40)
    directed = [step for pair in train.key_points + test.key_points for step in pair.directed()]
    assert len(directed) == 200
    assert set(train.sketches) | set(test.sketches) == set(read_psc6k(benchmark).sketches)


def lines_of(root: Path) -> list[str]:
    return (root / "PSC6K/test_pairs_ps.csv").read_text().splitlines()[1:]


@pytest.mark.parametrize("protocol", ["train", "test"])
def test_a_lost_row_moves_no_photo_from_one_part_to_the_other(benchmark: Path, protocol: Protocol) -> None:
    lost = next(line for line in lines_of(benchmark) if photo("bat", 3) in line)
    write(benchmark, [line for line in lines_of(benchmark) if line != lost])
    with pytest.raises(DataError, match=r"has not 50 rows of 1 class\(es\): bat has 49; rows 0-29 of each train and "
                                        "30-49 test, .* download it again, or name the other classes"):
        read_psc6k(benchmark, protocol=protocol)
    assert len(read_psc6k(benchmark).key_points) == 99
    assert read_psc6k(benchmark, protocol=protocol, classes=["ant"]).class_names == ("ant",)


@pytest.mark.parametrize("protocol", ["train", "test"])
def test_no_photo_is_in_both_parts(benchmark: Path, protocol: Protocol) -> None:
    """A row of the first photo is instead one of the last: as many rows as before."""
    moved = f"{photo('ant', 9)},{sketch('ant', 0, 1)},"
    write(benchmark, [line.replace(f"{photo('ant', 0)},{sketch('ant', 0, 1)},", moved) for line in lines_of(benchmark)])
    with pytest.raises(DataError, match=r"has 1 photo\(s\) both in rows 0-29 of a class, which train, and in 30-49, "
                                        r"which test: photo/tx_000100000000/ant/n01_06.jpg; expected each in one of"):
        read_psc6k(benchmark, protocol=protocol)


def test_a_row_is_there_twice(benchmark: Path) -> None:
    rows = [f"{photo('ant', 0)},{sketch('ant', 0, which)},1,{XA},{YA},{XB},{YB}" for which in (1, 2, 1)]
    write(benchmark, rows)
    with pytest.raises(DataError, match=r"test_pairs_ps.csv, line 4 repeats line 2, photo/.*n01_00.jpg and sketch/.*"
                                        "-1.png; expected each pair once: download it again"):
        read_psc6k(benchmark)
    findings = Findings(collect=True)
    assert len(scan_psc6k(benchmark, findings).key_points) == 2
    assert [problem.kind for problem in findings.problems] == ["wrong"]


def test_the_two_way_table_says_the_same(benchmark: Path) -> None:
    expected = read_psc6k(benchmark)
    rows = [line.split(",") for line in (benchmark / "PSC6K/test_pairs_ps.csv").read_text().splitlines()[1:]]
    both = [",".join(row) for row in rows] + [
        ",".join([row[1], row[0], row[2], *row[5:7], *row[3:5]]) for row in rows]
    (benchmark / "PSC6K/test_pairs_ps.csv").unlink()
    write(benchmark, both, ST, "test_pairs_st.csv")
    assert read_psc6k(benchmark) == expected


@pytest.mark.parametrize("prefix", ["", "256x256/", "rendered_256x256/256x256/"])
def test_paths_may_start_higher_up(plant: Plant, prefix: str) -> None:
    root = plant("rendered_256x256/256x256/" + photo("ant", 1), "rendered_256x256/256x256/" + sketch("ant", 1, 1),
                 "PSC6K/README.md")
    write(root, [f"{prefix}{photo('ant', 1)},{prefix}{sketch('ant', 1, 1)},1,{XA},{YA},{XB},{YB}"])
    for folder, sketchy in ((root, None), (root / "PSC6K", None), (root / "PSC6K", root)):
        found = read_psc6k(folder, sketchy=sketchy)
        assert found.photos[0].path.is_file()


def test_some_classes(benchmark: Path) -> None:
    assert read_psc6k(benchmark, classes=["bat"]).class_names == ("bat",)
    with pytest.raises(DataError, match="psc6k has no class cow; expected some of ant, bat"):
        read_psc6k(benchmark, classes=["cow"])


def test_points_off_the_picture_are_told(benchmark: Path) -> None:
    write(benchmark, [f"{photo('ant', 0)},{sketch('ant', 0, 1)},1,{XA},{YA},{XB.replace('256', '260')},{YB}"])
    assert read_psc6k(benchmark).notes == ("1 coordinates lie off the pictures of 256 x 256 pixels",)


@pytest.mark.parametrize(("fields", "text"), [
    ((XA, YA, XB, "1;2"), "line 2: got 8 x and 2 y; expected 8 numbers in each of XA, YA, XB and YB"),
    ((XA, YA, XB, ""), "line 2: could not convert string to float"),
    ((XA, "1;2;3;4;5;6;7;x", XB, YB), "line 2: could not convert string to float: 'x'"),
    ((XA, "1;2;3;4;5;6;7;nan", XB, YB), "line 2: got the coordinate nan"),
    ((XA, YA, XB), "line 2 has 6 fields; expected photo,sketch,class,XA,YA,XB,YB"),
    ((XA, YA, XB, '"1'), "cannot read .*test_pairs_ps.csv: .*expected comma-separated UTF-8 text")])
def test_malformed_rows(benchmark: Path, fields: tuple[str, ...], text: str) -> None:
    write(benchmark, [",".join([photo("ant", 0), sketch("ant", 0, 1), "1", *fields])])
    with pytest.raises(DataError, match=text):
        read_psc6k(benchmark)


def test_two_classes_in_a_row(benchmark: Path) -> None:
    write(benchmark, [f"{photo('ant', 0)},{sketch('bat', 0, 1)},1,{XA},{YA},{XB},{YB}"])
    with pytest.raises(DataError, match=r"line 2 pairs photo.*ant.* and sketch.*bat.*; expected a photo and a sketch"):
        read_psc6k(benchmark)


def test_the_header_is_wrong(benchmark: Path) -> None:
    write(benchmark, [], header="photo,sketch")
    with pytest.raises(DataError, match="begins with 'photo,sketch'; expected the header photo,sketch,class,XA"):
        read_psc6k(benchmark)


def test_a_picture_or_the_table_is_missing(benchmark: Path) -> None:
    (benchmark / "Sketchy/rendered_256x256/256x256" / photo("ant", 3)).unlink()
    with pytest.raises(DataError, match=r"names 1 pictures that are not in .*256x256: photo/tx_000100000000/ant/n01_0"):
        read_psc6k(benchmark)
    with pytest.raises(DataError, match=r"names 120 pictures that are not in .*; unpack Sketchy's rendered_256x256"):
        read_psc6k(benchmark / "PSC6K", sketchy=benchmark / "nowhere")
    (benchmark / "PSC6K/test_pairs_ps.csv").unlink()
    with pytest.raises(DataError, match=r"has no test_pairs_ps.csv; expected it there or in PSC6K"):
        read_psc6k(benchmark)


def test_no_such_protocol(benchmark: Path) -> None:
    with pytest.raises(ConfigError, match="protocol must be all, train or test, got 'val'"):
        read_psc6k(benchmark, protocol="val")  # type: ignore[arg-type]
