"""Exported masks, against COCO's own tools."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from sketchfusion.apps.web.coco import bounding_box, coco_document, run_lengths

MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def slow_lengths(mask: np.ndarray) -> list[int]:
    """Run lengths by looking at one pixel after another."""
    lengths, state = [0], False
    for value in mask.T.reshape(-1):
        if bool(value) != state:
            lengths.append(0)
            state = bool(value)
        lengths[-1] += 1
    return lengths


@given(mask=MASKS)
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_run_lengths_are_cocos(mask: np.ndarray) -> None:
    annotation = coco_document(mask, "photo.png", 0.5)["annotations"][0]
    coded = coco_mask.frPyObjects(annotation["segmentation"], *mask.shape)
    assert (coco_mask.decode(coded).astype(bool) == mask).all()
    assert coded["counts"] == coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    assert annotation["area"] == coco_mask.area(coded)
    assert annotation["bbox"] == coco_mask.toBbox(coded).tolist()
    assert annotation["segmentation"]["counts"] == slow_lengths(mask) == run_lengths(mask)


@pytest.mark.parametrize("fill", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (300, 200)])
def test_empty_and_full_masks(shape: tuple[int, int], fill: bool) -> None:
    mask = np.full(shape, fill)
    assert run_lengths(mask) == ([0, mask.size] if fill else [mask.size])
    assert bounding_box(mask) == ([0, 0, shape[1], shape[0]] if fill else [0, 0, 0, 0])


def test_an_exported_mask_opens_in_coco(client: TestClient, photo: str, sketch: str, tmp_path: Path,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    region = client.get(f"{photo}/region?sketch={sketch}").json()
    query: dict[str, Any] = {"sketch": sketch, "threshold": (region["low"] + region["high"]) / 2, "refined": False}
    drawn = np.array(Image.open(io.BytesIO(client.get(f"{photo}/mask", params=query).content))) > 0
    answer = client.get(f"{photo}/mask", params={**query, "format": "coco"})
    assert answer.headers["content-disposition"].endswith('.json"')
    (tmp_path / "mask.json").write_bytes(answer.content)
    dataset = COCO(str(tmp_path / "mask.json"))
    capsys.readouterr()  # it prints
    [image], [category] = dataset.loadImgs(dataset.getImgIds()), dataset.loadCats(dataset.getCatIds())
    [annotation] = dataset.loadAnns(dataset.getAnnIds(imgIds=image["id"]))
    assert (image["height"], image["width"]) == drawn.shape
    assert image["file_name"] == "photo0.png"
    assert category["name"] == "sketched"
    assert 0 < drawn.sum() < drawn.size
    assert (dataset.annToMask(annotation).astype(bool) == drawn).all()
    assert annotation["area"] == drawn.sum()
    assert 0 <= json.loads(answer.content)["annotations"][0]["score"] <= 1
