"""Noise depends on key, seed and sample alone."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from sketchfusion.backbones.noise import content_keys, gaussian, noise_samples

SHAPE = (4, 8, 8)


def test_same_key_and_seed_give_the_same_noise() -> None:
    assert torch.equal(gaussian("a", 0, SHAPE), gaussian("a", 0, SHAPE))


@pytest.mark.parametrize(("key", "seed"), [("b", 0), ("a", 1), ("a:0", 0)])
def test_another_key_or_seed_gives_other_noise(key: str, seed: int) -> None:
    assert not torch.equal(gaussian("a", 0, SHAPE), gaussian(key, seed, SHAPE))


def test_noise_is_standard_normal() -> None:
    noise = gaussian("a", 0, (200_000,))
    assert abs(float(noise.mean())) < 0.01
    assert abs(float(noise.std()) - 1) < 0.01


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = gaussian("a", 0, SHAPE)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(gaussian("a", 0, SHAPE), first)


def test_a_sample_does_not_depend_on_how_many_are_drawn() -> None:
    few, many = noise_samples(["a", "b"], 0, 2, SHAPE), noise_samples(["a", "b"], 0, 5, SHAPE)
    assert torch.equal(few.view(2, 2, *SHAPE), many.view(2, 5, *SHAPE)[:, :2])
    assert len({tuple(sample.flatten()[:8].tolist()) for sample in many}) == 10


def test_another_process_draws_the_same() -> None:
    code = "from sketchfusion.backbones.noise import gaussian; print(gaussian('a', 3, (5,)).tolist())"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == str(gaussian("a", 3, (5,)).tolist())


def test_content_keys_follow_the_pixels_at_eight_bits() -> None:
    images = torch.rand(3, 3, 8, 8)
    keys = content_keys(images)
    assert len(set(keys)) == 3
    assert content_keys(images[[2, 0]]) == [keys[2], keys[0]]
    eighth_bit = (images * 255).round() / 255
    assert content_keys(eighth_bit) == keys
    assert content_keys(eighth_bit + 1e-4) == keys
    changed = images.clone()
    changed[0, 0, 0, 0] = 1 - changed[0, 0, 0, 0].round()
    assert content_keys(changed)[0] != keys[0]
