"""What pictures for people are drawn with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from sketchfusion.drawing import SUFFIXES, check_drawing_path, drawable, fit, place, save_drawing, shortened
from sketchfusion.errors import ConfigError, ImageError


@pytest.mark.parametrize(("size", "enlarge", "box"), [
    ((20, 10), False, (40, 45, 60, 55)), ((20, 10), True, (10, 30, 90, 70)), ((160, 80), False, (10, 30, 90, 70)),
    ((1, 400), True, (50, 10, 51, 90))])
def test_a_picture_lies_where_it_is_said_to(size: tuple[int, int], enlarge: bool, box: tuple[int, ...]) -> None:
    sheet = Image.new("RGB", (100, 100), "white")
    draw = ImageDraw.Draw(sheet)
    assert place(sheet, draw, Image.new("RGB", size, "red"), (10, 10), 80, enlarge=enlarge) == \
        pytest.approx(box, abs=1)
    red = np.asarray(sheet)[..., 1] == 0
    rows, columns = np.nonzero(red)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == pytest.approx(box, abs=1)
    assert sheet.getpixel((9, 9)) == sheet.getpixel((90, 90)) != (255, 255, 255)  # the frame


def test_a_long_name_keeps_both_ends() -> None:
    draw, font = ImageDraw.Draw(Image.new("RGB", (9, 9))), ImageFont.load_default(size=13)
    assert fit(draw, "short.jpg", font, 160) == "short.jpg"
    fitted = fit(draw, "holiday " * 20 + "0123.jpg", font, 160)
    assert fitted.startswith("holiday")
    assert fitted.endswith("0123.jpg")
    assert draw.textlength(fitted, font) <= 160
    assert shortened("abcdefgh", 5) == "abc...gh"


def test_letters_that_the_font_lacks() -> None:
    text = drawable("na\u00efve cafe\u0301 \ufb01n \u2019s \u732b\n\x7f.jpg")
    assert text == "naive cafe fin \u2019s ???.jpg"
    font, every = ImageFont.load_default(size=13), "".join(map(chr, range(32, 0x2800)))
    assert bytes(font.getmask("\u00ef")) == bytes(font.getmask("\uffff"))  # such a box must never be drawn
    assert [letter for letter in set(drawable(every))
            if bytes(font.getmask(letter)) == bytes(font.getmask("\uffff"))] == []


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".PNG"])
def test_saving(tmp_path: Path, suffix: str) -> None:
    drawing = Image.new("RGB", (41, 30), "white")
    drawing.paste("red", (20, 0, 21, 30))
    save_drawing(drawing, tmp_path / f"drawing{suffix}")
    with Image.open(tmp_path / f"drawing{suffix}") as saved:
        assert saved.size == (41, 30)
        red, green, blue = saved.convert("RGB").getpixel((20, 15))
        assert red - max(green, blue) > 200  # a thin line keeps its colour


def test_where_a_drawing_cannot_go(tmp_path: Path) -> None:
    drawing = Image.new("RGB", (5, 5))
    with pytest.raises(ConfigError, match=r"cannot draw into .*sheet\.pdf; use a name ending in one of \.png, \.jpg"):
        save_drawing(drawing, tmp_path / "sheet.pdf")
    with pytest.raises(ConfigError, match="there is no folder"):
        check_drawing_path(tmp_path / "nowhere" / "sheet.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ConfigError, match=r"cannot draw into .*folder\.png: it is a folder; name a file in it"):
        check_drawing_path(tmp_path / "folder.png")
    with pytest.raises(ConfigError, match="there is no folder"):
        check_drawing_path(tmp_path / ("x" * 300) / "sheet.png")
    with pytest.raises(ImageError, match=r"cannot write .*, 5 x 5 pixels: File name too long; check permissions"):
        save_drawing(drawing, tmp_path / f"{'x' * 300}.png")
    for name in ("high.webp", "high.jpg"):
        with pytest.raises(ImageError, match=r", 1 x 70000 pixels: .*; a \.png may be larger"):
            save_drawing(Image.new("RGB", (1, 70_000)), tmp_path / name)


@pytest.mark.parametrize("name", ["old.png", "new.png"])
def test_a_place_that_is_not_writable_is_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                       name: str) -> None:
    (tmp_path / "old.png").touch()
    barred = tmp_path / "old.png" if name == "old.png" else tmp_path
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != barred)  # root may write anywhere
    with pytest.raises(ConfigError, match=rf"cannot draw into .*{name}: no permission to write there"):
        check_drawing_path(tmp_path / name)
