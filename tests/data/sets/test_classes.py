"""The class lists: complete, disjoint, and as published."""

from __future__ import annotations

import hashlib
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchfusion.data.packed.names import class_name
from sketchfusion.data.sets.classes import SPLITS, Spelling, class_key, load_list, load_split, sorted_split
from sketchfusion.data.sets.folders import TU_ALIASES, shared_classes
from sketchfusion.errors import ConfigError

SIZES = {"sketchy-21": (104, 21), "sketchy-25": (100, 25), "tuberlin-30": (220, 30), "quickdraw-30": (80, 30),
         "caltech-10": (35, 10)}


@pytest.mark.parametrize("split", SPLITS)
def test_seen_and_unseen_classes_are_disjoint_and_as_many_as_published(split: str) -> None:
    seen, unseen = load_split(split)
    assert (len(seen), len(unseen)) == SIZES[split]
    keys = [class_key(name) for name in seen + unseen]
    assert len(set(keys)) == len(keys)  # no name stands for two


def test_both_splits_of_sketchy_divide_the_same_classes() -> None:
    one, other = load_split("sketchy-21"), load_split("sketchy-25")
    assert {*one[0], *one[1]} == {*other[0], *other[1]}


@pytest.mark.parametrize(("split", "first", "last"), [
    ("sketchy-21", "bat", "window"), ("sketchy-25", "cup", "bell"), ("tuberlin-30", "banana", "horse"),
    ("quickdraw-30", "bat", "fan")])
def test_unseen_classes_keep_the_published_order(split: str, first: str, last: str) -> None:
    unseen = load_split(split)[1]
    assert (unseen[0], unseen[-1]) == (first, last)


def test_every_list_says_where_it_is_from() -> None:
    folder = resources.files("sketchfusion.data.sets").joinpath("lists")
    files = [entry for entry in folder.iterdir() if entry.name.endswith(".txt")]
    assert len(files) == 2 * len(SPLITS) + 2
    for file in files:
        header = [line for line in file.read_text("utf-8").splitlines() if line.startswith("#")]
        assert any("Source:" in line or "Rule:" in line for line in header), file.name


def test_quick_draw_has_345_classes() -> None:
    words = load_list("quickdraw-345")
    assert len(set(words)) == len(words) == 345
    assert {word for _, _, word in shared_classes()} <= set(words)


def test_shared_classes_have_one_name_on_both_sides() -> None:
    kinds = {"pigeon": "bird", "dalmatian": "dog", "inline_skate": "roller skate", "ketch": "sailboat",
             "schooner": "sailboat"}  # as the list says
    for name, folders, word in shared_classes():
        assert {kinds.get(folder, class_name(folder)) for folder in folders} == {class_name(word)} == {name}


def test_the_unseen_shared_classes_follow_their_rule() -> None:
    names = [name for name, _, _ in shared_classes()]
    ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    seen, unseen = load_split("caltech-10")
    assert sorted(unseen) == sorted(ranked[:10])
    assert sorted(seen) == sorted(ranked[10:])


def test_aliases_of_tu_berlin_lead_to_its_classes() -> None:
    seen, unseen = load_split("tuberlin-30")
    assert set(TU_ALIASES.values()) <= {*seen, *unseen}
    assert not set(TU_ALIASES) & {class_key(name) for name in seen + unseen}


@pytest.mark.parametrize(("folder", "name"), [
    ("hot-air_balloon", "hot air balloon"), ("hotairballoon", "hot air balloon"), ("T_Shirt", "t-shirt"),
    ("pipe_(for_smoking)", "pipe (for smoking)"), ("tromobone", "trombone"), ("mouse", "mouse (animal)"),
    ("dogs", None)])
def test_spellings(folder: str, name: str | None) -> None:
    seen, unseen = load_split("tuberlin-30")
    assert Spelling(seen + unseen, TU_ALIASES).official(folder) == name


def test_without_a_list_folders_are_called_as_they_are() -> None:
    assert Spelling().official("My Dogs") == "My Dogs"


@given(st.text())
def test_a_key_is_its_own_key(name: str) -> None:
    assert class_key(class_key(name)) == class_key(name)


def test_a_split_of_what_is_there() -> None:
    assert sorted_split("cab", "zx", "xacq") == (("a", "c"), ("x",))


@pytest.mark.parametrize(("load", "text"), [(load_list, "no class list 'x'; expected one of caltech-10-seen"),
                                            (load_split, "no split 'x'; expected one of sketchy-21, sketchy-25")])
def test_no_such_list(load: object, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        load("x")  # type: ignore[operator]
