"""What the verbs of the tasks share: reading sketches and photos one by one, and naming those left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from sketchfusion.apps.cli import common

T = TypeVar("T")
Advance = Callable[[int, int], None]

Photos = Annotated[list[str], typer.Argument(metavar="PHOTO", help="Photos, or folders of them.")]
Sketch = Annotated[str, typer.Argument(
    metavar="SKETCH", help="Picture, SVG or Quick, Draw! ndjson (drawings.ndjson#12 is its 12th line); "
                           "'-' reads it from the standard input.")]


class Pictures:
    """Files and folders of pictures, read one by one as they are needed.

    Attributes:
        kept: paths of those that could be read, in order, as far as they were asked for.
    """

    def __init__(self, pictures: Sequence[str], kind: Any) -> None:
        """
        Args:
            kind: "photo" or "sketch"; of folders, SVG and ndjson files count as sketches only.
        Raises:
            ImageError: there is none.
        """
        from sketchfusion.index.extraction import list_pictures

        self.paths, self.failures = list_pictures(pictures, kind)
        self.kept: list[str] = []

    def read(self, reader: Callable[[str], T], advance: Advance) -> Iterator[T]:
        """What ``reader`` makes of each path; those with which it raises ImageError are left out.

        Raises:
            ImageError: not one could be read.
        """
        from sketchfusion.errors import ImageError
        from sketchfusion.index.scan import Failure

        total = len(self.paths) + len(self.failures)
        for path in self.paths:
            try:
                picture = reader(path)
            except ImageError as error:
                self.failures.append(Failure(path, str(error)))
            else:
                self.kept.append(path)
                yield picture
            advance(len(self.kept) + len(self.failures), total)
        if not self.kept:
            raise ImageError(f"none of the {total} pictures could be read: {'; '.join(self.reasons()[:3])}")

    def reasons(self) -> list[str]:
        """Why each was left out."""
        from sketchfusion.index.extraction import explain

        return [explain(failure) for failure in self.failures]

    def report_failures(self) -> None:
        """Name what was left out on the standard error."""
        for reason in self.reasons():
            common.note(f"left out: {reason}")

    def failures_as_json(self) -> list[dict[str, str]]:
        """Path and reason of each that was left out."""
        return [{"path": failure.path, "reason": failure.reason} for failure in self.failures]


def check_photo(path: str, canvas_size: int) -> str:
    """The path of a photo that can be decoded, at no larger a size than its canvas needs. Raises ImageError."""
    from sketchfusion.images import decode, open_image

    decode(open_image(path), canvas_side=canvas_size)
    return path


def name_of(sketch: str) -> str:
    """What to call a sketch: its path, or "sketch" where it was given as text or on the standard input."""
    is_path = len(sketch) < 500 and sketch != "-" and not sketch.lstrip().startswith(("{", "[", "<"))
    return sketch if is_path else "sketch"


def short_name(path: str) -> str:
    """The last part of a path."""
    return Path(path).name
