"""The store against a slow loop, and the quoting of whatever a file may be called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sketchfusion.errors import GalleryError
from sketchfusion.index.lance import HEAD, LanceStore, to_sql
from sketchfusion.index.search import SearchOptions, find
from sketchfusion.index.store import Filter, Hit, Photo

DAY = datetime(2024, 5, 1)


def unit(*values: float) -> np.ndarray:
    vector = np.array(values, dtype=np.float32)
    return vector / np.linalg.norm(vector)


def photo(path: str, descriptor: np.ndarray | None = None, *, day: int = 0, content: str = "c") -> Photo:
    descriptor = unit(1, 0, 0, 0) if descriptor is None else descriptor
    folder = path.rpartition("/")[0] or "/"
    return Photo(path, "/", folder, 10, 20, content, DAY + timedelta(days=day), 30, 40, descriptor, b"j", b"dense")


def many(count: int, size: int = 16, seed: int = 0) -> list[Photo]:
    chance = np.random.default_rng(seed)
    return [photo(f"/photos/{number % 5}/{number}.jpg", unit(*chance.normal(size=size)), day=number % 10,
                  content=f"{number}") for number in range(count)]


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., LanceStore]:
    def make(size: int = 4, **options: int) -> LanceStore:
        return LanceStore(tmp_path / f"store-{size}", size, create=True, **options)

    return make


def slow_search(photos: list[Photo], query: np.ndarray, k: int, keep: Callable[[Photo], bool]) -> list[str]:
    scored = [(-float(row.descriptor @ query), row.path) for row in photos if keep(row)]
    return [path for _, path in sorted(scored)[:k]]


def test_scores_are_cosines_best_first(make_store: Callable[..., LanceStore]) -> None:
    store = make_store()
    store.upsert([photo("/a", unit(1, 0, 0, 0)), photo("/b", unit(-1, 0, 0, 0)), photo("/c", unit(1, 1, 0, 0)),
                  photo("/d", unit(0, 0, 1, 0))])
    hits = store.search(unit(1, 0, 0, 0), 9, Filter())
    assert [hit.path for hit in hits] == ["/a", "/c", "/d", "/b"]
    assert [hit.score for hit in hits] == pytest.approx([1, 2**-0.5, 0, -1], abs=1e-6)
    assert all(-1 <= hit.score <= 1 for hit in hits)
    assert (hits[0].date, hits[0].folder, hits[0].width, hits[0].height) == (DAY, "/", 30, 40)
    assert len(store.search(unit(1, 0, 0, 0), 2, Filter())) == 2


@pytest.mark.parametrize("condition", [
    Filter(), Filter(folder="/photos/3"), Filter(folder="/photos"), Filter(folder="/phot"),
    Filter(after=DAY + timedelta(days=4)), Filter(before=DAY + timedelta(days=4)), Filter(not_hash="7"),
    Filter(folder="/photos/3/", after=DAY + timedelta(days=3), before=DAY + timedelta(days=4), not_hash="3")])
def test_search_matches_a_slow_loop(make_store: Callable[..., LanceStore], condition: Filter) -> None:
    photos, query = many(120), unit(*np.random.default_rng(9).normal(size=16))
    store = make_store(16)
    store.upsert(photos)

    def keep(row: Photo) -> bool:
        folder = condition.folder.rstrip("/") if condition.folder else None
        return ((folder is None or row.folder == folder or row.folder.startswith(folder + "/"))
                and (condition.after is None or row.date >= condition.after)
                and (condition.before is None or row.date < condition.before) and row.hash != condition.not_hash)

    found = [hit.path for hit in store.search(query, 10, condition)]
    assert found == slow_search(photos, query, 10, keep)


def test_the_root_folder_holds_everything(make_store: Callable[..., LanceStore]) -> None:
    store = make_store()
    store.upsert([photo("/x.jpg"), photo("/a/b/y.jpg")])
    assert len(store.search(unit(1, 0, 0, 0), 9, Filter(folder="/"))) == 2


def test_the_approximate_index_finds_what_the_exact_search_finds(make_store: Callable[..., LanceStore]) -> None:
    photos = many(1500, seed=3)
    store = make_store(16, ann_threshold=1000)
    store.upsert(photos)
    queries = [unit(*np.random.default_rng(seed).normal(size=16)) for seed in range(20)]
    exact = [store.search(query, 10, Filter()) for query in queries]
    store.optimize()
    assert store.info().search == "approximate"
    approximate = [store.search(query, 10, Filter()) for query in queries]
    assert [hits[0].path for hits in approximate] == [hits[0].path for hits in exact]
    same = sum(len({hit.path for hit in one} & {hit.path for hit in other})
               for one, other in zip(exact, approximate, strict=True))
    assert same >= 196  # of 200
    assert approximate[0][0].score == pytest.approx(exact[0][0].score, abs=1e-6)  # refined, not quantised


def pages(store: LanceStore, query: np.ndarray, top: int, count: int) -> list[Hit]:
    """The first ``count`` hits, a page of ``top`` at a time."""
    return [hit for offset in range(0, count, top)
            for hit in find(store, query, SearchOptions(top=top, offset=offset)).hits]


@pytest.mark.thorough
def test_pages_of_an_approximate_search_give_each_photo_once(make_store: Callable[..., LanceStore]) -> None:
    store = make_store(64, ann_threshold=3000)
    store.upsert(many(6000, size=64, seed=5))
    store.optimize()
    assert store.info().search == "approximate"
    count = 2 * HEAD
    for seed in range(10):
        query = unit(*np.random.default_rng(seed).normal(size=64))
        found = [hit.path for hit in pages(store, query, 16, count)]
        whole = find(store, query, SearchOptions(top=count)).hits
        assert len(set(found)) == len(found) == count
        assert set(found) == {hit.path for hit in whole}
        assert [hit.score for hit in whole] == sorted((hit.score for hit in whole), reverse=True)


def test_what_an_approximate_search_overlooks_comes_on_a_later_page(make_store: Callable[..., LanceStore],
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    photos, query = many(1500, seed=3), unit(*range(1, 17))
    best = slow_search(photos, query, 1500, lambda row: True)
    store = make_store(16, ann_threshold=1000)
    store.upsert(photos)
    store.optimize()
    head = [hit for hit in store.search(query, HEAD, Filter()) if hit.path != best[2]]
    monkeypatch.setattr(LanceStore, "head", lambda *arguments: head)
    found = [hit.path for hit in pages(store, query, 20, 1500)]
    assert sorted(found) == sorted(best)
    assert found.index(best[2]) // 20 == HEAD // 20
    assert found.index(best[2]) % 20 == 0  # within its page it is in place
    assert find(store, query, SearchOptions(top=300)).hits[2].path == best[2]


@pytest.mark.thorough
def test_pages_of_many_copies_in_an_approximate_search(make_store: Callable[..., LanceStore]) -> None:
    photos = many(1500, seed=3)
    copies = [photo(f"/copies/{number:03}.jpg", photos[0].descriptor) for number in range(2 * HEAD)]
    store = make_store(16, ann_threshold=1000)
    store.upsert([*photos, *copies])
    store.optimize()
    for descriptor in (photos[0].descriptor, photos[1].descriptor):
        found = [hit.path for hit in pages(store, descriptor, 100, len(photos) + len(copies))]
        assert len(set(found)) == len(found) == len(photos) + len(copies)


def test_the_approximate_index_keeps_up_with_changes_and_strict_filters(make_store: Callable[..., LanceStore]) -> None:
    photos = many(1500, seed=3)
    store = make_store(16, ann_threshold=1000)
    store.upsert(photos)
    store.optimize()
    late = photo("/late.jpg", unit(*range(1, 17)), content="late")
    store.upsert([late])  # not in the index yet
    assert store.search(late.descriptor, 1, Filter())[0].path == "/late.jpg"
    store.optimize()
    assert store.search(late.descriptor, 1, Filter())[0].path == "/late.jpg"
    store.delete(["/late.jpg"])
    assert store.search(late.descriptor, 1, Filter())[0].path != "/late.jpg"
    store.upsert([photo(f"/rare/{number}.jpg", unit(*(-row for row in range(1, 17)))) for number in range(3)])
    store.optimize()
    assert len(store.search(late.descriptor, 20, Filter(folder="/rare"))) == 3
    assert len(store.search(late.descriptor, 1400, Filter())) == 1400


def test_below_the_threshold_an_index_that_exists_is_not_used(make_store: Callable[..., LanceStore]) -> None:
    store = make_store(16, ann_threshold=300)
    store.upsert(many(400))
    store.optimize()
    store.delete([row.path for row in many(400)[50:]])
    store.optimize()
    assert store.info().search == "exact"
    assert len(store.search(unit(*range(1, 17)), 60, Filter())) == 50


def test_upsert_replaces_by_path_and_delete_ignores_unknown_paths(make_store: Callable[..., LanceStore]) -> None:
    store = make_store()
    store.upsert([photo("/a"), photo("/b")])
    store.upsert([replace(photo("/b"), hash="new", width=99), photo("/c")])
    store.delete(["/a", "/nowhere"])
    assert sorted(store.states()) == ["/b", "/c"]
    assert store.states()["/b"].hash == "new"
    assert store.get(["/b", "/x"])["/b"].width == 99
    assert store.count() == 2
    store.delete([])
    store.upsert([photo(f"/{number}") for number in range(1300)])
    assert len(store.get([f"/{number}" for number in range(1300)])) == 1300
    store.delete([f"/{number}" for number in range(1300)])
    assert store.count() == 2


def test_rows_come_back_as_they_went_in(make_store: Callable[..., LanceStore]) -> None:
    store = make_store()
    original = replace(photo("/x/é ü 日本 .jpg", unit(1, 2, 3, 4)), mtime_ns=1_700_000_000_123_456_789, size=2**40)
    store.upsert([original])
    back = store.get([original.path])[original.path]
    assert np.array_equal(back.descriptor, original.descriptor)
    assert replace(back, descriptor=original.descriptor).__dict__ == original.__dict__
    assert np.array_equal(store.find("c"), original.descriptor)
    assert store.find("nothing") is None


names = st.text(st.characters(codec="utf-8", exclude_characters="/\x00"), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> LanceStore:
    return LanceStore(tmp_path_factory.mktemp("quoting") / "store-1", 4, create=True)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(names | st.sampled_from(["'", "''", "%", "_", "\\", "\\'", '"', "' OR 1=1 --", "a\nb", "?", "$1"]),
                min_size=1, max_size=4, unique=True))
def test_any_file_name_is_stored_found_filtered_and_deleted(shared_store: LanceStore, folders: list[str]) -> None:
    store = shared_store
    paths = [f"/{folder}/x'%.jpg" for folder in folders]
    store.upsert([photo(path) for path in paths] + [photo("/other/y.jpg")])
    for folder, path in zip(folders, paths, strict=True):
        assert list(store.get([path])) == [path]
        hits = store.search(unit(1, 0, 0, 0), 9, Filter(folder=f"/{folder}", not_hash=folder))
        assert [hit.path for hit in hits] == [path]
    store.delete(paths)
    assert list(store.states()) == ["/other/y.jpg"]


def test_a_condition_that_admits_everything_is_no_sql() -> None:
    assert to_sql(Filter()) is None
    assert to_sql(Filter(folder="/it's")) == "(folder = '/it''s' OR starts_with(folder, '/it''s/'))"


def test_a_store_of_another_size_or_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="are missing or damaged; restore"):
        LanceStore(tmp_path / "store-1", 4)
    assert not (tmp_path / "store-1").exists()
    LanceStore(tmp_path / "store-1", 4, create=True)
    with pytest.raises(GalleryError, match=r"not those that this gallery's record expects.*--rebuild"):
        LanceStore(tmp_path / "store-1", 5)


def test_a_table_that_was_cut_off_while_it_was_made(tmp_path: Path) -> None:
    for part in ("_versions", "_transactions", "data"):
        (tmp_path / "store-1" / "photos.lance" / part).mkdir(parents=True)
    with pytest.raises(GalleryError, match="are missing or damaged; restore"):
        LanceStore(tmp_path / "store-1", 4)
    store = LanceStore(tmp_path / "store-1", 4, create=True)
    store.upsert([photo("/a")])
    assert LanceStore(tmp_path / "store-1", 4).count() == 1


@pytest.mark.parametrize("name", ["with space", "per%20cent", "hash#?x", "quote'ü"])
def test_odd_gallery_folders(tmp_path: Path, name: str) -> None:
    store = LanceStore(tmp_path / name / "store-1", 4, create=True)
    store.upsert([photo("/a")])
    assert LanceStore(tmp_path / name / "store-1", 4).count() == 1
    assert (tmp_path / name / "store-1" / "photos.lance").is_dir()


def test_a_reader_sees_what_a_writer_commits(tmp_path: Path) -> None:
    writer = LanceStore(tmp_path / "store-1", 4, create=True)
    reader = LanceStore(tmp_path / "store-1", 4)
    writer.upsert([photo("/a")])
    assert reader.count() == 1
    assert reader.search(unit(1, 0, 0, 0), 1, Filter())[0].path == "/a"
    writer.upsert([photo("/b")])
    writer.optimize()
    assert sorted(reader.states()) == ["/a", "/b"]
