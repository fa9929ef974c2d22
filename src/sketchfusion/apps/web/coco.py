"""COCO's JSON for one mask: image, category, and an annotation with uncompressed run lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def run_lengths(mask: Mask) -> list[int]:
    """Lengths of runs of an (H, W) mask, column by column from the top left; the first run is background, maybe 0."""
    flat = np.asarray(mask, dtype=bool).flatten(order="F")
    if not flat.size:
        return []
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(np.concatenate(([0], changes, [flat.size]))).tolist()
    return [0, *lengths] if flat[0] else lengths


def bounding_box(mask: Mask) -> list[int]:
    """[left, top, width, height] in pixels; all 0 where the mask is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return [0, 0, 0, 0]
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]


def coco_document(mask: Mask, file_name: str, score: float) -> dict[str, Any]:
    """A whole document of one photo and what a sketch shows of it, whose category is "sketched".

    Args:
        mask: (H, W), the size of the upright photo.
        score: in [0, 1].
    """
    height, width = mask.shape
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 1, "area": int(mask.sum()),
                  "bbox": bounding_box(mask), "score": score,
                  "segmentation": {"size": [height, width], "counts": run_lengths(mask)}}
    return {"images": [{"id": 1, "file_name": file_name, "width": width, "height": height}],
            "categories": [{"id": 1, "name": "sketched", "supercategory": ""}], "annotations": [annotation]}
