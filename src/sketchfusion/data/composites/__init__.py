"""Cut-outs of photos with plain grounds, composites with exact masks, and traced sketches with exact correspondence."""

from sketchfusion.data.composites.cutout import CutOut, Rejected, cut_out
from sketchfusion.data.composites.dataset import Composites
from sketchfusion.data.composites.folder import verify, write_composites
from sketchfusion.data.composites.gate import Gate
from sketchfusion.data.composites.prepare import Prepared, prepare
from sketchfusion.data.composites.sample import CompositeSample, CutOutItem, SampleOptions, make_sample
from sketchfusion.data.composites.trace import Trace, TracedStroke, trace
from sketchfusion.data.composites.warp import Correspondence, ThinPlateWarp, random_warp

__all__ = ["CompositeSample", "Composites", "Correspondence", "CutOut", "CutOutItem", "Gate", "Prepared", "Rejected",
           "SampleOptions", "ThinPlateWarp", "Trace", "TracedStroke", "cut_out", "make_sample", "prepare",
           "random_warp", "trace", "verify", "write_composites"]
