"""Sketch-RNN's ``.npz`` of Quick, Draw!: offsets and pen marks in the parts train, valid and test.

The published files hold arrays of objects, which are pickles, and a pickle can run any program. Here none is run: the
few calls that a pickled array consists of are written down, not made, and the arrays are built from their bytes.
"""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from sketchfusion.errors import DataError, ImageError
from sketchfusion.sketches import MAX_POINTS, Drawing

Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = get_args(Part)  # in this order
PAPER = 256.0  # side of the paper of simplified drawings
MAX_MEMBER = 1 << 28  # bytes of one part, unpacked; the published ones have some 30 MB
NUMBERS = re.compile(r"[iuf][1248]")
HINT = "expected Sketch-RNN's arrays train, valid and test; see docs/datasets.md"
DAMAGED = (pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ArithmeticError,
           AssertionError, AttributeError, LookupError, MemoryError, NotImplementedError, RecursionError, TypeError,
           ValueError)  # what damaged bytes can make these readers raise
Numbers = npt.NDArray[Any]


class Inert:
    """What a pickled array or dtype is turned into: the arguments of its call and its state, without doing anything.

    It stands for numpy's classes and for the function that makes arrays, so that nothing of numpy is called.
    """

    __slots__ = ("arguments", "state")
    arguments: tuple[object, ...]
    state: Any

    def __new__(cls, *arguments: object) -> Self:
        """Write down the call."""
        made = object.__new__(cls)
        made.arguments, made.state = arguments, ()
        return made

    def __setstate__(self, state: object) -> None:
        """Write down the state."""
        self.state = state


class InertArray(Inert):
    """An array."""

    __slots__ = ()


class InertType(Inert):
    """A dtype."""

    __slots__ = ()


class Encoded(Inert):
    """``_codecs.encode``, by which bytes are pickled with protocol 2."""

    __slots__ = ()

    def __new__(cls, text: str, encoding: str) -> bytes:  # type: ignore[misc]
        """The bytes themselves."""
        return latin(text)


ADMITTED: Mapping[tuple[str, str], type[Inert]] = {
    ("numpy.core.multiarray", "_reconstruct"): InertArray, ("numpy._core.multiarray", "_reconstruct"): InertArray,
    ("numpy", "ndarray"): InertArray, ("numpy", "dtype"): InertType, ("_codecs", "encode"): Encoded}


class ArrayUnpickler(pickle._Unpickler):  # the one in C takes 64 GB where nine bytes ask for it (its memo)
    """Reads pickled arrays of arrays as ``Inert``. Anything else that a pickle names is refused, and not imported."""

    def find_class(self, module: str, name: str) -> type[Inert]:
        """The stand-in. Raises DataError: there is none."""
        if (module, name) not in ADMITTED:
            raise DataError(f"it is a pickle that asks for {module}.{name}; only arrays of numbers are read, and "
                            "nothing was run: do not open this file with other programs")
        return ADMITTED[module, name]


@dataclass(frozen=True)
class Member:
    """One part of a file, as its header describes it.

    Attributes:
        name: train, valid or test.
        count: drawings.
        pickled: whether it is an array of objects, as published.
    """

    name: str
    count: int
    pickled: bool


def list_members(file: Path) -> list[Member]:
    """The parts of a file in the order train, valid, test; drawings are counted, not read.

    Raises:
        DataError: it is no such file.
    """
    with opened(file) as archive:
        return [member_of(file, archive, name) for name in PARTS if f"{name}.npy" in archive.namelist()]


def read_members(file: Path, first: int = 1) -> Iterator[Drawing]:
    """The drawings of a file from number ``first`` on, in the order train, valid, test.

    Raises:
        DataError: it is no such file, is damaged, or holds anything but arrays of numbers; nothing in it is run.
    """
    number = 0
    for member in list_members(file):
        if number + member.count < first:
            number += member.count
            continue
        offsets, lengths = read_member(file, member)
        ends = np.cumsum(lengths)
        for length, end in zip(lengths.tolist(), ends.tolist(), strict=True):
            number += 1
            if number < first:
                continue
            try:
                yield from_offsets(offsets[end - length : end])
            except ImageError as error:
                raise DataError(f"{file}, drawing {number}: {error}") from None


@contextmanager
def opened(file: Path) -> Iterator[zipfile.ZipFile]:
    """The archive; whatever is wrong in it becomes a DataError."""
    try:
        if not zipfile.is_zipfile(file):
            file.open("rb").close()  # says why it cannot be read
            raise DataError(f"{file} is no npz archive; {HINT}")
        with zipfile.ZipFile(file) as archive:
            if not any(f"{name}.npy" in archive.namelist() for name in PARTS):
                raise DataError(f"{file} has no arrays {', '.join(PARTS)}; {HINT}")
            yield archive
    except DAMAGED as error:
        raise DataError(f"cannot read {file}: {error or type(error).__name__}; {HINT}, or download it again") from None


@contextmanager
def stream_of(file: Path, archive: zipfile.ZipFile, name: str) -> Iterator[IO[bytes]]:
    """An array's bytes. Raises DataError: it is not there, or too large."""
    if f"{name}.npy" not in archive.namelist():
        raise DataError(f"{file} has no array {name}; {HINT}")
    size = archive.getinfo(f"{name}.npy").file_size
    if size > MAX_MEMBER:
        raise DataError(f"{file}: {name} has {size:,} bytes, more than the {MAX_MEMBER:,} allowed; {HINT}")
    with archive.open(f"{name}.npy") as stream:
        yield stream


