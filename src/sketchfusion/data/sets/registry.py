"""The table of data sets: adding one is a reader and a row."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sketchfusion.data.sets import caltech, folders, masked, psc6k, quickdraw, sketchy
from sketchfusion.data.sets.base import SketchPhotoSet
from sketchfusion.errors import ConfigError


@dataclass(frozen=True)
class DataSet:
    """One data set.

    Attributes:
        name: what it is called on the command line.
        title: what it is, in a few words.
        layout: what its folder must hold.
        source: where it is to be had.
        licence: what may be done with it.
        read: folder and options -> SketchPhotoSet; raises DataError at the first thing that is wrong.
        scan: folder and ``Findings`` -> SketchPhotoSet, as a check wants it: everything wrong is collected.
        published: of ``check.measure``, how many there must be; several numbers where paper and archive differ.
    """

    name: str
    title: str
    layout: str
    source: str
    licence: str
    read: Callable[..., SketchPhotoSet]
    scan: Callable[..., SketchPhotoSet]
    published: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


SKETCHES = (75_471, 75_481)  # of Sketchy: in the paper, in the archive

ROWS = (
    DataSet("sketchy", "Sketchy database: photos and sketches of exactly these", sketchy.LAYOUT, sketchy.SOURCE,
            sketchy.LICENCE, sketchy.read_sketchy, partial(sketchy.scan_sketchy, invalid="keep"),
            {"classes": (125,), "photos": (12_500,), "sketches": SKETCHES, "unseen photos": (2_100,),
             "unseen sketches": (12_694,)}),
    DataSet("sketchy-extended", "Sketchy with 60,502 further photos", sketchy.EXTENSION_LAYOUT,
            sketchy.EXTENSION_SOURCE, sketchy.LICENCE, sketchy.read_sketchy_extended,
            partial(sketchy.scan_extended, invalid="keep"),
            {"classes": (125,), "photos": (73_002,), "sketches": SKETCHES, "unseen photos": (10_453,),
             "unseen sketches": (12_694,)}),
    DataSet("tu-berlin", "TU-Berlin: sketches of 250 classes", folders.TU_LAYOUT, folders.TU_SOURCE,
            folders.TU_LICENCE, folders.read_tu_berlin, folders.scan_tu_berlin,
            {"classes": (250,), "sketches": (20_000,)}),
    DataSet("tu-berlin-extended", "TU-Berlin with photos", folders.TU_EXTENDED_LAYOUT, folders.TU_EXTENDED_SOURCE,
            folders.TU_LICENCE + "; photos from the web, no licence stated", folders.read_tu_berlin_extended,
            folders.scan_tu_berlin_extended,
            {"classes": (250,), "photos": (204_489, 204_070), "sketches": (20_000,), "unseen photos": (27_989,),
             "unseen sketches": (2_400,)}),
    DataSet("quickdraw", "Quick, Draw!: drawings of 345 classes", quickdraw.LAYOUT, quickdraw.SOURCE,
            quickdraw.LICENCE, quickdraw.read_quickdraw, quickdraw.scan_quickdraw, {"classes": (345,)}),
    DataSet("quickdraw-sketchrnn", "Quick, Draw! as Sketch-RNN divides it", quickdraw.RNN_LAYOUT, quickdraw.RNN_SOURCE,
            quickdraw.LICENCE, quickdraw.read_sketchrnn, quickdraw.scan_sketchrnn, {"classes": (345,)}),
    DataSet("quickdraw-extended", "Quick, Draw! sketches as pictures, with photos", folders.QD_LAYOUT,
            folders.QD_SOURCE, folders.QD_LICENCE, folders.read_quickdraw_extended, folders.scan_quickdraw_extended,
            {"classes": (110,), "unseen photos": (54_151,), "unseen sketches": (92_291,)}),
    DataSet("psc6k", "PSC6K: key points of sketches and photos", psc6k.LAYOUT, psc6k.SOURCE, psc6k.LICENCE,
            psc6k.read_psc6k, psc6k.scan_psc6k,
            {"classes": (125,), "photos": (1_250,), "sketches": (6_250,), "key point pairs": (6_250,)}),
    DataSet("caltech-quickdraw", "Caltech-101 photos and Quick, Draw! drawings of 45 classes", caltech.LAYOUT,
            caltech.SOURCE, caltech.LICENCE, caltech.read_caltech_quickdraw, caltech.scan_caltech_quickdraw,
            {"classes": (45,)}),
    DataSet("masked", "photos with masks, and sketches of exactly these, of your own", masked.LAYOUT,
            "your own folders; the paper's segmentation data are not released", "yours", masked.read_masked,
            masked.scan_masked),
    DataSet("composites", "what `sketchfusion data make-composites` writes", masked.COMPOSITES_LAYOUT,
            "`sketchfusion data make-composites`", masked.COMPOSITES_LICENCE, masked.read_composites_set,
            masked.scan_composites),
    DataSet("drawn-world", "what `sketchfusion data make-world` writes", masked.WORLD_LAYOUT,
            "`sketchfusion data make-world`", masked.WORLD_LICENCE, masked.read_world_set, masked.scan_world),
    DataSet("pacs", "PACS, domains photo and sketch, or a part of it", folders.PACS_LAYOUT, folders.PACS_SOURCE,
            folders.PACS_LICENCE, folders.read_pacs_set, folders.scan_pacs),
    DataSet("folders", "any photos and sketches in folders by class", folders.ANY_LAYOUT, "your own folders", "yours",
            folders.read_folders, folders.scan_folders),
)
SETS: Mapping[str, DataSet] = {row.name: row for row in ROWS}


def find_set(name: str) -> DataSet:
    """The row of a data set. Raises ConfigError: there is none of that name."""
    if name not in SETS:
        near = difflib.get_close_matches(name.lower(), SETS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"there is no data set {name!r}; {hint}expected one of {', '.join(SETS)}")
    return SETS[name]


def read_set(name: str, folder: str | os.PathLike[str], **options: Any) -> SketchPhotoSet:
    """A data set by its name; the options are those of its reader.

    Raises:
        DataError: something is missing or wrong.
        ConfigError: there is no such data set or split.
    """
    return find_set(name).read(folder, **options)
