"""The page's paper as files: opened, pasted, dropped, saved; and what a tab keeps."""

from __future__ import annotations

import io
import json
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageOps

from sketchfusion.svg import render_svg

pytestmark = pytest.mark.thorough

PAPER = 1024
SVG = "{http://www.w3.org/2000/svg}"
LINE = [(0.1, 0.5), (0.9, 0.5)]


def test_of_two_files_the_one_opened_last_stays(desk: Any) -> None:
    """However long the first one takes to be read."""
    desk.page.evaluate("""() => {
      const { text } = File.prototype;
      File.prototype.text = async function () {
        if (this.name === "slow.json") await new Promise((done) => { window.readOn = done; });
        return text.call(this);
      };
    }""")
    desk.listen()
    for name, x in (("slow.json", 10), ("quick.json", 90)):
        content = json.dumps({"width": 100, "height": 100, "strokes": [{"points": [[x, 10], [x, 90]]}]})
        desk.give(name, content.encode())
    desk.hears("Opened quick.json")
    desk.page.evaluate("readOn()")
    desk.rest()
    assert [points[0][0] for points in desk.places()] == [round(0.9 * PAPER)]


def test_an_svg_opens_as_the_strokes_it_was_saved_from(desk: Any) -> None:
    desk.draw()
    desk.slide("brush", 30)
    desk.draw(LINE)
    before = desk.strokes()
    saved = desk.saved("svg")
    desk.page.click("#clear")
    desk.give("sketch.svg", saved)
    desk.expect(desk.page.locator("#clear")).to_be_enabled()
    after = desk.strokes()
    assert [stroke["width"] for stroke in after] == [16, 30]
    for old, new in zip(before, after, strict=True):
        assert new["points"] == [pytest.approx(point, abs=0.11) for point in old["points"]]


def test_an_svg_keeps_the_picture_under_the_strokes(desk: Any, ring: bytes) -> None:
    """Strokes stay strokes and the picture stays where it was; what is searched for is the same to the pixel."""
    page = desk.page
    desk.give("ring.png", ring)
    desk.expect(page.locator(".card").first).to_be_visible()
    desk.draw(LINE)
    desk.rest()
    before, hits = desk.ink(), desk.cards()
    saved = desk.saved("svg")
    page.click("#clear")
    desk.expect(page.locator(".card")).to_have_count(0)
    desk.give("sketch.svg", saved)
    desk.expect(page.locator(".card").first).to_be_visible()
    desk.rest()
    assert len(desk.strokes()) == 1
    assert np.abs(np.asarray(desk.ink(), float) - np.asarray(before, float)).mean() < 0.2
    assert desk.cards() == hits
    page.click("#undo")
    desk.give("again.svg", saved.replace(b"data:image/png;base64,", b"https://elsewhere.example/"))
    desk.expect(page.locator(".card").first).to_be_visible()  # and asks nobody else, see ``open_page``


def test_a_saved_svg_is_as_large_in_other_programs_as_its_png(desk: Any) -> None:
    desk.draw(LINE)
    root = ElementTree.fromstring(desk.saved("svg"))
    assert [root.get(name) for name in ("width", "height", "viewBox")] == ["1024", "1024", "0 0 1024 1024"]


def test_json_holds_strokes_alone_and_the_page_says_so(desk: Any, ring: bytes) -> None:
    page, note = desk.page, desk.page.locator("#desk-note")
    desk.give("ring.png", ring)
    desk.expect(page.locator("#clear")).to_be_enabled()
    page.locator("#save-menu summary").click()
    page.click("[data-save=json]")
    desk.expect(note).to_have_text("There are no strokes to save, only a picture; save it as SVG or PNG.")
    desk.draw(LINE)
    assert len(desk.strokes()) == 1
    desk.expect(note).to_have_text("The strokes were saved without the picture under them; an SVG keeps both.")
    desk.saved("png")
    desk.expect(note).to_be_hidden()


LINES = '<g fill="none" stroke="#000"><polyline points="10,10 90,10 50,80"/></g>'
ARC = '<path d="M10 50 A40 40 0 0 1 90 50" fill="none" stroke="black"/>'
STYLED = '<path d="M10 10 L90 90" style="fill:none;stroke:#000;stroke-width:6"/>'
FILLED = '<path d="M10 10 L90 10 L90 90 L10 90"/>'


@pytest.mark.parametrize(("drawn", "width"), [
    (LINES, 1), (LINES.replace("<g ", '<g stroke-width="3" '), 3), (LINES.replace("#000", "#eee"), None),
    (LINES.replace("<g ", '<g transform="scale(0.5)" '), None), (LINES.replace("<g ", '<g stroke-width="50" '), None),
    (LINES.replace("<poly", '<rect width="9" height="9"/><poly'), None),
    (ARC, None), (STYLED, None), (FILLED, None), (LINES.replace("10,10 90", " " * 100_000 + "10,10 90"), 1),
    (f'<svg x="50" y="50" width="50" height="50" viewBox="0 0 100 100">{LINES}</svg>', None)], ids=[
        "thin", "broad", "pale", "moved", "too broad", "a shape", "an arc", "styled", "filled", "spaces", "nested"])
