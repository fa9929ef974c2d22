"""Results: written and read again, refused where they are damaged, compared over their queries."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from sketchfusion.engine.results import (
    Figure,
    MeasureDifference,
    Result,
    compare,
    data_checksum,
    make_result,
)
from sketchfusion.errors import DataError
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.metrics.bootstrap import PairedDifference, paired_bootstrap
from sketchfusion.metrics.retrieval import bootstrap_interval

IDS = ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")
VALUES = torch.tensor([0.25, math.nan, 0.75, 1 / 3])
AP = "average precision over all relevant photos"


@pytest.fixture
def make(tiny_model: SketchFusion) -> Callable[..., Result]:
    """``make(values, ids)``: a result of one measure, ``mAP@all``; other fields by name."""

    def made(values: torch.Tensor = VALUES, ids: tuple[str, ...] = IDS, **changes: Any) -> Result:
        result = make_result(tiny_model, {"mAP@all": Figure(values, AP, "sketches")}, {"sketches": ids},
                             task="category retrieval", protocol="pacs", data="abc", seeds=(0,))
        return result.model_copy(update=changes)

    return made


def test_what_a_result_says(make: Callable[..., Result], tiny_model: SketchFusion) -> None:
    result = make()
    measure = result.measures["mAP@all"]
    assert (result.model, result.fingerprint) == ("tiny", tiny_model.fingerprint)
    assert result.settings["canvas"]["size"] == tiny_model.canvas_size
    assert result.versions["torch"] == version("torch")
    assert result.date.endswith("+00:00")
    assert measure.values == (0.25, None, 0.75, 0.333333)
    assert measure.mean == pytest.approx(torch.nanmean(VALUES).item(), abs=1e-6)
    assert (measure.low, measure.high) == pytest.approx(bootstrap_interval(VALUES), abs=1e-6)


def test_queries_that_belong_together_are_drawn_together(tiny_model: SketchFusion) -> None:
    values, photos = torch.tensor([0.1, 0.2, 0.9, 0.8] * 4), ("b.jpg", "b.jpg", "a.jpg", "a.jpg") * 4
    ids = tuple(f"{number}.png" for number in range(16))

    def made(values: torch.Tensor, **more: Any) -> Result:
        return make_result(tiny_model, {"mAP@all": Figure(values, AP, "sketches")}, {"sketches": ids},
                           task="category retrieval", protocol="pacs", data="abc", **more)

    result = made(values, groups={"sketches": photos})
    other = made(values + torch.tensor([.2, .1, 0, 0] * 4), groups={"sketches": photos})
    assert result.groups == {"sketches": (0, 0, 1, 1) * 4}
    measure = result.measures["mAP@all"]
    assert (measure.low, measure.high) == pytest.approx((0.15, 0.85))  # either photo twice
    alone = made(values).measures["mAP@all"]
    assert alone.low > measure.low
    assert alone.high < measure.high
    found = compare(result, other).measures[0].found
    assert (found.low, found.high) == pytest.approx((0, 0.15))
    with pytest.raises(DataError, match=r"groups of shape \(2,\); expected \(16,\)"):
        made(values, groups={"sketches": photos[:2]})


def test_saved_and_loaded_again(make: Callable[..., Result], tmp_path: Path) -> None:
    result = make()
    file = result.save(tmp_path / "evidence" / "a.json")
    assert Result.load(file) == result
    assert [path.name for path in file.parent.iterdir()] == ["a.json"]
    torch.testing.assert_close(result.measures["mAP@all"].tensor, VALUES.double(), atol=1e-6, rtol=0, equal_nan=True)
    assert len(file.read_text().splitlines()) == len(json.loads(file.read_text())) + 2  # a line for each part


def test_a_failed_write_leaves_the_old_file(make: Callable[..., Result], tmp_path: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    file = make().save(tmp_path / "a.json")
    before = file.read_bytes()

    def full(path: Path, *arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DataError, match=r"cannot write the result .*: No space left on device"):
        make(VALUES / 2).save(file)
    assert file.read_bytes() == before


def change(record: dict[str, Any], **measure: Any) -> dict[str, Any]:
    return {**record, "measures": {"mAP@all": {**record["measures"]["mAP@all"], **measure}}}


@pytest.mark.parametrize(("damage", "message"), [
    (lambda record: {**record, "format": 1}, "is no result of format 2, its format is 1; run its evaluation again"),
    (lambda record: [record], "its format is None"),
    (lambda record: change(record, mean=0.9), "the mean of mAP@all is 0.9, but that of its values 0.444444"),
    (lambda record: change(record, values=[0.5]), "1 values for 4 queries 'sketches'"),
    (lambda record: change(record, queries="photos"), "4 values for 0 queries 'photos'"),
    (lambda record: {**record, "queries": {"sketches": [*IDS[:3], IDS[0]]}}, "hold an id twice"),
    (lambda record: {**record, "groups": {"sketches": [0]}}, "there are groups of 1 for 4 queries 'sketches'"),
    (lambda record: {key: value for key, value in record.items() if key != "data"}, "damaged: data: Field required"),
    (lambda record: {**record, "extra": 1}, "damaged: extra: Extra inputs"),
])
def test_damaged_files_are_refused(make: Callable[..., Result], tmp_path: Path, damage: Callable[[Any], Any],
                                   message: str) -> None:
    file = make().save(tmp_path / "a.json")
    file.write_text(json.dumps(damage(json.loads(file.read_text()))))
    with pytest.raises(DataError, match=message):
        Result.load(file)


@pytest.mark.parametrize(("text", "message"), [(None, "there is no result .*none.json; check the path"),
                                               ("", "damaged or no result"), ('{"format": 1, "ta', "damaged or no")])
def test_no_result(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "none.json").write_text(text)
    with pytest.raises(DataError, match=message):
        Result.load(tmp_path / "none.json")


@pytest.mark.parametrize(("values", "ids", "message"), [
    (VALUES, IDS[:3], "4 values for 3 queries"), (VALUES, (*IDS[:3], IDS[0]), "hold an id twice"),
    (torch.full((4,), math.nan), IDS, "has no value for any of 4 queries")])
def test_values_without_a_query_are_refused(make: Callable[..., Result], values: torch.Tensor, ids: tuple[str, ...],
                                            message: str) -> None:
    with pytest.raises(DataError, match=message):
        make(values, ids)


def test_checksum_of_the_files_used(tmp_path: Path) -> None:
    files = [tmp_path / "a" / "1.png", tmp_path / "a" / "2.png"]
    files[0].parent.mkdir()
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * 10)
    found = data_checksum(tmp_path, files)
    (tmp_path / "other.txt").write_text("not used")
    assert data_checksum(str(tmp_path), [*reversed(files), files[0]]) == found
    assert data_checksum(tmp_path, files[:1]) != found
    swapped = [file.rename(file.with_name(f"{number}.x")) for file, number in zip(files, (2, 1), strict=True)]
    assert data_checksum(tmp_path, swapped) != found  # the same contents under other names
    with pytest.raises(DataError, match="does not lie in"):
        data_checksum(tmp_path / "b", swapped)
    with pytest.raises(DataError, match=r"cannot read .*: No such file"):
        data_checksum(tmp_path, files)


@pytest.mark.skipif(os.name == "nt", reason="names there are no bytes")
def test_a_name_that_is_no_utf_8(tmp_path: Path, make: Callable[..., Result]) -> None:
    file = tmp_path / os.fsdecode(b"caf\xe9.jpg")
    file.write_bytes(b"1")
    found = data_checksum(tmp_path, [file])
    file = file.rename(tmp_path / "cafe.jpg")
    assert data_checksum(tmp_path, [file]) != found
    ids = (os.fsdecode(b"caf\xe9.jpg"), *IDS[1:])
    assert Result.load(make(ids=ids).save(tmp_path / "a.json")).queries["sketches"] == ids


def test_checksum_does_not_depend_on_where_the_folder_is(tmp_path: Path) -> None:
    sums = set()
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "1.png").write_bytes(b"1")
        sums.add(data_checksum(tmp_path / place, [tmp_path / place / "1.png"]))
    assert len(sums) == 1


def test_compared_query_by_query_in_whatever_order(make: Callable[..., Result]) -> None:
    values = torch.tensor([0.5, 0.5, 0.8, 0.3])
    order = [2, 0, 3, 1]
    found = compare(make(), make(values[order], tuple(IDS[row] for row in order)), seed=4)
    assert found.left_out == ()
    (item,) = found.measures
    assert item.name == "mAP@all"
    expected = paired_bootstrap(make().measures["mAP@all"].tensor, values.double(), seed=4)
    assert vars(item.found) == pytest.approx(vars(expected), abs=1e-6)
    assert item.found.queries == 3


@pytest.mark.parametrize(("low", "high", "higher_is_better", "verdict"), [
    (0.1, 0.2, True, "better"), (-0.2, -0.1, True, "worse"), (0.1, 0.2, False, "worse"),
    (-0.2, -0.1, False, "better"), (-0.1, 0.1, True, "no difference shown"), (0.0, 0.1, True, "no difference shown")])
def test_words(low: float, high: float, higher_is_better: bool, verdict: str) -> None:
    found = PairedDifference(0.0, 0.0, (low + high) / 2, low, high, 0.0, 9, 9)
    assert MeasureDifference("x", found, higher_is_better).verdict == verdict


def test_few_photos_say_nothing_however_many_the_sketches(tiny_model: SketchFusion) -> None:
    values, ids = torch.tensor([0.1, 0.2] * 4), tuple(f"{number}.png" for number in range(8))

    def made(photos: str, better: float = 0.0) -> Result:
        return make_result(tiny_model, {"Acc@1": Figure(values + better, "found", "sketches")}, {"sketches": ids},
                           task="fine-grained retrieval", protocol="pacs", data="abc",
                           groups={"sketches": list(photos)})

    for photos, count, told in (("aaaaaaaa", 1, "1 independent value only"), ("aabbccdd", 4, "4 independent values")):
        assert made(photos).independent("Acc@1") == count
        assert made(photos).thin_evidence[0].startswith(f"Acc@1: of {told}")
        (item,) = compare(made(photos), made(photos, 0.5)).measures
        assert (item.found.groups, item.verdict) == (count, "too few to say")
    assert made("aabbccde").thin_evidence == ()
    (item,) = compare(made("aabbccde"), made("aabbccde", 0.5)).measures
    assert (item.found.groups, item.verdict) == (5, "better")


def test_a_query_without_a_value_is_no_evidence(make: Callable[..., Result]) -> None:
    assert make().independent("mAP@all") == 3


def test_measures_that_one_has_alone_are_named(make: Callable[..., Result]) -> None:
    other = make()
    extra = {**other.measures, "Acc@1": other.measures["mAP@all"]}
    assert compare(make(), other.model_copy(update={"measures": extra})).left_out == ("Acc@1",)


@pytest.mark.parametrize(("changes", "message"), [
    ({"ids": (*IDS[:3], "dog/3.png")}, "2 queries of mAP@all are in one of the results only, such as dog/2.png, "
                                       "dog/3.png; 3 are in both"),
    ({"task": "recognition"}, "different tasks, 'category retrieval' and 'recognition'"),
    ({"protocol": "sketchy"}, "different protocols, 'pacs' and 'sketchy'"),
    ({"data": "def"}, "different data, 'abc' and 'def'"),
    ({"measures": {}}, "no measure in common"),
])
def test_what_cannot_be_compared(make: Callable[..., Result], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        compare(make(), make(**changes))


def test_another_definition_is_refused(make: Callable[..., Result]) -> None:
    other = make()
    changed = other.measures["mAP@all"].model_copy(update={"definition": "interpolated average precision"})
    with pytest.raises(DataError, match="as 'interpolated average precision' in the second"):
        compare(make(), other.model_copy(update={"measures": {"mAP@all": changed}}))
