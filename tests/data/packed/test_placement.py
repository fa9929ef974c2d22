"""Mask and key points move as their pictures do, however these are augmented."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from torch import Tensor

from sketchfusion.data.packed.augment import PLAIN, Placement, ViewConfig
from sketchfusion.data.packed.corpus import Corpus, PictureSet, load_corpus
from sketchfusion.data.packed.packing import PackOptions, pack
from sketchfusion.data.packed.samples import MAX_KEYPOINTS
from sketchfusion.data.packed.sampling import generator_for

SIDE = 64
VIEWS = {
    "plain": {}, "flip": {"flip": 1.0}, "zoom": {"zoom": 0.2}, "shift": {"shift": 0.1}, "rotate": {"rotate": 40.0},
    "all": {"flip": 0.5, "zoom": 0.2, "shift": 0.1, "rotate": 40.0},
}


def square_picture(size: tuple[int, int], box: tuple[int, int, int, int], ground: int, ink: int) -> Image.Image:
    """RGB of ``size`` = (width, height), one square (left, top, right, bottom) on it, the last pixel left out."""
    image = Image.new("RGB", size, (ground,) * 3)
    left, top, right, bottom = box
    ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), fill=(ink,) * 3)
    return image


def centre(box: tuple[int, int, int, int]) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Three wide, high and even photos, larger than the canvas, with a bright square; a sketch with a dark one each.

    The key points are the squares' centres and a place that is not visible.
    """
    folder = tmp_path_factory.mktemp("squares")
    (folder / "made").mkdir()
    (folder / "data" / "caltech101" / "leaf").mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(folder / "data" / "caltech101" / "leaf" / "a.png")  # of no sample
    lines = []
    for number, (size, photo_box, sketch_box) in enumerate([
            ((160, 100), (30, 40, 60, 70), (90, 20, 120, 50)), ((90, 128), (36, 70, 60, 94), (20, 30, 44, 54)),
            ((128, 128), (70, 40, 100, 70), (40, 60, 60, 80))]):
        square_picture(size, photo_box, 0, 255).save(folder / "made" / f"photo{number}.png")
        square_picture(size, photo_box, 0, 255).convert("L").save(folder / "made" / f"mask{number}.png")
        square_picture(size, sketch_box, 255, 0).save(folder / "made" / f"sketch{number}.png")
        lines.append(json.dumps({
            "id": f"{number:06d}", "class": "leaf", "cutout": f"leaf/{number}.jpg", "photo": f"photo{number}.png",
            "mask": f"mask{number}.png", "sketches": [{"file": f"sketch{number}.png", "keypoints": {
                "sketch_px": [(1.0, 1.0), centre(sketch_box)], "photo_px": [(2.0, 2.0), centre(photo_box)],
                "visible": [False, True]}}]}))
    (folder / "made" / "samples.jsonl").write_text("\n".join(lines))
    pack(folder / "data", folder / "shards", PackOptions(size=SIDE, quality=95, held_out=0.0),
         extra=[f"composites={folder / 'made'}"])
    return load_corpus(folder / "shards", SIDE, ["photo", "sketch"])


def pictures(corpus: Corpus, kind: str) -> PictureSet:
    found = corpus.sets[kind]
    assert isinstance(found, PictureSet)
    return found


def mass_centre(weights: Tensor) -> Tensor:
    """(B, S, S) >= 0 -> (B, 2) (x, y) pixels."""
    places = torch.arange(weights.shape[-1]) + 0.5
    total = weights.sum((1, 2))
    return torch.stack([(weights.sum(1) * places).sum(1), (weights.sum(2) * places).sum(1)], dim=1) / total[:, None]


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("seed", range(2))
def test_mask_and_key_point_move_with_the_photo(name: str, seed: int, squares: Corpus) -> None:
    photos = pictures(squares, "photo")
    rows = torch.nonzero(photos.sample_ids >= 0).flatten()
    view = PLAIN.model_copy(update=VIEWS[name])
    placed = photos.place(rows, view, generator_for("cpu", seed))
    bright = (photos.render(rows, view, generator_for("cpu", seed)).mean(1) - 0.5).clamp(min=0)  # the bars are grey
    masks = placed.show(squares.masks[photos.mask_ids[rows]][:, None].float(), 0.0)[:, 0]
    sketch = pictures(squares, "sketch")
    points = placed.move(sketch.keypoints[..., 2:], SIDE)
    torch.testing.assert_close(points[:, 0], mass_centre(bright), atol=0.35, rtol=0)
    torch.testing.assert_close(points[:, 0], mass_centre(masks), atol=0.35, rtol=0)
    seen, own = bright > 0.25, masks > 0.5
    shared, union = (seen & own).sum((1, 2)), (seen | own).sum((1, 2))
    assert (shared / union).min() > 0.75
    moved = (points[:, 0] - sketch.keypoints[:, 0, 2:]).norm(dim=1)
    assert moved.max() == 0 if name in ("plain", "rotate") else moved.max() > 0.5  # photos stay upright


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("seed", range(2))
def test_the_key_point_moves_with_the_sketch(name: str, seed: int, squares: Corpus) -> None:
    sketches, view = pictures(squares, "sketch"), PLAIN.model_copy(update=VIEWS[name])
    rows = torch.arange(3)
    ink = 1 - sketches.render(rows, view, generator_for("cpu", seed)).mean(1)
    points = sketches.place(rows, view, generator_for("cpu", seed)).move(sketches.keypoints[..., :2], SIDE)
    torch.testing.assert_close(points[:, 0], mass_centre(ink), atol=0.35, rtol=0)
    if name != "plain":
        assert (points[:, 0] - sketches.keypoints[:, 0, :2]).norm(dim=1).max() > 0.5


