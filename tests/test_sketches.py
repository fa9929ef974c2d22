"""Strokes, drawings, and every way a sketch may arrive."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from sketchfusion import svg
from sketchfusion.errors import BlankPicture, ImageError
from sketchfusion.sketches import Drawing, read_ndjson, read_sketch, read_svg, render, to_svg

SQUARE = [[[10, 90, 90, 10, 10], [20, 20, 60, 60, 20]]]
SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 40 20">{}</svg>'
LINE = '<path d="M5 5L35 15" stroke="black" stroke-width="2"/>'


def drawing(*strokes: list[tuple[float, float]], size: tuple[float, float] = (256, 256)) -> Drawing:
    return Drawing(tuple(np.array(stroke, dtype=np.float64) for stroke in strokes), *size)


def ink_box(image: Image.Image) -> tuple[int, int, int, int]:
    box = image.convert("L").point(lambda level: 255 if level < 128 else 0).getbbox()
    assert box is not None
    return box


def test_render_centres_the_ink_and_keeps_its_aspect_ratio() -> None:
    image = render(drawing([(100, 7), (300, 7), (300, 107), (100, 107), (100, 7)]), 200)
    left, top, right, bottom = ink_box(image)
    assert image.size == (200, 200)
    assert image.mode == "RGB"
    assert left + right == pytest.approx(200, abs=2)
    assert top + bottom == pytest.approx(200, abs=2)
    assert left == pytest.approx(16, abs=2)  # the margin, 8 % of the side
    assert (right - left) / (bottom - top) == pytest.approx(2, rel=0.05)
    assert image.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("line_width", [1, 4, 9.5])
def test_line_width_is_in_pixels_of_the_result(line_width: float) -> None:
    image = render(drawing([(0, 0), (100, 0)]), 128, line_width=line_width)
    column = 255 - np.asarray(image.convert("L"), dtype=float)[:, 64]
    assert column.sum() / 255 == pytest.approx(line_width, abs=0.6)


def test_lines_are_antialiased_and_a_point_is_a_dot() -> None:
    levels = np.unique(np.asarray(render(drawing([(0, 0), (50, 31)]), 64)))
    assert len(levels) > 4
    left, top, right, bottom = ink_box(render(drawing([(7, 7)]), 100, line_width=8))
    assert (right - left, bottom - top) == (8, 8)
    assert left + right == pytest.approx(100, abs=1)


@pytest.mark.parametrize(("strokes", "size", "message"), [
    ((), (1, 1), "no strokes"),
    ((np.zeros((0, 2)),), (1, 1), "non-empty"),
    ((np.zeros((3, 3)),), (1, 1), r"\(N, 2\)"),
    ((np.array([[0, np.nan]]),), (1, 1), "finite"),
    ((np.zeros((1, 2)),), (0, 1), "above 0"),
])
def test_malformed_drawings_are_refused(strokes: tuple[np.ndarray, ...], size: tuple[float, float],
                                        message: str) -> None:
    with pytest.raises(ImageError, match=message):
        Drawing(strokes, *size)


def test_svg_of_a_drawing_shows_the_same_ink() -> None:
    original = drawing([(20, 30), (200, 90), (120, 220)], [(50, 200)])
    outside = drawing([(-40, -10), (300, 280)])
    picture = read_svg(to_svg(original).encode(), side=256)
    levels = np.asarray(picture.convert("L"))
    assert levels[30, 20] < 128
    assert levels[200, 50] < 128
    assert levels[100, 30] == 255
    assert ink_box(read_svg(to_svg(outside).encode(), side=256))[0] <= 3


def test_ndjson_simplified_and_raw_and_bare_lists_agree(tmp_path: Path) -> None:
    raw = [[*SQUARE[0], [0, 5, 9, 12, 20]]]
    file = tmp_path / "square.txt"
    file.write_text("\n".join(json.dumps({"word": "square", "drawing": strokes}) for strokes in (SQUARE, raw)))
    first = read_ndjson(file)
    assert np.array_equal(first.strokes[0], np.array(SQUARE[0]).T)
    assert (first.width, first.height) == (256, 256)
    for other in (read_ndjson(file, 2), read_ndjson(json.dumps(SQUARE)), read_ndjson(json.dumps({"drawing": raw}))):
        assert np.array_equal(other.strokes[0], first.strokes[0])


@pytest.mark.parametrize(("text", "message"), [
    ("{", "not a Quick, Draw! drawing"),
    ('{"word": "x"}', "drawing"),
    ('{"drawing": 5}', "not a Quick"),
    ('{"drawing": [[["a"], ["b"]]]}', "not a Quick"),
    ('{"drawing": [[[1, 2], [1]]]}', "not a Quick"),
    ('{"drawing": [[[1, 2]]]}', r"\(N, 2\)"),
    ('{"drawing": [[[1e999], [1]]]}', "finite"),
    ('{"drawing": []}', "blank sketch"),
    ('{"drawing": [[[], []]]}', "blank sketch"),
    ("[" * 5000, "not a Quick"),
])
def test_bad_ndjson_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_sketch(text)


def test_the_twelfth_line(tmp_path: Path) -> None:
    file = tmp_path / "many.ndjson"
    lines = [json.dumps({"drawing": [[[0, number], [0, 100]]]}) for number in range(1, 21)]
    file.write_text("\n".join(lines) + "\n")
    wanted = np.asarray(render(read_ndjson(lines[11])))
    assert np.array_equal(np.asarray(read_sketch(f"{file}#12")), wanted)
    assert np.array_equal(np.asarray(read_sketch(file, line=12)), wanted)
    assert np.array_equal(np.asarray(read_sketch(file.read_bytes(), line=12)), wanted)
    assert np.array_equal(np.asarray(read_sketch(lines[11])), wanted)
    with pytest.raises(ImageError, match="has 20 lines, so there is no line 21"):
        read_sketch(f"{file}#21")
    with pytest.raises(ImageError, match="counted from 1"):
        read_sketch(f"{file}#0")


def test_a_line_of_a_large_file_is_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "many.ndjson"
    lines = [json.dumps({"drawing": [[[0, number], [0, 100]]]}) for number in range(1, 21)]
    file.write_text("\ufeff" + "\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.setattr("sketchfusion.sketches.MAX_BYTES", 200)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"all of {path} was read"))
    for line in (1, 12):
        wanted = np.asarray(render(read_ndjson(lines[line - 1])))
        assert np.array_equal(np.asarray(read_sketch(f"{file}#{line}")), wanted)
    file.write_text(json.dumps({"drawing": [[list(range(99)), list(range(99))]]}))
    with pytest.raises(ImageError, match="not a Quick, Draw! drawing"):  # one line beyond what is allowed
        read_sketch(file)
    file.write_text("<svg>" + " " * 300)
    with pytest.raises(ImageError, match="305 bytes, more than the 200 allowed"):
        read_sketch(file)


@pytest.mark.parametrize("allowed", [50_000_000, 200])  # bytes of a file that is read as a whole
def test_a_line_ends_in_a_line_feed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    lines = [json.dumps({"word": f"a{letter}b", "drawing": [[[0, ord(letter)], [0, 100]]]}, ensure_ascii=False)
             for letter in "\x85\u2028\u2029"]
    lines = ['{"word":\r"cat", "drawing": [[[0, 1], [0, 100]]]}', '{"broken":\v\f}', *lines]
    text = "\r\n".join(lines) + "\n"
    file = tmp_path / "odd.ndjson"
    file.write_bytes(text.encode())
    monkeypatch.setattr("sketchfusion.sketches.MAX_BYTES", allowed)
    for line in (1, 3, 4, 5):
        wanted = np.asarray(render(read_ndjson(lines[line - 1])))
        for found in (read_sketch(file, line=line), read_sketch(text, line=line), render(read_ndjson(file, line)),
                      render(read_ndjson(text, line))):
            assert np.array_equal(np.asarray(found), wanted)
    with pytest.raises(ImageError, match="has 5 lines, so there is no line 6"):
        read_sketch(f"{file}#6")


def test_a_file_whose_name_ends_in_a_number_sign(tmp_path: Path, sketch_file: Path) -> None:
    odd = sketch_file.rename(tmp_path / "sketch#3")
    assert read_sketch(odd).size == (120, 90)


def test_content_counts_and_not_the_suffix(tmp_path: Path, sketch_file: Path) -> None:
    for name, content in {"svg.png": SVG.format(LINE).encode(), "zipped.svg": gzip.compress(SVG.format(LINE).encode()),
                          "bom.jpg": b"\xef\xbb\xbf" + SVG.format(LINE).encode(),
                          "strokes.svg": json.dumps({"drawing": SQUARE}).encode(),
                          "picture.ndjson": sketch_file.read_bytes()}.items():
        (tmp_path / name).write_bytes(content)
        assert read_sketch(tmp_path / name).getextrema()[0] == (0, 255), name
        assert read_sketch(content).mode == "RGB"


def test_svg_keeps_its_aspect_ratio_and_lies_on_white() -> None:
    picture = read_sketch(SVG.format(LINE), side=200)
    assert picture.size == (200, 100)
    assert picture.getpixel((0, 99)) == (255, 255, 255)
    assert read_sketch('<svg xmlns="http://www.w3.org/2000/svg" width="10mm" height="20mm">'
                       '<circle cx="9" cy="9" r="5"/></svg>', side=64).size == (32, 64)


@pytest.mark.parametrize("link", ["{path}", "file://{path}", "secret.png"])
@pytest.mark.parametrize("element", ['<image href="{}" width="40" height="20"/>',
                                     '<image xlink:href="{}" width="40" height="20"/>',
                                     '<filter id="f"><feImage href="{}"/></filter>'
                                     '<rect filter="url(#f)" width="40" height="20"/>'])
def test_svg_reads_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: str, element: str) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 20), "red").save(tmp_path / "secret.png")
    text = SVG.format(LINE + element.format(link.format(path=tmp_path / "secret.png")))
    (tmp_path / "sketch.svg").write_text(text)
    pixels = np.asarray(read_sketch(tmp_path / "sketch.svg")).reshape(-1, 3).astype(int)
    assert (np.abs(pixels - pixels[:, :1]) <= 1).all()  # grey only


def test_a_module_in_the_working_directory_does_not_stand_in_for_the_renderer(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resvg_py.py").write_text("raise SystemExit('the wrong module')")
    assert read_sketch(SVG.format(LINE)).size == (512, 256)


@pytest.mark.parametrize(("text", "message"), [
    ("<html></html>", "not SVG"),
    ("<svg", "not well-formed"),
    ("<svg>&undefined;</svg>", "not well-formed"),
    (SVG.replace('viewBox="0 0 40 20"', "").format(LINE), "no usable size"),
    (SVG.replace("40 20", "0 20").format(LINE), "no usable size"),
    (SVG.format("<g>" * 300 + "</g>" * 300), "nests more than"),
    (SVG.format("<defs>" + "".join(f'<g id="g{n}"><use xlink:href="#g{n - 1}"/></g>' for n in range(1, 1500))
                + '</defs><use xlink:href="#g1499"/>'), "cannot draw"),  # overflows the renderer's stack
    (SVG.format(""), "blank sketch"),
    (SVG.format('<rect width="40" height="20" fill="red"/>'), "blank sketch"),
    (SVG.format('<rect width="9" height="9" fill="white"/>'), "its ink is white"),
    ('<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in zip("abcdefghi", "bcdefghij", strict=True))
     + "]><svg>&j;</svg>", "not well-formed"),
])
def test_bad_svg_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_sketch(text)


def test_svg_size_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svg, "MAX_BYTES", 1000)
    with pytest.raises(ImageError, match="more than 1,000 bytes"):
        read_sketch(gzip.compress(SVG.format(LINE + " " * 5000).encode()))
    with pytest.raises(ImageError, match="cannot unpack"):
        read_sketch(b"\x1f\x8bnot gzip at all")


def test_an_svg_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svg, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(svg, "RENDERER", "import time; time.sleep(30)")
    with pytest.raises(ImageError, match="took more than"):
        read_sketch(SVG.format(LINE))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_sketches_lie_on_white_paper(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (50, 30), (0, 0, 0, 0))
    ImageDraw.Draw(image).line([(5, 5), (45, 25)], fill=(0, 0, 0, 255), width=2)
    image.convert(mode).save(tmp_path / "sketch.png")
    picture = read_sketch(tmp_path / "sketch.png")
    assert picture.getpixel((0, 29)) == (255, 255, 255)
    assert picture.convert("L").getpixel((25, 15)) < 40


def test_white_ink_on_transparent_ground_is_told_from_a_blank_sketch(tmp_path: Path) -> None:
    image = Image.new("RGBA", (50, 30), (0, 0, 0, 0))
    image.save(tmp_path / "empty.png")
    ImageDraw.Draw(image).line([(5, 5), (45, 25)], fill="white", width=2)
    image.save(tmp_path / "white.png")
    Image.new("L", (20, 20), 255).save(tmp_path / "paper.png")
    with pytest.raises(ImageError, match=r"blank on white paper: it is transparent and its ink is white; .* "
                                         "save it on a dark ground, which is turned into white paper"):
        read_sketch(tmp_path / "white.png")
    saved = Image.new("RGBA", image.size, "black")
    saved.alpha_composite(image)
    saved.save(tmp_path / "dark.png")
    assert read_sketch(tmp_path / "dark.png").getpixel((25, 15)) == (0, 0, 0)
    for name in ("empty.png", "paper.png"):
        with pytest.raises(ImageError, match=f"{name} is a blank sketch.*draw something first"):
            read_sketch(tmp_path / name)


def test_an_svg_that_holds_only_what_is_not_read(tmp_path: Path) -> None:
    for number, content in enumerate(('<image href="data:image/png;base64,AAAA" width="9" height="9"/>',
                                      '<svg:text xmlns:svg="http://www.w3.org/2000/svg" y="9">cat</svg:text>')):
        file = tmp_path / f"wrap{number}.svg"
        file.write_bytes(gzip.compress(SVG.format(content).encode()))
        for read in (read_sketch, read_svg):
            with pytest.raises(BlankPicture, match=rf"wrap{number}\.svg .* holds only an embedded picture or text, "
                                                   "which is not read; give the PNG itself"):
                read(file)
    assert read_sketch(SVG.format(LINE + "<text>cat</text>")).size == (512, 256)


def test_a_path_that_is_too_long() -> None:
    for name in ("x" * 300, "x" * 300 + ".ndjson#3"):
        with pytest.raises(ImageError, match=r"cannot read the sketch x.*: File name too long"):
            read_sketch(name)


def test_missing_empty_huge_and_unknown_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ImageError, match=r"cannot read the sketch .*none\.png: there is no such file"):
        read_sketch(tmp_path / "none.png")
    with pytest.raises(ImageError, match="cannot read the sketch"):
        read_sketch(tmp_path)
    with pytest.raises(ImageError, match="is empty"):
        read_sketch(tmp_path / "empty.png")
    with pytest.raises(ImageError, match="not a picture in a known format"):
        read_sketch(tmp_path / "text.png")
    monkeypatch.setattr("sketchfusion.sketches.MAX_BYTES", 3)
    with pytest.raises(ImageError, match="more than the 3 allowed"):
        read_sketch(tmp_path / "text.png")


def test_a_sketch_has_a_limit_of_pixels_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.new("L", (30, 20), 255)
    ImageDraw.Draw(image).line([(2, 2), (28, 18)], fill=0)
    image.save(tmp_path / "sketch.png")
    monkeypatch.setattr("sketchfusion.sketches.MAX_PIXELS", 600)
    assert read_sketch(tmp_path / "sketch.png").size == (30, 20)
    monkeypatch.setattr("sketchfusion.sketches.MAX_PIXELS", 599)
    for source in (tmp_path / "sketch.png", (tmp_path / "sketch.png").read_bytes()):
        with pytest.raises(ImageError, match=r"has 30 x 20 pixels, more than the limit of 599; scale it down"):
            read_sketch(source)


def test_a_photo_of_a_sketch_is_turned_upright(tmp_path: Path) -> None:
    image = Image.new("L", (60, 40), 255)
    ImageDraw.Draw(image).line([(5, 5), (55, 5)], fill=0, width=3)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_sketch(tmp_path / "turned.jpg").size == (40, 60)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=5), min_size=1,
                max_size=4))
def test_any_drawing_shows_ink_inside_the_paper(strokes: list[list[tuple[float, float]]]) -> None:
    image = render(drawing(*strokes), 48)
    levels = np.asarray(image)
    assert levels.min() < 200
    assert (levels[0] == 255).all()
    assert (levels[:, -1] == 255).all()


def test_sketches_are_read_from_bytes_of_a_picture() -> None:
    image = Image.new("L", (30, 20), 255)
    ImageDraw.Draw(image).line([(2, 2), (28, 18)], fill=0)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    assert read_sketch(stream.getvalue()).size == (30, 20)
