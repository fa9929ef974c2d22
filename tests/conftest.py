"""What all tests share: no network, a cache of their own, a tiny extractor, a few drawn pictures."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported: no test may touch the network
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is: networks this small lose time to more threads

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from PIL import Image, ImageDraw

from sketchfusion.backbones.random_weights import load_architecture, write_checkpoint
from sketchfusion.fusion.extractor import SketchFusion

hypothesis.settings.register_profile("untimed", deadline=None)  # no test fails for a busy machine
hypothesis.settings.load_profile("untimed")

OWN_VARIABLES = ("SKETCHFUSION_WEIGHTS", "SKETCHFUSION_OFFLINE")
DATA_VARIABLE = "SKETCHFUSION_DATA"
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
TEXT = {**VISION, "vocab_size": 64, "max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 2,
        "pad_token_id": 2}
GRID64, NATIVE64 = {"patch_size": 8, **VISION}, {"image_size": 64, "patch_size": 8, **VISION}
ENCODERS: dict[str, dict[str, Any]] = {  # every family, as the hub's config.json has it
    "clip": {"model_type": "clip_vision_model", "architectures": ["CLIPVisionModel"], **NATIVE64},
    "clip-with-text": {"model_type": "clip", "architectures": ["CLIPModel"], "projection_dim": 16,
                       "vision_config": NATIVE64, "text_config": TEXT},
    "dino": {"model_type": "vit", "architectures": ["ViTModel"], **NATIVE64},
    "dinov2": {"model_type": "dinov2", "architectures": ["Dinov2Model"], **NATIVE64},
    "dinov2-registers": {"model_type": "dinov2_with_registers", "architectures": ["Dinov2WithRegistersModel"],
                         "num_register_tokens": 4, **NATIVE64},
    "dinov3": {"model_type": "dinov3_vit", "architectures": ["DINOv3ViTModel"], "num_register_tokens": 4, **NATIVE64},
    "siglip": {"model_type": "siglip_vision_model", "architectures": ["SiglipVisionModel"], **NATIVE64},
    "siglip-with-text": {"model_type": "siglip", "architectures": ["SiglipModel"], "vision_config": NATIVE64,
                         "text_config": TEXT},
    "siglip2-naflex": {"model_type": "siglip2_vision_model", "architectures": ["Siglip2VisionModel"],
                       "num_patches": 64, **GRID64},
    "siglip2-naflex-with-text": {"model_type": "siglip2", "architectures": ["Siglip2Model"],
                                 "vision_config": {"num_patches": 64, **GRID64}, "text_config": TEXT},
}
SD = load_architecture("tiny-sd")
DIFFUSION: dict[str, dict[str, dict[str, Any]]] = {  # every family, part by part
    "sd2": SD,
    "sd1": {**SD, "unet": {**SD["unet"], "use_linear_projection": False, "attention_head_dim": 2}},
    "sd2-v": {**SD, "scheduler": {**SD["scheduler"], "prediction_type": "v_prediction"}},
    "xl": {
        **SD,
        "unet": {**SD["unet"], "block_out_channels": [16, 32, 48], "attention_head_dim": [2, 2, 4],
                 "transformer_layers_per_block": [1, 1, 2], "cross_attention_dim": 48,
                 "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
                 "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
                 "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
                 "projection_class_embeddings_input_dim": 6 * 8 + 24},
        "text_encoder_2": {**SD["text_encoder"], "architectures": ["CLIPTextModelWithProjection"], "hidden_size": 16,
                           "intermediate_size": 32, "num_hidden_layers": 3, "projection_dim": 24},
        "tokenizer_2": {},
    },
    "tiny-vae": {**SD, "vae": {
        "_class_name": "AutoencoderTiny", "encoder_block_out_channels": [8] * 3, "decoder_block_out_channels": [8] * 3,
        "num_encoder_blocks": [1, 1, 1], "num_decoder_blocks": [1, 1, 1], "latent_channels": 4, "scaling_factor": 1.0}},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for ``data_root`` reads real data."""
    for item in items:
        if "data_root" in getattr(item, "fixturenames", ()):
            item.add_marker("realdata")


