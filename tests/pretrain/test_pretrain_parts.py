"""The pieces of pre-training, each against a slow loop or a plain statement of what it promises."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sketchfusion.data.packed import augment
from sketchfusion.data.packed.augment import PLAIN, ViewConfig
from sketchfusion.data.packed.corpus import load_corpus
from sketchfusion.data.packed.sampling import EpochSampler, Feeder, generator_for, shares
from sketchfusion.engine.averaging import Average
from sketchfusion.engine.config import TrainingConfig, load_recipe
from sketchfusion.engine.loop import learning_rate
from sketchfusion.errors import ConfigError
from sketchfusion.pretrain.config import VaeRecipe
from sketchfusion.pretrain.diffusion import snr_weights
from sketchfusion.pretrain.tokenizer import make_tokenizer
from sketchfusion.pretrain.vae import reconstruction_terms
from sketchfusion.tasks.contrast import cross_domain_loss, multi_positive_loss

RECIPES = Path(__file__).resolve().parents[2] / "configs" / "pretrain"


def unit(count: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, 6, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_multi_positive_loss_equals_a_slow_loop() -> None:
    rows, columns = unit(5, 1), unit(7, 2)
    row_ids, column_ids = torch.tensor([0, 1, 1, 2, 0]), torch.tensor([0, 1, 2, 0, 1, 3, 0])
    total = 0.0
    for row, row_id in zip(rows, row_ids, strict=True):
        scores = [3.0 * float(row @ column) for column in columns]
        everything = math.log(sum(math.exp(score) for score in scores))
        right = [score - everything for score, other in zip(scores, column_ids, strict=True) if other == row_id]
        total -= sum(right) / len(right) / len(rows)
    found = multi_positive_loss(rows, columns, row_ids, column_ids, torch.tensor(3.0))
    assert float(found) == pytest.approx(total, rel=1e-5)


def test_without_repeats_it_is_the_loss_of_clip() -> None:
    rows, columns, ids = unit(4, 1), unit(4, 2), torch.arange(4)
    found = multi_positive_loss(rows, columns, ids, ids, torch.tensor(5.0))
    assert float(found) == pytest.approx(float(F.cross_entropy(5 * rows @ columns.T, ids)), rel=1e-5)


def test_cross_domain_loss_equals_a_slow_loop() -> None:
    vectors, ids, domains = unit(6, 3), torch.tensor([0, 1, 0, 1, 2, 0]), torch.tensor([0, 0, 1, 1, 1, 1])
    rows = []
    for row in range(6):
        others = [column for column in range(6) if domains[column] != domains[row]]
        everything = math.log(sum(math.exp(float(vectors[row] @ vectors[column]) / 0.5) for column in others))
        right = [float(vectors[row] @ vectors[column]) / 0.5 - everything for column in others
                 if ids[column] == ids[row]]
        if right:
            rows.append(-sum(right) / len(right))
    assert len(rows) == 5
    assert float(cross_domain_loss(vectors, ids, domains, 0.5)) == pytest.approx(sum(rows) / len(rows), rel=1e-5)
    assert float(cross_domain_loss(vectors, torch.arange(6), domains, 0.5)) == 0


def test_average_equals_a_slow_loop() -> None:
    module = nn.Linear(2, 2)
    average = Average(module, 0.9)
    expected = module.weight.detach().clone()
    for step in range(20):
        with torch.no_grad():
            module.weight.add_(0.1 * step)
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * module.weight.detach()
    assert torch.allclose(average.values["weight"], expected, atol=1e-6)
    live = module.weight.detach().clone()
    with average.applied():
        assert torch.equal(module.weight, average.values["weight"])
    assert torch.equal(module.weight, live)


def test_an_epoch_neither_repeats_nor_misses() -> None:
    sampler = EpochSampler(torch.zeros(23), key=(0, "photo"))
    stream = torch.cat([sampler.take(start, 5) for start in range(0, 230, 5)]).tolist()
    epochs = [stream[start:start + 23] for start in range(0, 230, 23)]
    assert all(sorted(epoch) == list(range(23)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    again = EpochSampler(torch.zeros(23), key=(0, "photo"))
    assert again.take(107, 40).tolist() == stream[107:147]  # from the middle, with nothing carried over
    assert EpochSampler(torch.zeros(23), key=(1, "photo")).take(0, 23).tolist() != epochs[0]


def test_balance_repeats_rare_classes_and_misses_none() -> None:
    ids = torch.tensor([0] * 60 + [1] * 7 + [2] * 3)
    sampler = EpochSampler(ids, key=(0,), balance=0.5)
    for epoch in range(3):
        items = sampler.take(epoch * sampler.length, sampler.length)
        assert set(items.tolist()) == set(range(70))
        assert max(Counter(items[items < 60].tolist()).values()) <= 2
        assert int((ids[items] == 2).sum()) == pytest.approx(3 * math.sqrt(60 / 3), abs=2)
    even = EpochSampler(ids, key=(0,), balance=1.0).take(0, 180)
    assert Counter(ids[even].tolist()) == {0: 60, 1: 60, 2: 60}


def test_shares_add_up() -> None:
    assert shares({"photo": 0.4, "drawing": 0.38, "emoji": 0.12, "icon": 0.1}, 64) == {
        "photo": 26, "drawing": 24, "emoji": 8, "icon": 6}
    with pytest.raises(ConfigError, match="no room for icon"):
        shares({"photo": 1.0, "icon": 0.01}, 8)


def test_batches_depend_on_seed_and_number_alone(shards: Path) -> None:
    corpus = load_corpus(shards, 16, ["photo", "drawing", "emoji", "icon"])
    mix = {"photo": 1.0, "drawing": 1.0, "emoji": 1.0, "icon": 1.0}
    view = ViewConfig(rotate=10, brightness=0.2, wobble=0.05, drop=0.3)

    def batch(seed: int, number: int, rank: int = 0) -> torch.Tensor:
        feeder = Feeder(corpus, mix, 16, seed=seed, views=dict.fromkeys(mix, view), rank=rank, world=2)
        found = feeder.batch(number)
        assert found.images_01.shape == (16, 3, 16, 16)
        assert 0 <= found.images_01.min() <= found.images_01.max() <= 1
        return found.images_01

    assert torch.equal(batch(0, 3), batch(0, 3))
    assert not torch.equal(batch(0, 3), batch(0, 4))
    assert not torch.equal(batch(0, 3), batch(1, 3))
    assert not torch.equal(batch(0, 3), batch(0, 3, rank=1))


def test_the_plain_view_changes_nothing(shards: Path) -> None:
    photos = load_corpus(shards, 16, ["photo"]).sets["photo"]
    shown = photos.render(torch.arange(4), PLAIN, generator_for("cpu", 0))
    assert torch.allclose(shown, photos.pixels[:4].float() / 255, atol=1e-5)


def test_flip_mirrors_and_boxes_stay_inside() -> None:
    image = torch.rand(1, 3, 8, 8)
    box = torch.tensor([[4.0, 4.0, 8.0]])
    placed = augment.Placement.of(box, 8, flip=torch.tensor([True]))
    assert torch.allclose(placed.show(image, torch.zeros(1, 3, 1, 1)), image.flip(3), atol=1e-5)
    assert torch.allclose(placed.move(torch.tensor([[[1.5, 2.5]]]), 8), torch.tensor([[[6.5, 2.5]]]), atol=1e-5)
    content = torch.tensor([[0.0, 2.0, 8.0, 6.0]]).expand(100, -1)
    boxes = augment.photo_boxes(content, 8, ViewConfig(whole=0.0), generator_for("cpu", 1))
    assert (boxes[:, 0] - boxes[:, 2] / 2).min() >= 0
    assert (boxes[:, 1] - boxes[:, 2] / 2).min() >= 2 - 1e-5
    assert (boxes[:, 1] + boxes[:, 2] / 2).max() <= 6 + 1e-5


def test_drawing_equals_a_slow_loop() -> None:
    points = torch.tensor([[[2.3, 4.1], [6.0, 6.0], [-5.0, 3.0]]])
    expected = torch.ones(8, 8)
    for x, y in points[0].tolist():
        for row in range(8):
            for column in range(8):
                ink = 1.5 / 2 + 0.5 - math.hypot(column + 0.5 - x, row + 0.5 - y)
                expected[row, column] = min(float(expected[row, column]), 1 - min(max(ink, 0.0), 1.0))
    assert torch.allclose(augment.draw(points, torch.tensor([1.5]), 8)[0, 0], expected, atol=1e-5)


def test_reconstruction_terms_see_edges() -> None:
    image = torch.rand(2, 3, 16, 16)
    assert all(float(value) == 0 for value in reconstruction_terms(image, image).values())
    offset = reconstruction_terms(image + 0.1, image)
    assert float(offset["l1"]) == pytest.approx(0.1, abs=1e-5)
    assert float(offset["pyramid"]) == pytest.approx(0.1, abs=1e-5)
    speckle = 0.1 * (-1.0) ** (torch.arange(16)[:, None] + torch.arange(16))
    assert reconstruction_terms(image + speckle, image)["edges"] > 3 * offset["edges"]


def test_snr_weights_are_those_of_the_paper() -> None:
    alphas = torch.tensor([0.99, 0.5, 0.1])
    expected = [min(ratio, 5.0) / ratio for ratio in (0.99 / 0.01, 1.0, 1 / 9)]
    assert snr_weights(alphas, 5.0).tolist() == pytest.approx(expected, rel=1e-4)
    assert snr_weights(alphas, 0.0).tolist() == [1, 1, 1]


def test_the_learning_rate_warms_up_and_decays_to_its_floor() -> None:
    config = TrainingConfig(lr=1.0, warmup=10, final_lr=0.1, steps=100)
    assert learning_rate(config, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate(config, 50, 0.5) == pytest.approx(0.55)
    assert learning_rate(config, 100, 1.3) == pytest.approx(0.1)


def test_tokenizer_is_repeatable_and_knows_its_words() -> None:
    texts = ["a photo of a dog", "a sketch of a t-shirt", "a sketch of a doghouse"]
    first, second = (make_tokenizer(texts, size=600, length=12) for _ in range(2))
    assert first.get_vocab() == second.get_vocab()
    tokens = first.convert_ids_to_tokens(first("a sketch of a dog").input_ids)
    assert tokens == ["<|startoftext|>", "a</w>", "sketch</w>", "of</w>", "a</w>", "dog</w>", "<|endoftext|>"]
    assert len(first("dög 東京").input_ids) > 4
    assert len(make_tokenizer(texts, size=516, length=12)) == 516


@pytest.mark.parametrize("name", ["vae", "vae_64", "clip", "clip_64", "diffusion", "diffusion_64"])
def test_the_recipes_in_the_repository_are_valid(name: str) -> None:
    from sketchfusion.pretrain import config

    kind = {"vae": config.VaeRecipe, "clip": config.ClipRecipe, "diffusion": config.DiffusionRecipe}[name.split("_")[0]]
    recipe = load_recipe(kind, RECIPES / f"{name}.yaml")
    assert recipe.size == (64 if name.endswith("_64") else 128)


def test_a_recipe_that_extends_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml")
    (tmp_path / "b.yaml").write_text("extends: a.yaml")
    with pytest.raises(ConfigError, match="extends itself"):
        load_recipe(VaeRecipe, tmp_path / "a.yaml")