def member_of(file: Path, archive: zipfile.ZipFile, name: str) -> Member:
    """A part by its header."""
    with stream_of(file, archive, name) as stream:
        shape, kind = header_of(stream)
    if not kind.hasobject:
        with stream_of(file, archive, f"{name}_lengths") as stream:
            shape, _ = header_of(stream)
    if len(shape) != 1:
        raise DataError(f"{file}: {name} has the shape {shape}; {HINT}")
    return Member(name, int(shape[0]), kind.hasobject)


def header_of(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """(shape, dtype) of a .npy stream, which then stands where the data begin."""
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"a .npy of version {version}, expected one of {', '.join(map(str, readers))}")
    shape, _, kind = readers[version](stream)
    return shape, kind


def read_member(file: Path, member: Member) -> tuple[Numbers, Numbers]:
    """(points, 3) offsets of all drawings of a part, one after the other, and the number of points of each."""
    with opened(file) as archive:
        if member.pickled:
            with stream_of(file, archive, member.name) as stream:
                header_of(stream)
                return unpickled(file, member, stream)
        arrays = []
        for name in (member.name, f"{member.name}_lengths"):
            with stream_of(file, archive, name) as stream:
                arrays.append(np.lib.format.read_array(stream, allow_pickle=False))
    offsets, lengths = arrays
    check_lengths(file, member.name, offsets, lengths)
    return offsets, lengths


def unpickled(file: Path, member: Member, stream: IO[bytes]) -> tuple[Numbers, Numbers]:
    """Offsets and lengths of a pickled array of arrays."""
    try:
        found = ArrayUnpickler(stream, encoding="latin1").load()
        items = state_of(found)[4]
        if not isinstance(items, list) or len(items) != member.count:
            raise ValueError(f"a pickle of something else than {member.count:,} drawings")
        if sum(len(state_of(item)[4]) for item in items) > MAX_MEMBER:
            raise ValueError(f"more than the {MAX_MEMBER:,} bytes allowed")
        drawings = [array_of(item) for item in items]
        if len({drawing.dtype for drawing in drawings}) > 1:
            raise ValueError("drawings of different types of number")
    except DataError as error:
        raise DataError(f"{file}: {member.name} is not read: {error}") from None
    lengths = np.array([len(drawing) for drawing in drawings], dtype=np.int64)
    return np.concatenate([np.zeros((0, 3), np.int8), *drawings]), lengths


def state_of(found: object) -> tuple[Any, ...]:
    """(version, shape, dtype, whether by columns, content) of a pickled array. Raises ValueError: it is none."""
    state = found.state if isinstance(found, InertArray) else ()
    if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[4], list | bytes | str):
        raise ValueError("a pickle of something else than arrays")
    return state


def array_of(found: object) -> Numbers:
    """(N, 3) numbers of a pickled array. Raises ValueError: it is of another kind."""
    _, shape, kind, by_columns, content = state_of(found)
    if not (isinstance(shape, tuple) and len(shape) == 2 and shape[1] == 3 and isinstance(shape[0], int)):
        raise ValueError(f"a drawing of the shape {shape!r}, expected (points, 3)")
    numbers = np.frombuffer(content if isinstance(content, bytes) else latin(content), type_of(kind))
    if shape[0] < 0 or numbers.size != 3 * shape[0]:
        raise ValueError(f"a drawing of {numbers.size:,} numbers, expected {shape}")
    return numbers.reshape(shape, order="F" if by_columns == 1 else "C")


def type_of(kind: object) -> np.dtype[Any]:
    """The dtype of a pickled array. Raises ValueError: it is no number."""
    name = kind.arguments[0] if isinstance(kind, InertType) and kind.arguments else None
    state = kind.state if isinstance(kind, InertType) else ()
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
    if not (isinstance(name, str) and NUMBERS.fullmatch(name) and order in ("<", ">", "=", "|")):
        raise ValueError(f"a drawing of the type {name!r}, expected integers or floats")
    return np.dtype(f"{order}{name}")


def latin(text: object) -> bytes:
    """Bytes that a pickle of protocol 2 has as text. Raises ValueError: it is none."""
    if not isinstance(text, str):
        raise ValueError("a pickle of something else than arrays")
    return text.encode("latin1")


def check_lengths(file: Path, name: str, offsets: Numbers, lengths: Numbers) -> None:
    """Raise DataError unless offsets and lengths fit."""
    fits = (offsets.ndim == 2 and offsets.shape[1] == 3 and offsets.dtype.kind in "iuf" and lengths.ndim == 1
            and lengths.dtype.kind in "iu" and (lengths.size == 0 or int(lengths.min()) > 0)
            and int(lengths.sum()) == len(offsets))
    if not fits:
        raise DataError(f"{file}: {name} is {offsets.dtype} {offsets.shape} and its lengths {lengths.dtype} "
                        f"{lengths.shape} add up to {lengths.sum()}; {HINT}")


def from_offsets(offsets: Numbers) -> Drawing:
    """The drawing of a Sketch-RNN array, moved so that its ink begins at (0, 0).

    Args:
        offsets: (N, 3): step in x, step in y, and 1 where the pen is lifted after this point.
    Raises:
        ImageError: blank, or not finite.
    """
    steps = np.asarray(offsets, dtype=np.float64).reshape(-1, 3)
    if not 0 < len(steps) <= MAX_POINTS or not np.isfinite(steps).all():
        raise ImageError(f"expected 1 to {MAX_POINTS:,} finite steps of a drawing, got {offsets.shape}")
    points = np.cumsum(steps[:, :2], axis=0)
    points -= points.min(axis=0)
    lifts = np.flatnonzero(steps[:-1, 2] > 0) + 1
    paper = max(PAPER, float(points.max()) + 1)
    return Drawing(tuple(np.split(points, lifts)), paper, paper)
