"""A synthetic data folder in the layout of the open sets, and recipes small enough to train in a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from sketchfusion.data.packed.packing import PackOptions, pack

CLASSES = {"airplanes": "airplane", "dalmatian": "dalmatian", "sunflower": "sunflower"}
SIZE = 16
VAE = {
    "_class_name": "AutoencoderKL", "block_out_channels": [8, 8, 16], "layers_per_block": 1, "latent_channels": 4,
    "down_block_types": ["DownEncoderBlock2D"] * 3, "up_block_types": ["UpDecoderBlock2D"] * 3, "norm_num_groups": 4,
}
TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
         "projection_dim": 16}
TEXT = {"model_type": "clip_text_model", "architectures": ["CLIPTextModelWithProjection"],
        "max_position_embeddings": 12, **TOWER}
VISION = {"model_type": "clip_vision_model", "architectures": ["CLIPVisionModelWithProjection"],
          "image_size": SIZE, "patch_size": 8, **TOWER}
UNET = {
    "_class_name": "UNet2DConditionModel", "block_out_channels": [8, 8, 16, 16], "layers_per_block": 1,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3, "attention_head_dim": 2, "norm_num_groups": 4,
    "use_linear_projection": True,
}
SCHEDULER = {"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
             "clip_sample": False, "steps_offset": 1}
TRAINING = {"steps": 6, "batch_size": 8, "lr": 2e-3, "warmup": 2, "log_every": 1, "sample_every": 0,
            "checkpoint_every": 3, "ema": 0.9}


@pytest.fixture(scope="session")
def open_data(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable[..., Image.Image]) -> Path:
    """``caltech101``, ``quickdraw`` and ``emoji_noto`` with a few items each, and the forbidden ``pacs_dev``."""
    root = tmp_path_factory.mktemp("open-data")
    generator = torch.Generator().manual_seed(0)
    for number, label in enumerate(CLASSES):
        folder = root / "caltech101" / label
        folder.mkdir(parents=True)
        for index in range(10):
            draw_picture((24, 18), 100 * number + index).save(folder / f"image_{index:04d}.jpg")
        lines = []
        for index in range(10):
            strokes = (torch.rand(3, 2, 6, generator=generator) * 255).int().tolist()
            lines.append(json.dumps({"word": CLASSES[label], "key_id": f"{number}{index}", "drawing": strokes}))
        (root / "quickdraw").mkdir(exist_ok=True)
        (root / "quickdraw" / f"{CLASSES[label]}.ndjson").write_text("\n".join(lines))
    emoji = root / "emoji_noto"
    (emoji / "colour").mkdir(parents=True)
    (emoji / "line").mkdir()
    rows = ["id,name,group,has_line"]
    for index, name in enumerate(("dog face", "red apple", "umbrella", "sunflower", "crab", "cat face")):
        rows.append(f"1f{index},{name},animals-nature,1")
        picture = draw_picture((20, 20), 900 + index).convert("RGBA")
        picture.putalpha(200)
        picture.save(emoji / "colour" / f"1f{index}.webp")
        draw_picture((20, 20), 950 + index).convert("L").save(emoji / "line" / f"1f{index}.png")
    (emoji / "names.csv").write_text("\n".join(rows))
    (root / "pacs_dev" / "photo" / "dog").mkdir(parents=True)
    return root


@pytest.fixture(scope="session")
def shards(open_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic data, packed."""
    folder = tmp_path_factory.mktemp("packed") / "shards"
    pack(open_data, folder, PackOptions(size=SIZE, held_out=0.2))
    return folder


@pytest.fixture
def write_recipe(tmp_path: Path, shards: Path) -> Callable[..., Path]:
    """``write_recipe("vae", key=value, training={...})``: a tiny recipe's file."""
    parts: dict[str, dict[str, Any]] = {
        "vae": {"architecture": VAE, "data": {"mix": {"photo": 0.7, "drawing": 0.3}}},
        "clip": {"text": TEXT, "vision": VISION, "vocabulary": 700, "loss": {"cross_domain": 0.5},
                 "data": {"mix": {"photo": 0.4, "drawing": 0.4, "emoji": 0.1, "icon": 0.1}}},
        "diffusion": {"unet": UNET, "scheduler": SCHEDULER, "vae": str(tmp_path / "vae" / "vae"), "latent_views": 2,
                      "clip": str(tmp_path / "clip" / "clip"), "sampling": {"steps": 2, "per_name": 1}},
    }

    def write(kind: str, *, training: dict[str, Any] | None = None, **changes: Any) -> Path:
        raw = {"size": SIZE, "output": str(tmp_path / kind), **parts[kind],
               "training": TRAINING | (training or {})} | changes
        raw["data"] = {"shards": str(shards), **raw.get("data", {})}
        file = tmp_path / f"{kind}.yaml"
        file.write_text(yaml.safe_dump(raw))
        return file

    return write
