"""What clients may see of where things lie: their names, not their paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from sketchfusion.apps.web.errors import printable


def namer(names: Mapping[str, str]) -> Callable[[str], str]:
    """Gives a text in which these paths, wherever one begins, are replaced by their names; of two the longer one.

    Some libraries write paths without the first slash.
    """
    bare = {path[1:]: name for path, name in names.items() if "/" in path[1:-1]}
    pattern = re.compile(rf"(?<![\w.-])(?:{any_of(names)})|(?<![\w./-])(?:{any_of(bare)})")
    known = {**names, **bare}
    return lambda text: printable(pattern.sub(lambda match: known[match[0]], text))


def any_of(paths: Iterable[str]) -> str:
    """Expression for any of them, the longest first; for nothing at all where there is none."""
    return "|".join(map(re.escape, sorted(paths, key=len, reverse=True))) or "(?!)"


def top_names(folder: Path, called: str) -> dict[str, str]:
    """For ``namer``: what lies in a folder is told from there on, and the folder itself is ``called`` so.

    None of the root of the disk, which is in every path.
    """
    return {} if folder.parent == folder else {f"{folder}/": "", str(folder): called}


def last_names(paths: Sequence[str]) -> dict[str, str]:
    """For ``namer``: each path is told by its last part."""
    return {path: Path(path).name for path in paths if Path(path).name}


def model_names(model: str, overrides: Sequence[str]) -> dict[str, str]:
    """For ``namer``: a model that is a folder or file, and settings that are, are told by their last parts."""
    values = (model, *(setting.partition("=")[2] for setting in overrides))
    return last_names([value for value in values if Path(value).is_absolute()])
