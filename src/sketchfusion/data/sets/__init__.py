"""Readers of the research data sets in their published layouts, and a checker; ``docs/datasets.md`` is the manual."""

from sketchfusion.data.sets.base import Findings, KeyPointPair, MaskedPair, Picture, Problem, SketchPhotoSet
from sketchfusion.data.sets.caltech import read_caltech_quickdraw
from sketchfusion.data.sets.check import Count, Report, check
from sketchfusion.data.sets.classes import SPLITS, load_list, load_split
from sketchfusion.data.sets.folders import (
    read_file_list,
    read_folders,
    read_pacs_set,
    read_quickdraw_extended,
    read_tu_berlin,
    read_tu_berlin_extended,
)
from sketchfusion.data.sets.masked import read_composites_set, read_masked, read_world_set
from sketchfusion.data.sets.psc6k import read_psc6k
from sketchfusion.data.sets.quickdraw import read_drawing, read_drawings, read_quickdraw, read_sketchrnn
from sketchfusion.data.sets.registry import SETS, DataSet, find_set, read_set
from sketchfusion.data.sets.sketchy import read_sketchy, read_sketchy_extended

__all__ = [
    "SETS", "SPLITS", "Count", "DataSet", "Findings", "KeyPointPair", "MaskedPair", "Picture", "Problem", "Report",
    "SketchPhotoSet", "check", "find_set", "load_list", "load_split", "read_caltech_quickdraw", "read_composites_set",
    "read_drawing", "read_drawings", "read_file_list", "read_folders", "read_masked", "read_pacs_set", "read_psc6k",
    "read_quickdraw", "read_quickdraw_extended", "read_set", "read_sketchrnn", "read_sketchy", "read_sketchy_extended",
    "read_tu_berlin", "read_tu_berlin_extended", "read_world_set",
]
