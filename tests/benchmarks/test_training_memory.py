"""Memory of a training step from shapes alone: it is that of real tensors, and of the learner that trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sketchfusion.config import load_preset
from sketchfusion.data.packed.samples import MAX_KEYPOINTS
from sketchfusion.engine.config import load_recipe
from sketchfusion.engine.encoded import EncodedSide
from sketchfusion.engine.fusion_recipe import FusionRecipe
from sketchfusion.engine.train_fusion import FusionLearner
from sketchfusion.fusion.cost import count_cost

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "train"
SETTINGS = ("model=tiny", "training.precision=float32", "settings=[diffusion.max_batch=32]", "views=1")
PAIRS, CLASSES = 8, 5


@pytest.fixture(scope="module")
def memory(load_modules: Any) -> Any:
    """The module."""
    return load_modules("measuring", "training_bench", "training_memory")["training_memory"]


@pytest.fixture(scope="module")
def cache(load_modules: Any) -> Any:
    """The module that times."""
    return load_modules("measuring", "training_bench", "training_cache")["training_cache"]


@pytest.fixture
def with_real_tensors(memory: Any, cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They need as much as shapes alone, and on this small scale they are sooner done."""
    build = memory.build

    def real(made: FusionRecipe, **options: Any) -> Any:
        return build(made, **options | {"shapes_only": False, "classes": CLASSES})

    for module in (memory, cache):
        monkeypatch.setattr(module, "build", real)


def recipe(*overrides: str) -> FusionRecipe:
    return load_recipe(FusionRecipe, CONFIGS / "mini.yaml", (*SETTINGS, *overrides))


def step(memory: Any, shapes_only: bool, *overrides: str) -> Any:
    return memory.measure_step(memory.build(recipe(*overrides), shapes_only=shapes_only, classes=CLASSES), PAIRS)


def test_shapes_alone_need_what_real_tensors_need(memory: Any) -> None:
    """With checkpoints, so also what is computed again, and under autocast; a single branch is sooner done."""
    overrides = ("training.gradient_checkpointing=true", "training.precision=bfloat16",
                 "settings=['diffusion.max_batch=32', 'aggregation.taps=[up1]']")
    predicted, counted = (step(memory, shapes_only, *overrides) for shapes_only in (True, False))
    assert predicted == counted
    assert predicted.peak > sum(predicted.kept.values()) > 0


