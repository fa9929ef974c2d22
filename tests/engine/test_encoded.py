"""What the frozen encoders make of packed data: the same as of the pictures themselves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from sketchfusion.data.packed.augment import PLAIN, Placement
from sketchfusion.data.packed.corpus import Corpus, load_corpus
from sketchfusion.data.packed.packing import PackOptions, pack
from sketchfusion.data.packed.sampling import generator_for
from sketchfusion.data.world import write_world
from sketchfusion.engine.encoded import SIDES, EncodedSide, encode_side, encoding_identity, moved_boxes
from sketchfusion.errors import ConfigError
from sketchfusion.fusion.descriptor import content_mask
from sketchfusion.fusion.extractor import SketchFusion

Make = Callable[..., SketchFusion]
VIEWS = {kind: PLAIN for kinds in SIDES.values() for kind in kinds}
MIRRORED = {kind: PLAIN.model_copy(update={"flip": 0.5}) for kind in VIEWS}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable[..., Image.Image]) -> Corpus:
    """A drawn world of two classes, wide photos of one of them, and icons."""
    root = tmp_path_factory.mktemp("encoded")
    write_world(root / "world", categories=["cup", "key"], photos_per_class=3, size=64)
    for folder, label, kind in (("data/caltech101", "cup", "jpg"), ("icons", "key", "png")):
        (root / folder / label).mkdir(parents=True)
        for index in range(3):
            draw_picture((60, 40), index).save(root / folder / label / f"image_{index:04d}.{kind}")
    pack(root / "data", root / "shards", PackOptions(size=64, held_out=0),
         extra=(f"world={root / 'world'}", f"icon={root / 'icons'}"))
    return load_corpus(root / "shards", 64, ["photo", "sketch", "icon"])


@pytest.fixture(scope="module")
def photos(corpus: Corpus, tiny_model: SketchFusion) -> EncodedSide:
    return encode_side(tiny_model, corpus, "photos", VIEWS, num_views=1, seed=0)


def half_near(found: Tensor, expected: Tensor) -> bool:
    """Equal up to the rounding of half precision."""
    return torch.allclose(found.float(), expected.float(), rtol=2e-3, atol=1e-4)


def test_every_picture_of_a_side_is_there_in_half_precision_with_its_labels(corpus: Corpus,
                                                                            tiny_model: SketchFusion) -> None:
    side = encode_side(tiny_model, corpus, "sketches", VIEWS, num_views=3, seed=0)
    sets = [corpus.sets[kind] for kind in ("sketch", "icon")]
    assert len(side) == 9
    assert (side.latents.shape, side.latents.dtype) == ((3, 9, 4, 16, 16), torch.float16)
    assert (side.patch_features.shape, side.patch_features.dtype) == ((3, 9, 32, 8, 8), torch.float16)
    assert side.content.shape == (9, 4)
    assert torch.equal(side.class_ids, torch.cat([items.class_ids for items in sets]))
    assert torch.equal(side.instance_ids, torch.cat([items.instance_ids for items in sets]))
    assert torch.equal(side.sample_ids, torch.cat([items.sample_ids for items in sets]))
    assert torch.equal(side.mask_ids, torch.full((9,), -1))
    assert torch.equal(side.keypoints.nan_to_num(-9), torch.cat([items.keypoints for items in sets]).nan_to_num(-9))
    assert (side.sample_ids >= 0).tolist() == [True] * 6 + [False] * 3
    assert not side.keypoints[:6].isnan().all(2).all(1).any()
    assert side.keypoints[6:].isnan().all()
    assert (side.theta.shape, side.images.shape) == ((3, 9, 2, 3), (0, 3, 64, 64))
    assert [SIDES["sketches"][kind] for kind in side.kinds.tolist()] == ["sketch"] * 6 + ["icon"] * 3
    assert side.rows.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2]


@pytest.mark.parametrize("side", SIDES)
def test_what_is_taken_is_what_the_model_makes_of_the_picture(side: str, corpus: Corpus,
                                                              tiny_model: SketchFusion) -> None:
    """Pictures of every kind, in any order, each against the picture of its kind and row in the corpus."""
    kept = encode_side(tiny_model, corpus, side, VIEWS, num_views=1, seed=0)
    rows = torch.tensor([8, 0, 4, 4])
    encoded, content = kept.take(rows, torch.zeros(4, dtype=torch.long), tiny_model)
    assert encoded.latents.dtype == tiny_model.dtype
    for place, row in enumerate(rows.tolist()):
        items = corpus.sets[SIDES[side][int(kept.kinds[row])]]
        image = items.render(kept.rows[row:row + 1], PLAIN, generator_for("cpu", "plain"))
        with torch.no_grad():
            expected = tiny_model.encode(image)
        assert half_near(encoded.latents[place], expected.latents[0])
        assert encoded.patch_features is not None
        assert expected.patch_features is not None
        assert half_near(encoded.patch_features[place], expected.patch_features[0])
        assert torch.equal(content[place], kept.content[row])
    assert not half_near(encoded.latents[0], encoded.latents[1])


def test_descriptors_of_kept_pictures_are_those_of_the_pictures(corpus: Corpus, photos: EncodedSide,
                                                                tiny_model: SketchFusion) -> None:
    rows = torch.arange(len(photos))
    items = corpus.sets["photo"]
    images = items.render(rows, PLAIN, generator_for("cpu", "plain"))
    with torch.no_grad():
        found = tiny_model.fuse(*photos.take(rows, torch.zeros_like(rows), tiny_model)).descriptor
        expected = tiny_model(images, photos.content).descriptor
    assert (found * expected).sum(1).min() > 0.9999
    assert (expected @ expected.T).fill_diagonal_(0).max() < 0.9999


@pytest.mark.parametrize("overrides", [(), ("diffusion.noise=image",), ("diffusion.vae_sampling=sample",),
                                       ("injection.blocks=[]",)])
def test_encoding_and_fusing_is_what_the_model_does(overrides: tuple[str, ...], make_tiny: Make) -> None:
    model = make_tiny(*overrides)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    content = torch.tensor([[0.0, 8, 64, 56], [0, 0, 64, 64]])
    with torch.no_grad():
        whole = model(images, content)
        encoded = model.encode(images)
        parts = model.fuse(encoded, content)
    assert (encoded.patch_features is None) == ("injection.blocks=[]" in overrides)
    assert torch.equal(whole.feature_map, parts.feature_map)
    assert torch.equal(whole.descriptor, parts.descriptor)


def test_every_other_view_is_mirrored(corpus: Corpus, tiny_model: SketchFusion) -> None:
    side = encode_side(tiny_model, corpus, "photos", MIRRORED, num_views=3, seed=0)
    images = corpus.sets["photo"].render(torch.arange(len(side)), PLAIN, generator_for("cpu", "plain"))
    with torch.no_grad():
        upright, mirrored = tiny_model.encode(images).latents, tiny_model.encode(images.flip(-1)).latents
    for view, expected in enumerate((upright, mirrored, upright)):
        assert half_near(side.latents[view], expected), view
    assert not half_near(side.latents[1], upright)


def test_each_row_is_taken_in_its_own_view(corpus: Corpus, tiny_model: SketchFusion) -> None:
    side = encode_side(tiny_model, corpus, "photos", MIRRORED, num_views=2, seed=0)
    encoded, _ = side.take(torch.tensor([5, 5, 2]), torch.tensor([1, 0, 1]), tiny_model)
    assert encoded.patch_features is not None
    for place, (row, view) in enumerate(((5, 1), (5, 0), (2, 1))):
        assert torch.equal(encoded.latents[place], side.latents[view, row].float())
        assert torch.equal(encoded.patch_features[place], side.patch_features[view, row].float())
    assert not torch.equal(encoded.latents[0], encoded.latents[1])
    assert len(set(encoded.keys)) == 3


def test_nothing_is_mirrored_where_the_augmentation_does_not(corpus: Corpus, tiny_model: SketchFusion) -> None:
    side = encode_side(tiny_model, corpus, "photos", VIEWS, num_views=2, seed=0)
    assert half_near(side.latents[0], side.latents[1])


def test_views_are_augmented_each_in_its_own_way_by_the_seed(corpus: Corpus, tiny_model: SketchFusion) -> None:
    moved = {kind: PLAIN.model_copy(update={"shift": 0.1, "zoom": 0.2}) for kind in VIEWS}
    one, again, other = (encode_side(tiny_model, corpus, "sketches", moved, num_views=2, seed=seed)
                         for seed in (0, 0, 1))
    assert torch.equal(one.latents, again.latents)
    assert not half_near(one.latents[0], one.latents[1])
    assert not half_near(one.latents, other.latents)


@pytest.mark.parametrize("side", SIDES)
def test_theta_tells_how_each_view_was_placed(side: str, corpus: Corpus, tiny_model: SketchFusion) -> None:
    """The plain pictures, placed by it, are what was encoded: moved, zoomed, every other one mirrored, icons turned."""
    moved = {kind: PLAIN.model_copy(update={"shift": 0.1, "zoom": 0.2, "flip": 0.5, "rotate": 20.0}) for kind in VIEWS}
    kept = encode_side(tiny_model, corpus, side, moved, num_views=2, seed=3)
    for view in range(2):
        for row in range(len(kept)):
            kind = SIDES[side][int(kept.kinds[row])]
            plain = corpus.sets[kind].render(kept.rows[row:row + 1], PLAIN, generator_for("cpu", 0))
            fill = torch.tensor(tiny_model.padding("photo")).view(1, 3, 1, 1) / 255 if kind == "photo" else \
                plain[:, :, :1, :1]
            shown = Placement(kept.theta[view, row:row + 1]).show(plain, fill)
            with torch.no_grad():
                expected, unmoved = tiny_model.encode(torch.cat([shown, plain])).latents
            assert half_near(kept.latents[view, row], expected)
            assert not half_near(kept.latents[view, row], unmoved)
        upright = torch.det(kept.theta[view, :, :, :2]) > 0
        assert bool(upright.all() if view == 0 else (~upright).all())


def test_the_first_view_is_kept_to_be_looked_at(corpus: Corpus, tiny_model: SketchFusion) -> None:
    side = encode_side(tiny_model, corpus, "photos", MIRRORED, num_views=2, seed=0, keep_images=True)
    images = corpus.sets["photo"].render(torch.arange(9), PLAIN, generator_for("cpu", "plain"))
    assert side.images.dtype == torch.uint8
    torch.testing.assert_close(side.images, (images * 255).round().to(torch.uint8))


def test_the_photos_of_given_samples_are_there_whatever_the_number(corpus: Corpus, tiny_model: SketchFusion) -> None:
    wanted = torch.tensor([4, 1, -1, 4])
    few = encode_side(tiny_model, corpus, "photos", VIEWS, num_views=1, seed=0, most=1)
    more = encode_side(tiny_model, corpus, "photos", VIEWS, num_views=1, seed=0, most=1, samples=wanted)
    assert len(few) == 1
    assert few.rows.tolist() == [0]
    assert set(more.sample_ids.tolist()) == {*few.sample_ids.tolist(), 1, 4}
    assert len(more) == 3


def test_content_is_where_the_photo_lies_on_its_canvas(corpus: Corpus, photos: EncodedSide) -> None:
    wide = [place for place in range(9) if photos.content[place, 1] > 0]
    assert len(wide) == 3  # 60 x 40 on a canvas of 64: bars above and below
    for place in wide:
        left, top, right, bottom = photos.content[place].tolist()
        assert (left, right) == (0, 64)
        assert bottom - top == pytest.approx(64 * 40 / 60, abs=1)
    assert photos.content[[place for place in range(9) if place not in wide]].tolist() == [[0, 0, 64, 64]] * 6


def places_shown(theta: Tensor, grid: int) -> Tensor:
    """(grid, grid, 2) pixels: which place of its own canvas each cell of a view shows in its middle."""
    middles = (torch.arange(grid) + 0.5) * 2 / grid - 1
    return torch.stack([torch.stack([(theta @ torch.stack([x, y, torch.ones(())]) + 1) * 32 for x in middles])
                        for y in middles])


def inside(places: Tensor, box: Tensor) -> Tensor:
    return ((places >= box[:2]) & (places <= box[2:])).all(-1)


def test_of_every_view_the_cells_of_the_photo_are_pooled_and_no_bars(corpus: Corpus, tiny_model: SketchFusion) -> None:
    """Moved, zoomed and mirrored; cell by cell, by what each of them shows."""
    moved = {kind: PLAIN.model_copy(update={"shift": 0.1, "zoom": 0.2, "flip": 0.5}) for kind in VIEWS}
    side = encode_side(tiny_model, corpus, "photos", moved, num_views=4, seed=0)
    rows, changed = torch.arange(len(side)), 0
    unmoved = content_mask(side.content, 64, (16, 16))
    for view in range(4):
        encoded, content = side.take(rows, torch.full_like(rows, view), tiny_model)
        pooled = content_mask(content, 64, (16, 16))
        for row in range(len(side)):
            expected = inside(places_shown(side.theta[view, row], 16), side.content[row])
            assert torch.equal(pooled[row], expected), (view, row)
            changed += int(not torch.equal(expected, unmoved[row]))
        with torch.no_grad():
            features = tiny_model.fuse(encoded, content)
        peak = features.feature_map.masked_fill(~pooled[:, None], float("-inf")).amax((2, 3))
        torch.testing.assert_close(features.descriptor, F.normalize(peak, dim=1))
    assert changed > 18  # half of the views


def test_of_a_turned_sketch_no_cell_is_left_out(corpus: Corpus, tiny_model: SketchFusion) -> None:
    """Beside it lies its own paper, so that the box goes around it."""
    turned = {kind: PLAIN.model_copy(update={"shift": 0.05, "zoom": 0.2, "rotate": 20.0}) for kind in VIEWS}
    side = encode_side(tiny_model, corpus, "sketches", turned, num_views=2, seed=0)
    rows, more = torch.arange(len(side)), 0
    wide = replace(side, content=torch.tensor([[0.0, 16.0, 64.0, 48.0]]).expand(len(side), -1))
    for view in range(2):
        boxes = wide.shown(rows, torch.full_like(rows, view))
        assert (boxes >= 0).all()
        assert (boxes <= 64).all()
        for row in range(len(side)):
            own = inside(places_shown(side.theta[view, row], 64), wide.content[row])
            edges = [torch.nonzero(own.any(axis)).flatten() for axis in (0, 1)]
            drawn = [float(edges[0][0]), float(edges[1][0]), float(edges[0][-1] + 1), float(edges[1][-1] + 1)]
            assert boxes[row].tolist() == pytest.approx(drawn, abs=2)  # the corner itself is in no pixel's middle
            pooled = content_mask(boxes[row:row + 1], 64, (64, 64))[0]
            assert (pooled | ~own).all()
            more += int((pooled & ~own).sum())
    assert more


@pytest.mark.parametrize("side", [64, 128, 336, 1000])
def test_the_box_of_what_was_not_moved_is_exactly_its_own(side: int) -> None:
    content = torch.tensor([[0, 7, side, side - 7], [side / 3, 0, side - side / 3, side], [5, 5, 6, 6]])
    assert torch.equal(moved_boxes(content, Placement.unmoved(3).theta, side), content)
    assert moved_boxes(content[:0], Placement.unmoved(0).theta, side).shape == (0, 4)


def test_the_box_of_what_was_moved_off_the_canvas_still_has_a_cell() -> None:
    theta = Placement.of(torch.tensor([[150.0, 32, 64], [32, -200, 64]]), 64, flip=torch.zeros(2)).theta
    boxes = moved_boxes(torch.tensor([[0.0, 16, 64, 48]]).expand(2, -1), theta, 64)
    assert boxes.tolist() == [[0, 16, 0, 48], [0, 64, 64, 64]]
    assert content_mask(boxes, 64, (16, 16)).sum((1, 2)).tolist() == [8, 16]


def test_a_box_equals_its_corners_by_hand() -> None:
    """Zoomed in by a half about the middle, then turned by 30 degrees."""
    boxes, flip = torch.tensor([[32.0, 32, 32]]), torch.zeros(1)
    content = torch.tensor([[24.0, 28, 40, 36]])
    zoomed = moved_boxes(content, Placement.of(boxes, 64, flip=flip).theta, 64)
    torch.testing.assert_close(zoomed, torch.tensor([[16.0, 24, 48, 40]]))
    turned = moved_boxes(content, Placement.of(boxes, 64, flip=flip, angle=torch.tensor([math.pi / 6])).theta, 64)
    across, down = (16 * math.cos(math.pi / 6) + 8 * math.sin(math.pi / 6),
                    16 * math.sin(math.pi / 6) + 8 * math.cos(math.pi / 6))
    torch.testing.assert_close(turned, torch.tensor([[32 - across, 32 - down, 32 + across, 32 + down]]))


def test_labels_carry_the_weight_of_each_kind(corpus: Corpus, tiny_model: SketchFusion) -> None:
    side = encode_side(tiny_model, corpus, "sketches", VIEWS, num_views=1, seed=0)
    labels = side.labels({"icon": 0.25, "sketch": 2.0, "photo": 9.0}, "sketches")
    assert labels.weights.tolist() == [2.0] * 6 + [0.25] * 3
    assert labels.classes.tolist() == side.class_ids.tolist()
    assert labels.instances.tolist() == side.instance_ids.tolist()


def test_at_most_so_many_of_each_kind_evenly_spread(corpus: Corpus, tiny_model: SketchFusion) -> None:
    calls: list[tuple[int, int]] = []
    side = encode_side(tiny_model, corpus, "sketches", VIEWS, num_views=2, seed=0, most=2,
                       on_progress=lambda done, total: calls.append((done, total)))
    assert side.kinds.tolist() == [1, 1, 2, 2]
    assert side.rows.tolist() == [0, 5, 0, 2]
    assert side.class_ids.tolist() == [int(corpus.sets["sketch"].class_ids[row]) for row in (0, 5)] + [
        int(corpus.sets["icon"].class_ids[row]) for row in (0, 2)]
    assert calls == [(2, 8), (4, 8), (6, 8), (8, 8)]


def test_a_variant_without_injection_uses_what_the_whole_model_encoded(corpus: Corpus, make_tiny: Make,
                                                                       tiny_model: SketchFusion) -> None:
    variant = make_tiny("injection.blocks=[]")
    sides = [encode_side(model, corpus, "photos", VIEWS, num_views=1, seed=0) for model in (variant, tiny_model)]
    assert torch.equal(sides[0].patch_features, sides[1].patch_features)
    assert torch.equal(sides[0].latents, sides[1].latents)
    rows = torch.tensor([1, 3])
    encoded, content = sides[1].take(rows, torch.zeros_like(rows), variant)
    with torch.no_grad():
        found = variant.fuse(encoded, content).descriptor
        plain = variant.fuse(replace(encoded, patch_features=None), content).descriptor
    assert torch.equal(found, plain)


def test_where_the_encoder_learns_too_the_pictures_are_kept_instead_of_its_features(
    corpus: Corpus, make_tiny: Make, tiny_model: SketchFusion,
) -> None:
    """Every view of them; the features made of them are those of the frozen encoder, before it has learned anything."""
    model = make_tiny("finetune=true")
    moved = {kind: PLAIN.model_copy(update={"shift": 0.1, "flip": 0.5}) for kind in VIEWS}
    runs: list[str] = []
    model.encoder.get_submodule("model").register_forward_hook(lambda *_: runs.append("encoder"))
    own, frozen = (encode_side(each, corpus, "sketches", moved, num_views=2, seed=0) for each in (model, tiny_model))
    assert not runs
    assert (own.patch_features.shape, own.images.shape) == ((2, 9, 0), (18, 3, 64, 64))
    assert torch.equal(own.latents, frozen.latents)
    rows, views = torch.tensor([8, 0, 4, 4]), torch.tensor([1, 0, 0, 1])
    with torch.no_grad():
        (found, content), (expected, boxes) = (side.take(rows, views, each)
                                               for side, each in ((own, model), (frozen, tiny_model)))
    assert runs == ["encoder"]
    assert found.patch_features is not None
    assert expected.patch_features is not None
    alike = torch.cosine_similarity(found.patch_features.flatten(1), expected.patch_features.flatten(1))
    assert alike.min() > 0.9999  # the pictures have 8 bits a colour
    other = torch.cosine_similarity(found.patch_features[2].flatten(), found.patch_features[3].flatten(), dim=0)
    assert other < 0.99
    assert torch.equal(content, boxes)
    assert encoding_identity(model) != encoding_identity(tiny_model)


def test_features_of_an_encoder_that_learns_too_lead_gradients_to_it(corpus: Corpus, make_tiny: Make) -> None:
    model = make_tiny("finetune=true", "aggregation.taps=[up1, up2, up3, patches]")
    side = encode_side(model, corpus, "photos", VIEWS, num_views=1, seed=0)
    rows = torch.tensor([0, 5])
    encoded, content = side.take(rows, torch.zeros_like(rows), model)
    model.fuse(encoded, content).feature_map.square().mean().backward()
    for part, learns in ((model.encoder, True), (model.diffusion.unet, True), (model.diffusion.vae, False)):
        assert any(value.grad is not None and value.grad.any() for value in part.parameters()) == learns
    unused = make_tiny("finetune=true", "injection.blocks=[]")
    assert side.take(rows, torch.zeros_like(rows), unused)[0].patch_features is None


def test_a_side_without_pictures_is_refused(corpus: Corpus, tiny_model: SketchFusion) -> None:
    only = Corpus({"photo": corpus.sets["photo"]}, corpus.classes, corpus.masks)
    with pytest.raises(ConfigError, match=r"hold no sketches \(drawing, sketch, icon\); name some in data\.mix"):
        encode_side(tiny_model, only, "sketches", VIEWS, num_views=1, seed=0)


@pytest.mark.parametrize(("override", "same_identity"), [
    ("aggregation.dropout=0.1", True), ("diffusion.timesteps=[50]", True),
    ("canvas.photo_padding=[0,0,0]", False), ("encoder.layer=-1", False),
    ("diffusion.vae_sampling=sample", False), ("injection.blocks=[]", True),
    ("aggregation.taps=[patches]", False)])
def test_the_identity_tells_what_shapes_what_is_kept(override: str, same_identity: bool, make_tiny: Make,
                                                     tiny_model: SketchFusion) -> None:
    changed = make_tiny(override)
    assert (encoding_identity(changed) == encoding_identity(tiny_model)) == same_identity
    changed.learn_anew(5)
    assert (encoding_identity(changed) == encoding_identity(tiny_model)) == same_identity
