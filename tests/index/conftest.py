"""Shared by the tests of the index: a quick describer, folders of photos, a gallery of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sketchfusion.index.gallery import Gallery


def load_fakes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fake_describer", Path(__file__).with_name("fake_describer.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FakeDescriber = load_fakes().FakeDescriber


@pytest.fixture
def describer() -> Any:
    return FakeDescriber()


@pytest.fixture
def make_describer() -> Callable[..., Any]:
    return FakeDescriber


def draw_photo(number: int, size: tuple[int, int] = (60, 40)) -> Image.Image:
    """A photo that no other number gives."""
    chance = np.random.default_rng(number)
    image = Image.new("RGB", size, tuple(chance.integers(0, 255, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = chance.integers(0, size[0]), chance.integers(0, size[1])
        draw.ellipse((x - 9, y - 9, x + 9, y + 9), fill=tuple(chance.integers(0, 255, 3).tolist()))
    return image


@pytest.fixture
def save_photo() -> Callable[..., Path]:
    """``save_photo(path, number)``: write photo ``number``, making folders."""

    def save(path: Path, number: int, **options: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_photo(number).save(path, **options)
        return path

    return save


@pytest.fixture
def photos(tmp_path: Path, save_photo: Callable[..., Path]) -> Path:
    """``photos/``: a0.jpg .. a3.jpg, sub/b4.png, sub/b5.webp."""
    folder = tmp_path / "photos"
    for number in range(4):
        save_photo(folder / f"a{number}.jpg", number)
    save_photo(folder / "sub" / "b4.png", 4)
    save_photo(folder / "sub" / "b5.webp", 5)
    return folder


@pytest.fixture
def gallery(tmp_path: Path, photos: Path, describer: Any) -> Gallery:
    """A gallery of ``photos``."""
    gallery = Gallery.create(tmp_path / "gallery", describer)
    gallery.update([photos], describer)
    return gallery
