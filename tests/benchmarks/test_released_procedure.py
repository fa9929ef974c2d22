"""The yardstick of benchmarks/: under the released settings our extractor gives what the plain procedure gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
MODULES = ("measuring", "released_procedure", "extraction_parts", "extraction")  # in the order of their imports
KEY, SAMPLES = "a picture", 5


@pytest.fixture(scope="module")
def modules(load_modules: Any) -> Any:
    """Name -> module of benchmarks/."""
    return load_modules(*MODULES)


def both(modules: dict[str, Any], *overrides: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Our feature map and the released procedure's, of one random image and from the same noise."""
    parts = modules["extraction_parts"]
    bench = parts.build("tiny-sd", overrides=(f"diffusion.num_noise_samples={SAMPLES}", *overrides))
    image = torch.rand(bench.image_shape, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        ours = bench.model(image, keys=[KEY]).feature_map
    return ours, bench.procedure()(image, *bench.noise(KEY, SAMPLES))


@pytest.mark.parametrize("overrides", [
    (),
    ("canvas.size=72",),                       # sides 18, 9, 5, 3: the up blocks must be told their sizes
    ("diffusion.max_batch=2",),                # the samples pass in chunks
    ("diffusion.timesteps=[999]",),
])
def test_same_features_from_the_same_noise(modules: dict[str, Any], overrides: tuple[str, ...]) -> None:
    ours, released = both(modules, *overrides)
    assert ours.shape == released.shape
    assert modules["measuring"].relative_error(ours, released) < 1e-4


def test_penultimate_layer_agrees_too(modules: dict[str, Any]) -> None:
    parts, layer = modules["extraction_parts"], -2
    bench = parts.build("tiny-sd", overrides=("diffusion.num_noise_samples=2", f"encoder.layer={layer}"))
    whole = parts.build("tiny-sd", overrides=("diffusion.num_noise_samples=2",))
    image = torch.rand(bench.image_shape)
    procedure = whole.procedure()              # its encoder still has the last block
    procedure.layer = layer
    with torch.no_grad():
        ours = bench.model(image, keys=[KEY]).feature_map
    released = procedure(image, *bench.noise(KEY, 2))
    assert modules["measuring"].relative_error(ours, released) < 1e-4


@pytest.mark.parametrize("override", [
    "injection.skips=false",                   # the addition in place reaches the skip tensors
    "diffusion.value_range=[-1, 1]",
    "diffusion.vae_sampling=mean",
    "diffusion.seed=1",
    "diffusion.timesteps=[261]",
    "diffusion.noise=shared",
])
def test_a_departure_from_its_settings_shows(modules: dict[str, Any], override: str) -> None:
    parts = modules["extraction_parts"]
    common = f"diffusion.num_noise_samples={SAMPLES}"
    bench, other = parts.build("tiny-sd", overrides=(common,)), parts.build("tiny-sd", overrides=(common, override))
    image = torch.rand(bench.image_shape, generator=torch.Generator().manual_seed(7))
    other.model.load_state_dict(bench.model.state_dict())
    with torch.no_grad():
        ours = other.model(image, keys=[KEY]).feature_map
    released = bench.procedure()(image, *bench.noise(KEY, SAMPLES))
    assert modules["measuring"].relative_error(ours, released) > 1e-3


def test_nothing_is_computed_after_the_last_tap(modules: dict[str, Any]) -> None:
    extraction = modules["extraction"]
    spent, needed, whole = extraction.last_tap_flops(extraction.parse(["--architecture", "tiny-sd"]))
    assert spent == needed < whole
    assert extraction.main(["--architecture", "tiny-sd", "--check-last-tap"]) == 0


def test_operations_are_those_of_a_hand_count(modules: dict[str, Any]) -> None:
    layer = torch.nn.Conv2d(3, 5, kernel_size=3, padding=1)
    counts = modules["measuring"].count_flops({"layer": lambda state: layer(state["image"])}, torch.rand(1, 3, 8, 8))
    assert counts == {"layer": 2 * 3 * 5 * 9 * 64}


def test_only_the_released_procedure_repeats_vae_and_text_encoder(modules: dict[str, Any]) -> None:
    extraction = modules["extraction"]
    counts = extraction.flops_by_part(extraction.parse(["--architecture", "tiny-sd", "--samples", "4"]))
    assert counts["released"]["VAE encoder"] == pytest.approx(4 * counts["ours"]["VAE encoder"])
    assert counts["released"]["UNet"] == pytest.approx(counts["ours"]["UNet"])
    assert counts["released"]["UNet"] == pytest.approx(4 * counts["ours_1"]["UNet"])
    assert counts["released"]["text encoder"] > 0 == counts["ours"]["text encoder"]


def test_the_text_encoder_is_not_kept(modules: dict[str, Any]) -> None:
    bench = modules["extraction_parts"].build("tiny-sd")
    assert bench.text_encoder_bytes() == 0
    assert not [name for name, _ in bench.model.named_modules() if "text" in name]


def test_the_command_writes_its_figures(modules: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    status = modules["extraction"].main(
        ["--architecture", "tiny-sd", "--samples", "2", "--repeats", "1", "--matrix-side", "64", "--out", str(out)])
    figures = json.loads(out.read_text("utf-8"))
    assert status == 0
    assert figures["relative_error"] < 1e-4
    assert figures["text_encoder_bytes_kept"] == 0
    for run in ("released", "ours", "ours_1"):
        assert figures["runs"][run]["seconds_per_image"] > 0
        assert figures["peak_memory_bytes"][run]["process"] > 0
    assert figures["runs"]["released"]["gflop"] > figures["runs"]["ours"]["gflop"] > figures["runs"]["ours_1"]["gflop"]


def test_features_that_differ_end_in_status_1(modules: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    extraction = modules["extraction"]
    monkeypatch.setattr(extraction, "relative_error", lambda found, expected: 0.1)
    assert extraction.main(["--architecture", "tiny-sd", "--samples", "2", "--repeats", "1",
                            "--matrix-side", "64"]) == 1
