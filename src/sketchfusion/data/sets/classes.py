"""Class lists of the published splits, and telling a class by however its folder is spelt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources

from sketchfusion.errors import ConfigError

SPLITS = ("sketchy-21", "sketchy-25", "tuberlin-30", "quickdraw-30", "caltech-10")
"""Each has lists ``<split>-seen`` and ``<split>-unseen``; the number is that of the unseen classes."""


def load_list(name: str) -> tuple[str, ...]:
    """The lines of a class list in its order, without comments and blank lines.

    Raises:
        ConfigError: there is no such list.
    """
    folder = resources.files("sketchfusion.data.sets").joinpath("lists")
    file = folder.joinpath(f"{name}.txt")
    if not file.is_file():
        known = sorted(entry.name.removesuffix(".txt") for entry in folder.iterdir() if entry.name.endswith(".txt"))
        raise ConfigError(f"there is no class list {name!r}; expected one of {', '.join(known)}")
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def load_split(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(seen, unseen) class names of a published split.

    Raises:
        ConfigError: there is no such split.
    """
    if name not in SPLITS:
        raise ConfigError(f"there is no split {name!r}; expected one of {', '.join(SPLITS)}")
    return load_list(f"{name}-seen"), load_list(f"{name}-unseen")


def class_key(name: str) -> str:
    """What all spellings of a class have in common: ``hot-air_balloon``, ``Hot air balloon`` -> ``hotairballoon``."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


@dataclass(frozen=True)
class Spelling:
    """The official names of some classes.

    Attributes:
        names: as they are to be called; none: every folder is called as it is.
        aliases: key of a known misspelling -> official name.
    """

    names: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    def official(self, folder: str) -> str | None:
        """The official name of a folder's class; None where there is none."""
        if not self.names:
            return folder
        key = class_key(folder)
        return next((name for name in self.names if class_key(name) == key), self.aliases.get(key))


def sorted_split(seen: Iterable[str], unseen: Iterable[str],
                 present: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(seen, unseen) of the classes that are there."""
    there = set(present)
    return tuple(sorted(there & set(seen))), tuple(sorted(there & set(unseen)))