def test_what_is_kept_is_what_autograd_saves(memory: Any) -> None:
    """Without checkpoints and autocast: every storage that autograd packs, parameters left out."""
    bench = memory.build(recipe(), shapes_only=False, classes=CLASSES)
    own = {value.untyped_storage().data_ptr() for value in (*bench.model.parameters(), *bench.model.buffers())}
    saved: dict[int, tuple[int, Tensor]] = {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes(), value.detach()  # held, so that no address is used twice
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        memory.loss_of(bench, PAIRS)
    kept = sum(memory.measure_step(bench, PAIRS).kept.values())
    assert kept == pytest.approx(sum(size for size, _ in saved.values()), rel=0.01)


@pytest.mark.parametrize("overrides", [("tasks.segmentation.weight=0", "tasks.correspondence.weight=0"),
                                       ("pairs.sketch=1.0",), ("diffusion.max_batch=6",)])
def test_the_learner_that_trains_keeps_as_much(memory: Any, overrides: tuple[str, ...]) -> None:
    settings = [f"settings=[{item}]" if item.startswith("diffusion") else item for item in overrides]
    made = recipe(f"training.batch_size={PAIRS}", *settings)
    bench = memory.build(made, shapes_only=False, classes=CLASSES)
    sides = {"sketches": side(bench, 0), "photos": side(bench, 1)}
    learner = FusionLearner(bench.model, sides, made, torch.arange(CLASSES), 0, 1)
    with memory.LiveBytes((*bench.model.parameters(), *bench.model.buffers())) as live:
        loss, _ = learner(0)
        kept = live.now
    assert loss.requires_grad
    assert kept == pytest.approx(sum(memory.measure_step(bench, PAIRS).kept.values()), rel=0.01)


def side(bench: Any, kind: int) -> EncodedSide:
    """Sketches or photos of samples, four to a class."""
    count, canvas = 4 * CLASSES, bench.model.canvas_size
    numbers, nothing = torch.arange(count), torch.zeros(0, 3, canvas, canvas, dtype=torch.uint8)
    return EncodedSide(
        latents=torch.rand(1, count, *bench.latent_shape).half(),
        patch_features=torch.rand(1, count, *bench.patch_shape).half(),
        content=torch.tensor([[0.0, 0.0, canvas, canvas]]).repeat(count, 1), class_ids=numbers // 4,
        instance_ids=numbers, kinds=torch.full((count,), kind), rows=numbers,
        theta=torch.eye(2, 3).repeat(1, count, 1, 1), sample_ids=numbers, mask_ids=torch.zeros_like(numbers),
        keypoints=torch.rand(count, MAX_KEYPOINTS, 4) * canvas, masks=torch.ones(1, canvas, canvas, dtype=torch.bool),
        images=nothing)


def test_checkpoints_lower_what_unet_and_aggregation_keep_and_the_peak(memory: Any) -> None:
    plain, checked = (step(memory, False, f"training.gradient_checkpointing={on}") for on in ("false", "true"))
    for part in ("UNet and injection", "aggregation"):
        assert checked.kept[part] < 0.6 * plain.kept[part], part
    assert checked.peak < plain.peak


def test_encoding_needs_what_passes_the_vae_together(memory: Any) -> None:
    """All pictures of a chunk are there, but no more of the VAE's inside than of ``max_batch`` of them."""
    few, more, chunk = (memory.encode_peak(memory.build(recipe(f"settings=[diffusion.max_batch={rows}]"),
                                                        shapes_only=False, classes=CLASSES))
                        for rows in (memory.ENCODED_TOGETHER // 4, memory.ENCODED_TOGETHER // 2, 100))
    assert few < more < chunk
    assert chunk - more == pytest.approx(2 * (more - few), rel=0.05)


def test_bytes_are_counted_while_they_live(memory: Any) -> None:
    known = torch.zeros(1000)
    with memory.LiveBytes([known]) as live:
        first = known + 1
        view = first.view(10, 100)[2:]
        assert (live.now, live.peak) == (4000, 4000)
        del first
        assert live.now == 4000  # its view is still there
        del view
        assert (live.now, live.peak) == (0, 4000)


@pytest.mark.parametrize(("precision", "expected"), [(True, torch.float32), (False, torch.bfloat16)])
def test_norms_are_single_precision_under_autocast_as_on_a_gpu(memory: Any, precision: bool,
                                                               expected: torch.dtype) -> None:
    layers = torch.nn.GroupNorm(2, 4), torch.nn.LayerNorm(3)
    with torch.autocast("cpu", torch.bfloat16):
        convolved = torch.nn.Conv2d(4, 4, 1)(torch.zeros(1, 4, 3, 3))
        assert convolved.dtype == torch.bfloat16
        if precision:
            with memory.single_precision_norms():
                outputs = [layer(convolved) for layer in layers]
        else:
            outputs = [torch.nn.functional.group_norm(convolved, 2)]
    assert {output.dtype for output in outputs} == {expected}


@pytest.mark.usefixtures("with_real_tensors")
def test_what_is_fixed_is_the_parameters_of_the_preset(memory: Any) -> None:
    """Counted elsewhere too; buffers, such as the prompt, are small."""
    bench = memory.build(recipe("tasks.recognition.weight=0"))
    cost = count_cost(load_preset("tiny"))
    learned = 4 * (cost["injection"].parameters + cost["aggregation"].parameters)
    assert bench.frozen["UNet"] == pytest.approx(4 * cost["UNet"].parameters)
    assert bench.fixed["learned, gradients, moments, average"] == pytest.approx(5 * learned, rel=0.001)
    plain = memory.build(recipe("tasks.recognition.weight=0", "training.ema=0"))
    assert plain.fixed["learned, gradients, moments, average"] == pytest.approx(4 * learned, rel=0.001)


@pytest.mark.usefixtures("with_real_tensors")
def test_the_line_goes_through_both_points_and_holds_beyond(memory: Any) -> None:
    line = memory.Line.through({8: 100.0, 16: 140.0})
    assert (line.start, line.per_picture, line.at(32)) == (60.0, 5.0, 220.0)
    assert line.fits(200.0) == 24  # 0.9 * 200 = 60 + 5 * 24
    assert line.fits(50.0) == 0
    found, _ = memory.measure_line(recipe(), (4, 8))
    bench = memory.build(recipe("settings=[diffusion.max_batch=64]"))
    further = sum(bench.fixed.values()) + memory.measure_step(bench, 16).peak
    assert found.at(32) == pytest.approx(further, rel=0.01)


@pytest.mark.usefixtures("with_real_tensors")
def test_the_command_writes_its_figures(memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LINES", (memory.LINES[0], memory.LINES[-1]))
    monkeypatch.setattr(memory, "JUDGED_TOGETHER", PAIRS)
    file, out = tmp_path / "tiny.yaml", tmp_path / "figures.json"
    file.write_text(f"extends: {CONFIGS / 'mini.yaml'}\nmodel: tiny\nsettings: ['aggregation.taps=[up1]']\n"
                    "training: {batch_size: 8}\n")
    assert memory.main(["--recipe", str(file), "--out", str(out)]) == 0
    figures = json.loads(out.read_text("utf-8"))
    assert figures["command"] == f"python benchmarks/training_memory.py --recipe {file}"
    row = figures["recipes"]["tiny"]
    assert row["training"] > sum(figures["fixed"].values()) + sum(row["kept"].values())
    unchecked, checked = figures["lines"]
    assert [checked["unet"], unchecked["unet"]] == ["bfloat16", "float32"]
    assert checked["per_picture"] < unchecked["per_picture"]


@pytest.mark.usefixtures("with_real_tensors")
def test_keeping_what_was_encoded_saves_operations_and_is_timed(cache: Any, tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "PAPER", "tiny")
    out = tmp_path / "figures.json"
    assert cache.main(["--preset", "tiny", "--pairs", "4", "--repeats", "1", "--out", str(out)]) == 0
    figures = json.loads(out.read_text("utf-8"))
    counts, cost = figures["gflop_per_picture"]["tiny"], count_cost(load_preset("tiny"))
    assert counts["encoding"] == pytest.approx(cost["VAE encoder"].gflop + cost["patch encoder"].gflop, rel=0.1)
    forth = sum(cost[part].gflop for part in ("UNet", "injection", "aggregation"))
    assert 1.5 * forth < counts["step"] < 3.5 * forth
    assert all(speed > 0 for speed in figures["images_per_s"].values())


def test_both_kinds_of_step_see_the_same_pictures(cache: Any) -> None:
    bench = cache.build(recipe(), shapes_only=False, classes=CLASSES)
    pictures = cache.Pictures(bench, 4)
    kept, now = pictures.kept(bench, 3), pictures.encoded_now(bench, 3)
    assert torch.allclose(kept.latents, now.latents, atol=1e-2)
    assert torch.allclose(kept.patch_features, now.patch_features, atol=1e-2)
