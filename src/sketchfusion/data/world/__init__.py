"""The drawn world: a procedural data set of photo-like and freehand-like pictures of the same instances."""

from sketchfusion.data.world.categories import CATEGORIES
from sketchfusion.data.world.dataset import DrawnWorld, WorldSample, make_sample
from sketchfusion.data.world.draw import rasterize
from sketchfusion.data.world.folder import WorldFolder, write_world
from sketchfusion.data.world.sheet import contact_sheet, save_sheet

__all__ = ["CATEGORIES", "DrawnWorld", "WorldFolder", "WorldSample", "contact_sheet", "make_sample",
    "rasterize",
           "save_sheet", "write_world"]