@pytest.mark.parametrize("kind", ["photo", "sketch"])
def test_what_changes_colours_and_lines_does_not_change_the_place(kind: str, squares: Corpus) -> None:
    moved = {"zoom": 0.2, "shift": 0.1, "flip": 0.5, "rotate": 10.0, "whole": 0.5}
    thick = ViewConfig(**moved, brightness=0.2, contrast=0.2, saturation=0.2)
    plain = ViewConfig(**moved, line_width=(2.0, 2.0))
    items, rows = pictures(squares, kind), torch.arange(3)
    one, other = (items.place(rows, view, generator_for("cpu", 5)).theta for view in (thick, plain))
    assert torch.equal(one, other)


boxes = st.tuples(st.floats(10, 54), st.floats(10, 54), st.floats(20, 90))


@settings(max_examples=60, deadline=None)
@given(box=boxes, flip=st.booleans(), angle=st.floats(-3, 3), point=st.tuples(st.floats(-9, 73), st.floats(-9, 73)))
def test_move_is_the_inverse_of_what_show_looks_up(box: tuple[float, float, float], flip: bool, angle: float,
                                                   point: tuple[float, float]) -> None:
    """By hand: a shown pixel, seen from the middle of the canvas: mirrored, turned, scaled, and put into the box."""
    placed = Placement.of(torch.tensor([box]), SIDE, flip=torch.tensor([flip]), angle=torch.tensor([angle]))
    x, y = ((value - SIDE / 2) * box[2] / SIDE for value in point)
    x = -x if flip else x
    origin = (box[0] + x * math.cos(angle) - y * math.sin(angle), box[1] + x * math.sin(angle) + y * math.cos(angle))
    found = placed.move(torch.tensor([[origin]]), SIDE)[0, 0]
    torch.testing.assert_close(found, torch.tensor(point), atol=2e-3, rtol=1e-3)


def test_a_blob_is_shown_where_its_middle_moves_to() -> None:
    """Forty placements at once; the blob stays inside the canvas."""
    generator = torch.Generator().manual_seed(0)
    count, at = 40, torch.tensor([28.3, 36.9])
    places = torch.arange(SIDE) + 0.5
    blob = torch.exp(-((places - at[0])[None, :] ** 2 + (places - at[1])[:, None] ** 2) / 18).expand(count, 1, -1, -1)
    chosen = torch.stack([*(torch.rand(2, count, generator=generator) * 12 + 26),
                          torch.rand(count, generator=generator) * 40 + 50], dim=1)
    placed = Placement.of(chosen, SIDE, flip=torch.rand(count, generator=generator) < 0.5,
                          angle=torch.rand(count, generator=generator) * 6 - 3)
    found = mass_centre(placed.show(blob, 0.0)[:, 0])
    torch.testing.assert_close(found, placed.move(at.expand(count, 1, 2), SIDE)[:, 0], atol=0.1, rtol=0)


def test_an_unmoved_picture_and_its_points_stay() -> None:
    images, points = torch.rand(2, 3, 8, 8), torch.rand(2, 5, 2) * 8
    placed = Placement.unmoved(2)
    torch.testing.assert_close(placed.show(images, 0.0), images)
    torch.testing.assert_close(placed.move(points, 8), points)


def test_points_that_are_not_there_stay_so_beside_those_that_are(squares: Corpus) -> None:
    sketches = pictures(squares, "sketch")
    assert sketches.keypoints.shape == (3, MAX_KEYPOINTS, 4)
    known = torch.tensor([True] + [False] * (MAX_KEYPOINTS - 1))
    view = ViewConfig(rotate=20)
    moved = sketches.place(torch.arange(3), view, generator_for("cpu", 0)).move(sketches.keypoints[..., :2], SIDE)
    for points in (sketches.keypoints, moved):
        assert torch.equal(~points.isnan().any(-1), known.expand(3, -1))
        assert torch.equal(points.isnan().all(-1), ~known.expand(3, -1))


def test_no_pictures_at_all_can_be_shown() -> None:
    assert Placement.unmoved(0).show(torch.zeros(0, 1, 8, 8), 0.0).shape == (0, 1, 8, 8)
