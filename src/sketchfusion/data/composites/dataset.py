"""The map-style data set of composites and traced sketches over a prepared folder of cut-outs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from PIL import Image

from sketchfusion.data.composites.prepare import RECORDS, SETTINGS, read_records
from sketchfusion.data.composites.sample import CompositeSample, CutOutItem, SampleOptions, make_sample
from sketchfusion.data.composites.seeding import generator
from sketchfusion.data.composites.trace import Trace
from sketchfusion.errors import DataError
from sketchfusion.images import SUFFIXES

TRIES = 8  # to find a background of another class


class Composites:
    """Photo, mask, sketch and correspondence for index 0 to ``len - 1``; what an index gives depends on the seed alone.

    Every round of ``len(cutouts)`` indices uses each cut-out once, in another order.

    Attributes:
        cutouts: (class, name) of each cut-out, sorted.
        class_names: sorted.
        options: see ``SampleOptions``.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, count: int | None = None, seed: int = 0,
        options: SampleOptions | None = None, backgrounds: str | os.PathLike[str] | None = None,
        keep: Callable[[str, str], bool] | None = None,
    ) -> None:
        """
        Args:
            folder: as ``prepare`` left it.
            count: samples; one per cut-out if not given.
            seed: of all chance.
            options: size, abstraction and so on.
            backgrounds: folder of photos to paste on, one folder per class or all in one; those of the prepared
                folder if not given. Without any, the ground is always plain.
            keep: (folder, name without suffix) of a prepared photo -> whether it may be cut out or pasted on; all if
                not given.
        Raises:
            DataError: not a prepared folder, no cut-outs, or no backgrounds where some were named.
        """
        self.folder, self.seed, self.options = Path(folder), seed, options or SampleOptions()
        if not (self.folder / SETTINGS).exists() or not (self.folder / RECORDS).exists():
            raise DataError(f"{folder} is not a prepared folder; run `sketchfusion data make-composites` or prepare()")
        records = [record for record in read_records(self.folder) if record["state"] == "cut"]

        def kept(photo: Path) -> bool:
            return keep is None or keep(photo.parent.name, photo.stem)

        self.cutouts = sorted((record["class"], record["photo"]) for record in records if kept(Path(record["photo"])))
        if not self.cutouts:
            raise DataError(f"{folder} holds no cut-outs: no photo shows an object on a plain ground; "
                            "see its records.jsonl for the reasons")
        if count is not None and count < 1:
            raise DataError(f"count must be at least 1, got {count}")
        self.count = count or len(self.cutouts)
        self.class_names = sorted({class_name for class_name, _ in self.cutouts})
        # Backgrounds of the prepared folder are named after their photos; others belong to no part.
        self.backgrounds = list_backgrounds(Path(backgrounds)) if backgrounds else \
            [(name, path) for name, path in list_backgrounds(self.folder / "backgrounds") if kept(path.with_suffix(""))]
        if backgrounds and not self.backgrounds:
            raise DataError(f"there are no photos in {backgrounds} to use as backgrounds")
        self._read_trace = lru_cache(maxsize=20_000)(self._read_trace_file)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[CompositeSample]:
        return (self[index] for index in range(self.count))

    def __getitem__(self, index: int) -> CompositeSample:
        """The sample at an index. Raises IndexError: out of range; DataError: a file is missing or damaged."""
        return self.sample(index)

    def sample(self, index: int, *, abstraction: float | None = None) -> CompositeSample:
        """As ``self[index]``, the sketch at a level of abstraction of one's choice: the photo is the same."""
        if not 0 <= index < self.count:
            raise IndexError(f"index {index} is not in 0..{self.count - 1}")
        rng = generator(self.seed, index, "choice")
        number = self._turn(index // len(self.cutouts))[index % len(self.cutouts)]
        item = self.item(number)
        background = None
        if self.backgrounds and rng.random() >= self.options.plain:
            for _ in range(TRIES):
                class_name, path = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
                if class_name != item.class_name:
                    background = read_image(path, "RGB")
                    break
        occluder = None
        if rng.random() < self.options.occluded and len(self.cutouts) > 1:
            other = (number + 1 + int(rng.integers(len(self.cutouts) - 1))) % len(self.cutouts)
            occluder = self.picture(other)
        return make_sample(item, (self.seed, index), self.options, background=background, occluder=occluder,
                           abstraction=abstraction)

    def item(self, number: int) -> CutOutItem:
        """A cut-out by its place in ``cutouts``."""
        class_name, name = self.cutouts[number]
        return CutOutItem(name, class_name, self.picture(number), self._read_trace(number))

    def picture(self, number: int) -> Image.Image:
        """The RGBA picture of a cut-out."""
        return read_image(self.folder / "cutouts" / (self.cutouts[number][1] + ".webp"), "RGBA")

    def _read_trace_file(self, number: int) -> Trace:
        path = self.folder / "strokes" / (self.cutouts[number][1] + ".json")
        try:
            return Trace.from_json(path.read_text(encoding="utf-8"), str(path))
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror or error}; prepare the folder anew") from None

    @lru_cache(maxsize=4)  # noqa: B019  the few data sets of a process live as long as it
    def _turn(self, turn: int) -> list[int]:
        """The order of the cut-outs in one round."""
        return [int(k) for k in generator(self.seed, turn, "order").permutation(len(self.cutouts))]

    def __getstate__(self) -> dict[str, object]:
        """For worker processes: without what was read so far."""
        return {name: value for name, value in self.__dict__.items() if name != "_read_trace"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._read_trace = lru_cache(maxsize=20_000)(self._read_trace_file)


def list_backgrounds(folder: Path) -> list[tuple[str, Path]]:
    """(class, path) of the photos below a folder, sorted; the class is the name of the folder that the photo is in."""
    return [(path.parent.name if path.parent != folder else "", path) for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in SUFFIXES]


def read_image(path: Path, mode: str) -> Image.Image:
    """A stored picture. Raises DataError: missing or damaged."""
    try:
        with Image.open(path) as opened:
            if mode == "RGB":
                opened.draft("RGB", (256, 256))
            return opened.convert(mode)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"cannot read {path}: {error}; prepare the folder anew, or delete the file") from None
