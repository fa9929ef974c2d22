"""Packed data of every kind with a few items each, and tasks on them, shared by the tests of training a fusion."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image, ImageDraw

from sketchfusion.data.composites import Composites, SampleOptions, prepare, write_composites
from sketchfusion.data.packed.packing import PackOptions, pack
from sketchfusion.data.world import write_world
from sketchfusion.engine.config import load_recipe
from sketchfusion.engine.fusion_recipe import FusionRecipe
from sketchfusion.engine.runtime import open_run
from sketchfusion.engine.train_fusion import FusionTask

SIZE = 64
MIX = {"photo": 1.0, "drawing": 1.0, "sketch": 1.0, "emoji": 0.5, "icon": 0.5}
TRAINING = {"steps": 4, "batch_size": 6, "lr": 2e-3, "warmup": 2, "log_every": 1, "sample_every": 0,
            "checkpoint_every": 0, "ema": 0.8}
DRAWN = ("airplane", "cup", "key")
EMOJI = ("key", "umbrella", "anchor", "bell", "crab")


def draw_clean_photos(folder: Path) -> Path:
    """Three houses and three balls of different colours on plain paper."""
    for number in range(3):
        for kind in ("house", "ball"):
            image = Image.new("RGB", (100, 80), (240, 240, 236))
            draw, fill = ImageDraw.Draw(image), (30 + 50 * number, 90, 140 - 40 * number)
            if kind == "house":
                draw.polygon([(22, 36), (50, 10), (80, 36), (72, 36), (72, 68), (30, 68), (30, 36)], fill=fill)
            else:
                draw.ellipse((26, 16, 74, 64), fill=fill)
            (folder / kind).mkdir(parents=True, exist_ok=True)
            image.save(folder / kind / f"image_{number:04d}.png")
    return folder


def draw_strokes(folder: Path) -> None:
    """Quick, Draw! files of six drawings each."""
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    for number, name in enumerate(DRAWN):
        lines = [json.dumps({"word": name, "key_id": f"{number}{index}",
                             "drawing": (torch.rand(3, 2, 6, generator=generator) * 255).int().tolist()})
                 for index in range(6)]
        (folder / f"{name}.ndjson").write_text("\n".join(lines))


@pytest.fixture(scope="session")
def fusion_folders(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable[..., Image.Image]) -> Path:
    """``data`` in the layout of the open sets, ``world`` and ``composites``.

    The drawn world has three classes of six instances with two sketches each; composites two photos of each of six
    objects, with a sketch each. Beside these a few wide photos, drawings, emoji and their icons.
    """
    root = tmp_path_factory.mktemp("fusion-data")
    write_world(root / "world", categories=["cup", "key", "wine glass"], photos_per_class=6, sketches_per_photo=2,
                size=SIZE)
    prepare(draw_clean_photos(root / "clean"), root / "prepared")
    write_composites(root / "composites", Composites(root / "prepared", count=12, options=SampleOptions(
        size=SIZE, occluded=0.0)))
    draw_strokes(root / "data" / "quickdraw")
    (root / "data" / "caltech101" / "cup").mkdir(parents=True)
    for index in range(3):
        draw_picture((60, 40), index).save(root / "data" / "caltech101" / "cup" / f"image_{index:04d}.jpg")
    emoji = root / "data" / "emoji_noto"
    for part, mode in (("colour", "RGBA"), ("line", "L")):
        (emoji / part).mkdir(parents=True)
        for index in range(len(EMOJI)):
            suffix = "webp" if part == "colour" else "png"
            draw_picture((20, 20), 900 + index).convert(mode).save(emoji / part / f"1f{index}.{suffix}")
    with (emoji / "names.csv").open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows([("id", "name", "group", "has_line"),
                                     *((f"1f{index}", name, "objects", 1) for index, name in enumerate(EMOJI))])
    return root


@pytest.fixture(scope="session")
def fusion_shards(fusion_folders: Path) -> Path:
    """Everything in ``fusion_folders``, packed; of each class a third is held out."""
    out = fusion_folders / "shards"
    pack(fusion_folders / "data", out, PackOptions(size=SIZE, held_out=0.34),
         extra=(f"world={fusion_folders / 'world'}", f"composites={fusion_folders / 'composites'}"))
    return out


@pytest.fixture(scope="session")
def fusion_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all tests keep what was encoded."""
    return tmp_path_factory.mktemp("encoded")


