"""Small folders in the published layouts: files whose content is their own path, unless said otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

Plant = Callable[..., Path]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """``plant("a/b.png", "c/d.jpg")`` makes the files below ``tmp_path`` and gives it."""

    def plant(*names: str, content: bytes | None = None) -> Path:
        for name in names:
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(name.encode() if content is None else content)
        return tmp_path

    return plant


@pytest.fixture
def plant_sketchy(plant: Plant) -> Callable[[Iterable[str]], Path]:
    """Two photos and three sketches of each class, and an extension with both photos and a third."""

    def make(classes: Iterable[str]) -> Path:
        root = Path()
        for name in classes:
            photo, sketch = f"256x256/photo/tx_000000000000/{name}", f"256x256/sketch/tx_000000000000/{name}"
            root = plant(f"{photo}/n01_2.jpg", f"{photo}/n01_10.jpg", f"{sketch}/n01_2-1.png", f"{sketch}/n01_2-2.png",
                         f"{sketch}/n01_10-1.png", f"EXTEND_image_sketchy/{name}/ext_1.jpg",
                         f"EXTEND_image_sketchy/{name}/n01_2.jpg", f"EXTEND_image_sketchy/{name}/n01_10.jpg")
        return root

    return make
