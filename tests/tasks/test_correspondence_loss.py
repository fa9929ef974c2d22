"""The losses of correspondence against slow loops: of the contrast, of the places found, and their gradients."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from sketchfusion.tasks.correlation import correlate, features_at, soft_argmax, to_cells
from sketchfusion.tasks.correspondence import (
    CorrespondenceLossConfig,
    correspondence_loss,
    correspondence_total,
    endpoint_error,
    keypoint_contrast,
)

SIDE, TEMPERATURE = 48, 0.05
SKETCH_GRID, PHOTO_GRID = (4, 6), (6, 8)
VISIBLE = torch.tensor([[True, True, False, True], [False, True, True, False]])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def unit(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(normal(*shape, seed=seed), dim=-1)


def example(seed: int = 0) -> dict[str, Any]:
    """Two pairs of random maps with four key points each."""
    random = torch.Generator().manual_seed(seed)
    return {"sketch_maps": normal(2, 8, *SKETCH_GRID, seed=seed),
            "photo_maps": normal(2, 8, *PHOTO_GRID, seed=seed + 1),
            "sketch_px": torch.rand(2, 4, 2, generator=random) * SIDE,
            "photo_px": torch.rand(2, 4, 2, generator=random) * SIDE, "visible": VISIBLE}


def loss_of(pairs: dict[str, Any], options: dict[str, Any] | None = None, **config: object) -> dict[str, Tensor]:
    return correspondence_loss(**pairs, canvas_size=SIDE, temperature=TEMPERATURE, scale=torch.tensor(5.0),
                               config=CorrespondenceLossConfig.model_validate(config), **(options or {}))


def slow_contrast(rows: Tensor, columns: Tensor, visible: Tensor, scale: float) -> float:
    """One direction, a point at a time."""
    losses = []
    for b in range(len(rows)):
        shown = [n for n in range(rows.shape[1]) if visible[b, n]]
        for n in shown:
            weights = {m: math.exp(scale * float(rows[b, n] @ columns[b, m])) for m in shown}
            losses.append(-math.log(weights[n] / sum(weights.values())))
    return sum(losses) / len(losses) if losses else 0.0


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1000), mask=st.lists(st.booleans(), min_size=8, max_size=8), scale=st.floats(0.5, 20))
def test_the_contrast_is_the_mean_of_both_directions(seed: int, mask: list[bool], scale: float) -> None:
    sketches, photos, visible = unit(2, 4, 5, seed=seed), unit(2, 4, 5, seed=seed + 1), torch.tensor(mask).view(2, 4)
    found = keypoint_contrast(sketches, photos, visible, torch.tensor(scale))
    slow = (slow_contrast(sketches, photos, visible, scale) + slow_contrast(photos, sketches, visible, scale)) / 2
    assert float(found) == pytest.approx(slow, rel=1e-4, abs=1e-5)


def test_other_pairs_of_the_batch_are_no_negatives() -> None:
    """The key points of the second pair look like those of the first; each pair alone is told apart perfectly."""
    rows = torch.eye(3).expand(2, 3, 3)
    loss = keypoint_contrast(rows, rows, torch.ones(2, 3, dtype=torch.bool), torch.tensor(100.0))
    assert float(loss) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("mask", [[[False] * 3] * 2, [[True, False, False], [False, False, True]]])
def test_without_a_second_point_the_contrast_is_zero(mask: list[list[bool]]) -> None:
    sketches, photos = unit(2, 3, 5).requires_grad_(), unit(2, 3, 5, seed=1).requires_grad_()
    loss = keypoint_contrast(sketches, photos, torch.tensor(mask), torch.tensor(100.0))
    loss.backward()
    assert loss.item() == 0
    for rows in (sketches, photos):
        assert rows.grad is not None
        assert torch.equal(rows.grad, torch.zeros_like(rows))


@pytest.mark.parametrize("norm", ["squared", "plain"])
def test_the_endpoint_error_equals_a_slow_loop(norm: str) -> None:
    predicted, target = normal(2, 4, 2) * 3, normal(2, 4, 2, seed=1) * 3
    errors = [float((predicted[b, n, 0] - target[b, n, 0]) ** 2 + (predicted[b, n, 1] - target[b, n, 1]) ** 2)
              for b in range(2) for n in range(4) if VISIBLE[b, n]]
    slow = sum(error if norm == "squared" else math.sqrt(error) for error in errors) / 5
    assert float(endpoint_error(predicted, target, VISIBLE, norm)) == pytest.approx(slow, rel=1e-5)  # type: ignore[arg-type]


def test_a_place_three_cells_right_and_four_down_is_25_squared_and_5_plain() -> None:
    visible = torch.ones(1, 1, dtype=torch.bool)
    here, there = torch.zeros(1, 1, 2), torch.tensor([[[3.0, 4.0]]])
    assert float(endpoint_error(here, there, visible, "squared")) == 25
    assert float(endpoint_error(here, there, visible, "plain")) == 5


@pytest.mark.parametrize("norm", ["squared", "plain"])
def test_a_perfect_place_has_a_gradient_of_zero(norm: str) -> None:
    place = torch.ones(1, 2, 2, requires_grad=True)
    endpoint_error(place, torch.ones(1, 2, 2), torch.ones(1, 2, dtype=torch.bool), norm).backward()  # type: ignore[arg-type]
    assert place.grad is not None
    assert torch.equal(place.grad, torch.zeros(1, 2, 2))


@pytest.mark.parametrize("norm", ["squared", "plain"])
@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_is_made_of_both_directions(norm: str, masked: bool) -> None:
    pairs = example()
    sketch_allowed, photo_allowed = torch.ones(2, *SKETCH_GRID) > 0, torch.ones(2, *PHOTO_GRID) > 0
    if masked:
        sketch_allowed[:, 0], photo_allowed[:, :, 6:] = False, False
    found = loss_of(pairs, {"sketch_allowed": sketch_allowed, "photo_allowed": photo_allowed} if masked else {},
                    norm=norm)
    rows = {kind: features_at(pairs[f"{kind}_maps"], pairs[f"{kind}_px"], SIDE) for kind in ("sketch", "photo")}
    forth = soft_argmax(correlate(rows["sketch"], pairs["photo_maps"]), TEMPERATURE, photo_allowed)
    back = soft_argmax(correlate(rows["photo"], pairs["sketch_maps"]), TEMPERATURE, sketch_allowed)
    errors = [endpoint_error(predicted, to_cells(pairs[f"{kind}_px"], SIDE, grid), VISIBLE, norm)  # type: ignore[arg-type]
              for predicted, kind, grid in ((forth, "photo", PHOTO_GRID), (back, "sketch", SKETCH_GRID))]
    assert found.keys() == {"contrast", "endpoint"}
    assert torch.allclose(found["endpoint"], sum(errors) / 2)  # type: ignore[arg-type]
    assert torch.allclose(found["contrast"],
                          keypoint_contrast(rows["sketch"], rows["photo"], VISIBLE, torch.tensor(5.0)))


def test_a_shifted_copy_has_next_to_no_loss() -> None:
    """The photo is the sketch moved two cells to the right; moved key points are right, others are not."""
    sketch = normal(1, 64, 8, 12)
    photo = torch.cat([normal(1, 64, 8, 2, seed=1), sketch[..., :-2]], dim=3)
    points = torch.tensor([[[10.0, 3.0], [22.0, 27.0], [30.0, 45.0]]])  # centres of cells: 4 x 6 pixels each
    options: dict[str, Any] = {"canvas_size": SIDE, "temperature": 0.01, "scale": torch.tensor(100.0),
                               "config": CorrespondenceLossConfig(norm="plain")}
    visible = torch.ones(1, 3, dtype=torch.bool)
    right = correspondence_loss(sketch, photo, points, points + torch.tensor([8.0, 0.0]), visible, **options)
    assert float(right["contrast"]) == pytest.approx(0, abs=1e-4)
    assert float(right["endpoint"]) == pytest.approx(0, abs=1e-3)
    wrong = correspondence_loss(sketch, photo, points, points, visible, **options)
    assert float(wrong["endpoint"]) == pytest.approx(2, abs=1e-3)


@pytest.mark.parametrize("value", [0.0, 1e6, math.nan])
def test_invisible_points_have_no_influence(value: float) -> None:
    """Whatever stands in their place, also what is no number: the same terms and the same gradients."""
    results = []
    for pairs in (example(), example()):
        if results:
            for name in ("sketch_px", "photo_px"):
                pairs[name] = torch.where(VISIBLE[..., None], pairs[name], value)
        maps = [pairs[name].requires_grad_() for name in ("sketch_maps", "photo_maps")]
        terms = loss_of(pairs)
        gradients = torch.autograd.grad(correspondence_total(terms, CorrespondenceLossConfig()), maps)
        results.append([*terms.values(), *gradients])
    for plain, changed in zip(*results, strict=True):
        assert torch.allclose(plain, changed, atol=1e-6)


def test_a_batch_without_visible_points_has_no_loss_and_a_gradient_of_zero() -> None:
    pairs = {**example(), "visible": torch.zeros_like(VISIBLE)}
    maps = [pairs[name].requires_grad_() for name in ("sketch_maps", "photo_maps")]
    terms = loss_of(pairs)
    total = correspondence_total(terms, CorrespondenceLossConfig())
    assert total.item() == 0
    for gradient in torch.autograd.grad(total, maps):
        assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("config", [{"endpoint_weight": 0.0}, {"contrast_weight": 0.0}, {"norm": "plain"}, {}])
def test_gradients_reach_both_maps_and_lower_the_loss(config: dict[str, object]) -> None:
    settings = CorrespondenceLossConfig.model_validate(config)
    pairs = example()
    maps = {name: pairs[name].requires_grad_() for name in ("sketch_maps", "photo_maps")}
    before = correspondence_total(loss_of(pairs, **config), settings)
    gradients = torch.autograd.grad(before, list(maps.values()))
    moved = {name: (value - 1e-3 * gradient).detach()
             for (name, value), gradient in zip(maps.items(), gradients, strict=True)}
    assert all(gradient.abs().flatten(1).sum(1).min() > 0 for gradient in gradients)
    assert correspondence_total(loss_of({**pairs, **moved}, **config), settings) < before


def test_the_scale_learns() -> None:
    scale = torch.tensor(5.0, requires_grad=True)
    terms = correspondence_loss(**example(), canvas_size=SIDE, temperature=TEMPERATURE, scale=scale,
                                config=CorrespondenceLossConfig())
    terms["contrast"].backward()
    assert scale.grad is not None
    assert scale.grad != 0


def test_the_total_is_weighted() -> None:
    terms = {"contrast": torch.tensor(3.0), "endpoint": torch.tensor(5.0)}
    config = CorrespondenceLossConfig(contrast_weight=2.0, endpoint_weight=0.5)
    assert float(correspondence_total(terms, config)) == 8.5
    assert float(correspondence_total(terms, CorrespondenceLossConfig())) == 8


def test_noise_moves_the_target_by_cells() -> None:
    """On a perfect pair the squared error is that of the noise alone: a variance in x and one in y."""
    maps = normal(1, 64, 8, 8)
    centres = (torch.cartesian_prod(torch.arange(8.0), torch.arange(8.0)) + 0.5)[None].repeat(1, 20, 1) * SIDE / 8
    visible = torch.ones(1, centres.shape[1], dtype=torch.bool)

    def error(std: float, seed: int) -> float:
        return float(correspondence_loss(
            maps, maps, centres, centres, visible, canvas_size=SIDE, temperature=0.01, scale=torch.tensor(1.0),
            config=CorrespondenceLossConfig(target_noise=std), generator=torch.Generator().manual_seed(seed),
        )["endpoint"])

    assert error(0.0, 0) == pytest.approx(0, abs=1e-3)
    assert error(3.0, 0) == pytest.approx(2 * 3**2, rel=0.05)
    assert error(3.0, 0) == error(3.0, 0) != error(3.0, 1)


def test_half_precision_around_the_loss_does_not_reach_it() -> None:
    pairs = example()
    plain = loss_of(pairs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss_of(pairs)
    for name, value in plain.items():
        assert inside[name].dtype == torch.float32
        assert torch.equal(inside[name], value)
    rounded = {name: value.bfloat16() if name.endswith("maps") else value for name, value in pairs.items()}
    exact = {name: value.float() if name.endswith("maps") else value for name, value in rounded.items()}
    for name, value in loss_of(rounded).items():
        assert torch.allclose(value, loss_of(exact)[name], rtol=1e-5)


def test_nothing_as_large_as_the_whole_correlation_is_kept() -> None:
    """The backward pass of a pair with 4,096 cells each holds nothing larger than a map."""
    maps = [normal(1, 8, 64, 64, seed=seed).requires_grad_() for seed in range(2)]
    points = torch.rand(1, 3, 2, generator=torch.Generator().manual_seed(0)) * SIDE
    sizes: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        sizes.append(tensor.untyped_storage().nbytes() // tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        terms = correspondence_loss(*maps, points, points, torch.ones(1, 3, dtype=torch.bool), canvas_size=SIDE,
                                    temperature=TEMPERATURE, scale=torch.tensor(5.0),
                                    config=CorrespondenceLossConfig())
    assert max(sizes) == maps[0].numel() < 64**4 / 100
    assert all(value.requires_grad for value in terms.values())


@pytest.mark.parametrize("wrong", [{"norm": "l1"}, {"contrast_weight": -1}, {"endpoint_weight": -0.5},
                                   {"target_noise": -3}, {"window": 7}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        CorrespondenceLossConfig.model_validate(wrong)