@pytest.fixture
def write_recipe(tmp_path: Path, fusion_shards: Path, fusion_cache: Path) -> Callable[..., Path]:
    """``write_recipe(key=value, training={...}, learn=("category",))``: the file of a tiny recipe.

    ``learn`` names the tasks; the others get the weight 0. All of them are learned unless told otherwise.
    """

    def write(*, training: dict[str, Any] | None = None, learn: tuple[str, ...] = (), **changes: Any) -> Path:
        raw = {"model": "tiny", "output": str(tmp_path / "run"), "cache": str(fusion_cache), "views": 2,
               "data": {"shards": str(fusion_shards), "mix": MIX}, "training": TRAINING | (training or {})} | changes
        if learn:
            raw["tasks"] = only(*learn) | raw.get("tasks", {})
        (tmp_path / "fusion.yaml").write_text(yaml.safe_dump(raw))
        return tmp_path / "fusion.yaml"

    return write


def only(*names: str) -> dict[str, dict[str, float]]:
    """Weights of the tasks, 0 for those that are not named."""
    every = ("category", "fine_grained", "recognition", "correspondence", "segmentation")
    return {name: {"weight": float(name in names)} for name in every}


@pytest.fixture
def make_task(write_recipe: Callable[..., Path]) -> Callable[..., FusionTask]:
    """``make_task("a.b=c", key=value)``: a task of one's own on the CPU; overrides, and what ``write_recipe`` takes."""

    def make(*overrides: str, **changes: Any) -> FusionTask:
        recipe = load_recipe(FusionRecipe, write_recipe(**changes), overrides)
        return FusionTask(recipe, open_run(recipe, device="cpu"))

    return make


@pytest.fixture(scope="session")
def universal_task(tmp_path_factory: pytest.TempPathFactory, fusion_shards: Path, fusion_cache: Path) -> FusionTask:
    """All five tasks on all kinds, weights off their start; look and run, but do not change."""
    folder = tmp_path_factory.mktemp("universal")
    raw = {"model": "tiny", "output": str(folder / "run"), "cache": str(fusion_cache), "views": 2,
           "data": {"shards": str(fusion_shards), "mix": MIX}, "training": TRAINING | {"batch_size": 16}}
    (folder / "fusion.yaml").write_text(yaml.safe_dump(raw))
    recipe = load_recipe(FusionRecipe, folder / "fusion.yaml")
    task = FusionTask(recipe, open_run(recipe, device="cpu"))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # off the zero convolutions, which hold gradients back
        for parameter in [*task.model.injector.parameters(), *task.model.aggregator.parameters()]:
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    task.model.eval()  # the statistics of the recognition head stay as they are
    task.learner.eval()
    return task


@pytest.fixture
def pacs(tmp_path: Path, draw_picture: Callable[..., Image.Image]) -> Path:
    """Two classes of three photos and four sketches; two photos of each class were drawn, once or twice."""
    pairs = []
    for seed, name in enumerate(("cat", "house")):
        for side, count in (("photo", 3), ("sketch", 4)):
            (tmp_path / side / name).mkdir(parents=True)
            for index in range(count):
                draw_picture((40, 30), 100 * seed + index).save(tmp_path / side / name / f"{index}.png")
        pairs += [[name, f"photo/{name}/{photo}.png", f"sketch/{name}/{sketch}.png"]
                  for photo, sketch in ((0, 0), (0, 1), (1, 2))]
    with (tmp_path / "instance_pairs.csv").open("w", newline="") as lines:
        csv.writer(lines).writerows([["class", "photo", "sketch"], *pairs])
    return tmp_path