@pytest.fixture(scope="session", autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's cache, weights and settings are neither read nor written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKETCHFUSION_CACHE", str(tmp_path_factory.mktemp("cache")))
        for name in OWN_VARIABLES:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def tiny_model() -> SketchFusion:
    """The ``tiny`` preset on the CPU, shared by all tests: look, run, but do not change (``make_tiny`` is for that)."""
    return SketchFusion.from_pretrained("tiny", device="cpu")


@pytest.fixture
def make_tiny() -> Callable[..., SketchFusion]:
    """``make_tiny("a.b=c", ...)``: a ``tiny`` extractor of one's own, with settings."""
    return lambda *overrides: SketchFusion.from_pretrained("tiny", overrides=overrides, device="cpu")


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``encoder_folder(name)``: a tiny random checkpoint of a row of ``ENCODERS``, written once."""
    return cache(lambda name: _written({".": ENCODERS[name]}, tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="session")
def diffusion_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``diffusion_folder(name)``: a tiny random checkpoint of a row of ``DIFFUSION``, written once; copy to change."""
    return cache(lambda name: _written(DIFFUSION[name], tmp_path_factory.mktemp("diffusion")))


def _written(parts: dict[str, dict[str, Any]], folder: Path) -> Path:
    write_checkpoint(parts, folder)
    return folder


def drawn_picture(size: tuple[int, int], seed: int) -> Image.Image:
    """RGB, ``size`` = (width, height): a soft gradient with a few shapes that depend on the seed."""
    width, height = size
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(40, 216, (1, 3, 2, 2), generator=generator).float()
    ground = torch.nn.functional.interpolate(corners, (height, width), mode="bilinear", align_corners=True)
    image = Image.fromarray(ground[0].permute(1, 2, 0).round().to(torch.uint8).numpy())
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        x, y, radius = (float(part) for part in torch.rand(3, generator=generator))
        color = tuple(torch.randint(0, 256, (3,), generator=generator).tolist())
        box = (x * width - radius * width / 3, y * height - radius * height / 3,
               x * width + radius * width / 3, y * height + radius * height / 3)
        draw.ellipse(box, fill=color) if radius < 0.5 else draw.rectangle(box, fill=color)
    return image


@pytest.fixture(scope="session")
def draw_picture() -> Callable[[tuple[int, int], int], Image.Image]:
    """``draw_picture((width, height), seed)``: an RGB picture, the same for the same seed."""
    return drawn_picture


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Seven different RGB pictures of several sizes and aspect ratios."""
    sizes = [(96, 64), (64, 64), (50, 120), (200, 80), (64, 48), (33, 97), (80, 80)]
    return [drawn_picture(size, seed) for seed, size in enumerate(sizes)]


@pytest.fixture
def photo_folder(tmp_path: Path, pictures: list[Image.Image]) -> Path:
    """A folder of seven small photos: ``photo0.jpg`` .. ``photo4.jpg``, ``tall.png`` and ``album/square.webp``."""
    folder = tmp_path / "photos"
    (folder / "album").mkdir(parents=True)
    for index, picture in enumerate(pictures[:5]):
        picture.save(folder / f"photo{index}.jpg", quality=92)
    pictures[5].save(folder / "tall.png")
    pictures[6].save(folder / "album" / "square.webp", quality=92)
    return folder


@pytest.fixture
def sketch_file(tmp_path: Path) -> Path:
    """A freehand-like drawing, black lines on white, 120 x 90 pixels."""
    image = Image.new("L", (120, 90), 255)
    draw = ImageDraw.Draw(image)
    draw.line([(20, 70), (35, 30), (60, 20), (90, 35), (100, 72), (20, 70)], fill=0, width=3, joint="curve")
    draw.ellipse((45, 35, 65, 55), outline=0, width=2)
    image.save(tmp_path / "sketch.png")
    return tmp_path / "sketch.png"


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real photos and sketches: ``$SKETCHFUSION_DATA``, or ``shared/data`` beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get(DATA_VARIABLE) or beside)
    if not folder.is_dir():
        pytest.skip(f"no real data: set {DATA_VARIABLE} to a folder that holds it")
    return folder
