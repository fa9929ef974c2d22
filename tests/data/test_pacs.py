"""Reading a folder laid out like PACS, and what is said of a broken one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sketchfusion.data.pacs import LabelledPicture, read_pacs
from sketchfusion.errors import DataError

LINES = ("dog,photo/dog/b.jpg,sketch/dog/b-1.png", "dog,photo/dog/b.jpg,sketch/dog/b-2.png",
         "cat,photo/cat/c.JPG,sketch/cat/c-1.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, a hidden file, a hidden folder and a text file."""
    root = tmp_path / "pacs"
    for name in ("photo/dog/b.jpg", "photo/dog/a.png", "photo/cat/c.JPG", "sketch/dog/b-2.png", "sketch/dog/b-1.png",
                 "sketch/cat/c-1.png", "photo/dog/.hidden.jpg", "photo/dog/notes.txt", "photo/.thumbnails/x.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def write_table(folder: Path, *lines: str, header: str = "class,photo,sketch") -> None:
    (folder / "instance_pairs.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


def test_what_is_there_is_found_in_order(folder: Path) -> None:
    write_table(folder, *LINES)
    found = read_pacs(str(folder))
    assert found.class_names == ("cat", "dog")
    assert found.photos == (LabelledPicture(folder / "photo/cat/c.JPG", "cat"),
                            LabelledPicture(folder / "photo/dog/a.png", "dog"),
                            LabelledPicture(folder / "photo/dog/b.jpg", "dog"))
    assert [picture.path.name for picture in found.sketches] == ["c-1.png", "b-1.png", "b-2.png"]
    assert found.pairs == ((folder / "photo/dog/b.jpg", folder / "sketch/dog/b-1.png"),
                           (folder / "photo/dog/b.jpg", folder / "sketch/dog/b-2.png"),
                           (folder / "photo/cat/c.JPG", folder / "sketch/cat/c-1.png"))


def test_the_table_may_be_missing_or_come_from_a_spreadsheet(folder: Path) -> None:
    assert read_pacs(folder).pairs == ()
    (folder / "instance_pairs.csv").write_bytes(
        b"\xef\xbb\xbfclass,photo,sketch\r\n\"cat\",photo/cat/c.JPG,sketch/cat/c-1.png\r\n\r\n")
    assert len(read_pacs(folder).pairs) == 1


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no folder .*nowhere; expected one with photo/<class>"):
        read_pacs(tmp_path / "nowhere")


@pytest.mark.parametrize("side", ["photo", "sketch"])
def test_a_side_is_missing_or_bare(folder: Path, side: str) -> None:
    shutil.rmtree(folder / side)
    with pytest.raises(DataError, match=f"has no folder {side}; expected photo/<class> and sketch/<class>"):
        read_pacs(folder)
    (folder / side).mkdir()
    with pytest.raises(DataError, match=f"{side} has no class; expected one folder of pictures per class"):
        read_pacs(folder)


@pytest.mark.parametrize(("side", "other"), [("photo", "sketch"), ("sketch", "photo")])
def test_a_class_is_on_one_side_only(folder: Path, side: str, other: str) -> None:
    shutil.rmtree(folder / other / "cat")
    with pytest.raises(DataError, match=f"{side} has the class cat, .*{other} has not; .* add it to {other}"):
        read_pacs(folder)


def test_a_class_has_no_pictures(folder: Path) -> None:
    (folder / "sketch/cat/c-1.png").rename(folder / "sketch/cat/c-1.txt")
    with pytest.raises(DataError, match=r"the class cat has no pictures in .*sketch; expected files such as"):
        read_pacs(folder)


@pytest.mark.parametrize("content", [
    b"", b"photo,sketch\n", b"class;photo;sketch\n",
])
def test_the_header_is_wrong(folder: Path, content: bytes) -> None:
    (folder / "instance_pairs.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"begins with .*; expected the header class,photo,sketch"):
        read_pacs(folder)


@pytest.mark.parametrize("line", ["dog,photo/dog/b.jpg", "dog,photo/dog/b.jpg,sketch/dog/b-1.png,7", "dog,,x"])
def test_a_line_is_malformed(folder: Path, line: str) -> None:
    write_table(folder, LINES[0], line)
    with pytest.raises(DataError, match=rf"instance_pairs.csv, line 3 is '{line}'; expected a class, a photo"):
        read_pacs(folder)


@pytest.mark.parametrize("tail", [b"dog,\xff\xfe,x\n", b'dog,"photo/dog/b.jpg,x\n'])
def test_the_table_is_not_csv(folder: Path, tail: bytes) -> None:
    (folder / "instance_pairs.csv").write_bytes(b"class,photo,sketch\n" + tail)
    with pytest.raises(DataError, match=r"cannot read .*instance_pairs.csv: .*; expected comma-separated UTF-8"):
        read_pacs(folder)


def test_pairs_name_files_that_are_not_there(folder: Path) -> None:
    write_table(folder, *LINES, *(f"dog,photo/dog/{number}.jpg,sketch/dog/b-1.png" for number in range(5)))
    with pytest.raises(DataError, match=r"names 5 pictures that are not there: photo/dog/0.jpg, photo/dog/1.jpg, "
                                        r"photo/dog/2.jpg, \.\.\.; expected paths relative to"):
        read_pacs(folder)
    write_table(folder, "dog,photo/dog/notes.txt,sketch/dog/b-1.png", f"dog,{folder.parent}/x.jpg,sketch/dog/b-1.png")
    with pytest.raises(DataError, match=r"names 2 pictures that are not there: photo/dog/notes.txt, /.*x.jpg; "):
        read_pacs(folder)


@pytest.mark.parametrize("line", ["dog,photo/dog/b.jpg,sketch/cat/c-1.png", "cat,photo/dog/b.jpg,sketch/dog/b-1.png"])
def test_the_classes_of_a_pair_differ(folder: Path, line: str) -> None:
    write_table(folder, LINES[0], line)
    with pytest.raises(DataError, match=r"line 3 pairs .* expected a photo and a sketch of this class"):
        read_pacs(folder)


def test_a_pair_is_the_wrong_way_round(folder: Path) -> None:
    write_table(folder, "dog,sketch/dog/b-1.png,photo/dog/b.jpg")
    with pytest.raises(DataError, match=r"line 2 pairs .*; expected a photo, then a sketch of it"):
        read_pacs(folder)


def test_a_pair_is_there_twice(folder: Path) -> None:
    write_table(folder, *LINES, LINES[1])
    with pytest.raises(DataError, match=r"instance_pairs.csv, line 5 repeats line 3, photo/dog/b.jpg and "
                                        r"sketch/dog/b-2.png; expected each pair once: delete one of these lines"):
        read_pacs(folder)


def test_some_classes(folder: Path) -> None:
    write_table(folder, *LINES)
    whole = read_pacs(folder)
    shutil.rmtree(folder / "photo/cat")
    found = read_pacs(folder, classes=["dog"])
    assert found.class_names == ("dog",)
    assert found.photos == whole.photos[1:]
    assert found.sketches == whole.sketches[1:]
    assert found.pairs == whole.pairs[:2]
    for name in ("cat", "cow"):
        with pytest.raises(DataError, match=f"photo has no class {name}; expected some of dog: add its folder"):
            read_pacs(folder, classes=["dog", name])


@pytest.mark.realdata
def test_real_data(data_root: Path) -> None:
    if not (data_root / "pacs_dev").is_dir():
        pytest.skip(f"{data_root} holds no pacs_dev")
    found = read_pacs(data_root / "pacs_dev")
    assert found.class_names == ("dog", "giraffe", "guitar", "house")
    assert len(found.photos) == 837
    assert len(found.pairs) == 1744
    assert len({photo for photo, _ in found.pairs}) == 273
    assert {sketch for _, sketch in found.pairs} <= {picture.path for picture in found.sketches}