def test_an_svg_of_black_lines_opens_as_strokes_and_any_other_as_it_looks(desk: Any, drawn: str,
                                                                         width: float | None) -> None:
    """Widths are those of the file, one unit where it has none. What looks like more than lines is a picture."""
    said: list[str] = []
    desk.page.on("console", lambda message: said.append(message.text))
    content = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{drawn}</svg>'.encode()
    desk.give("foreign.svg", content)
    desk.expect(desk.page.locator(".card").first).to_be_visible()
    saved = ElementTree.fromstring(desk.saved("svg"))
    widths = [float(node.get("stroke-width", "nan")) for node in saved.iter(f"{SVG}path")]
    assert widths == ([pytest.approx(width * PAPER / 100, abs=0.06)] if width else [])
    assert (saved.find(f".//{SVG}image") is None) == bool(width)
    drawing = render_svg(content, side=PAPER)
    wanted = np.asarray(Image.alpha_composite(Image.new("RGBA", drawing.size, "white"), drawing).convert("L"), float)
    assert np.abs(np.asarray(desk.ink(), float) - wanted).mean() < 2.5
    assert said == []  # such as that the policy was violated


def test_a_small_svg_is_drawn_as_large_as_the_paper(desk: Any) -> None:
    icon = ('<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24" viewBox="0 0 24 24" fill="none" '
            'stroke="currentColor" stroke-width="2"><circle cx="12" cy="12" r="9"/></svg>')
    desk.give("icon.svg", icon.encode())
    desk.expect(desk.page.locator(".card").first).to_be_visible()
    grey = np.asarray(desk.ink())
    assert ((grey > 30) & (grey < 225)).mean() < 0.02  # edges are sharp
    assert grey[PAPER // 2, round(PAPER * 3 / 24)] < 30


def test_a_png_is_as_large_as_the_paper(desk: Any) -> None:
    desk.draw(LINE)
    picture = desk.ink()
    assert picture.size == (PAPER, PAPER)
    assert picture.getpixel((PAPER // 2, PAPER // 2)) == 0
    assert picture.getpixel((PAPER // 2, PAPER // 4)) == 255


def test_a_picture_is_uploaded(desk: Any, ring: bytes) -> None:
    desk.give("ring.png", ring)
    desk.expect(desk.page.locator(".card").first).to_be_visible()
    assert desk.has_ring()


def test_a_blackboard_is_opened_as_ink_on_white_paper(desk: Any, ring: bytes) -> None:
    with Image.open(io.BytesIO(ring)) as white:
        board = io.BytesIO()
        ImageOps.invert(white.convert("RGB")).save(board, "PNG")
    desk.give("board.png", board.getvalue())
    desk.expect(desk.page.locator(".card").first).to_be_visible()
    assert desk.has_ring()


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_a_picture_is_pasted_or_dropped(desk: Any, way: str, ring: bytes) -> None:
    assert desk.bring(way, ring)
    desk.expect(desk.page.locator(".card").first).to_be_visible()
    assert desk.has_ring()


def test_a_file_that_is_no_picture_is_refused_with_a_reason(desk: Any) -> None:
    desk.give("notes.json", b"[1, 2]")
    note = desk.page.locator("#desk-note")
    desk.expect(note).to_contain_text("Cannot open notes.json: it holds no strokes.")
    desk.expect(desk.page.locator("#clear")).to_be_disabled()


def test_the_drawing_is_there_at_the_next_visit(desk: Any) -> None:
    desk.search()
    before = desk.strokes()
    desk.page.reload()
    desk.expect(desk.page.locator(".card").first).to_be_visible()
    assert desk.strokes() == before


def test_each_tab_keeps_its_own_drawing_and_gallery(desk: Any, at_desk: Any, server: Any) -> None:
    """A new one begins with those kept last; none changes another's."""
    desk.search()
    before = desk.strokes()
    other = at_desk(desk.page.context.new_page())
    other.page.goto(server.address)
    other.rest()
    assert other.strokes() == before
    other.draw(LINE)
    other.page.click("#open-photos")
    other.page.locator(".gallery", has_text="nothing yet").click()
    other.expect(other.page.locator("#gallery-chip")).to_have_text("nothing yet · 0")
    for tab, count, chip in ((desk, 1, "gallery · 36"), (other, 2, "nothing yet · 0")):
        tab.page.reload()
        tab.expect(tab.page.locator("#gallery-chip")).to_have_text(chip)
        assert len(tab.strokes()) == count


def test_what_was_drawn_in_the_last_moment_is_kept(desk: Any) -> None:
    desk.draw(LINE)
    desk.page.reload()
    desk.expect(desk.page.locator(".card").first).to_be_visible()
    assert len(desk.strokes()) == 1


def test_a_drawing_too_large_to_keep_leaves_no_older_one(desk: Any) -> None:
    desk.search()
    desk.page.wait_for_function("() => Object.keys(sessionStorage).length > 0")
    desk.page.evaluate("""() => {
      Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); };
    }""")
    desk.draw(LINE)
    desk.page.reload()
    desk.rest()
    desk.expect(desk.page.locator("#clear")).to_be_disabled()


def test_a_stroke_that_is_not_ended_is_kept_too(desk: Any) -> None:
    desk.page.locator("#paper").focus()
    for key in ("Space", "ArrowRight", "ArrowDown"):
        desk.page.keyboard.press(key)
    desk.page.reload()
    desk.expect(desk.page.locator(".card").first).to_be_visible()
    assert [len(points) for points in desk.places()] == [3]


def test_what_was_wrong_with_a_file_is_said_until_something_else_is_drawn(desk: Any) -> None:
    note = desk.page.locator("#desk-note")
    desk.give("notes.json", b"{}")
    desk.expect(note).to_contain_text("Give a PNG, JPEG, WebP or SVG")
    desk.draw(LINE)
    desk.expect(note).to_be_hidden()
    desk.page.route("**/api/v1/**", lambda route: route.abort())
    desk.give("ring.png", b"not looked at")
    desk.expect(note).to_have_text("Cannot open ring.png: The server does not answer. Start it again with "
                                   "“sketchfusion serve”.")
