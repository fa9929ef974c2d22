"""The page's paper: pen, eraser, stylus, keyboard, undo."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

pytestmark = pytest.mark.thorough

PAPER = 1024
LINE = [(0.1, 0.5), (0.9, 0.5)]


def dark(image: Image.Image) -> int:
    """How many pixels have ink."""
    return sum(image.histogram()[:128])


def test_the_eraser_cuts_a_stroke_in_two(desk: Any) -> None:
    desk.draw(LINE)
    assert len(desk.strokes()) == 1
    desk.page.click("#tool-eraser")
    desk.draw([(0.5, 0.3), (0.5, 0.7)])
    left, right = desk.strokes()
    assert left["points"][0][0] == pytest.approx(0.1 * PAPER, abs=3)
    assert right["points"][-1][0] == pytest.approx(0.9 * PAPER, abs=3)
    gap = right["points"][0][0] - left["points"][-1][0]
    assert 40 < gap < 120
    middle = desk.ink().crop((PAPER // 2 - 10, 0, PAPER // 2 + 10, PAPER))
    assert middle.getextrema() == (255, 255)


def test_undo_redo_and_clear(desk: Any) -> None:
    page, expect = desk.page, desk.expect
    desk.search()
    page.click("#undo")
    expect(page.locator("#notice h3")).to_have_text("Your photos appear here while you draw")
    expect(page.locator(".card")).to_have_count(0)
    expect(page.locator("#undo")).to_be_disabled()
    page.click("#redo")
    expect(page.locator(".card").first).to_be_visible()
    expect(page.locator("#redo")).to_be_disabled()
    page.click("#clear")
    expect(page.locator("#clear")).to_be_disabled()
    page.keyboard.press("Control+z")
    expect(page.locator(".card").first).to_be_visible()
    page.keyboard.press("Control+Shift+Z")
    expect(page.locator("#clear")).to_be_disabled()


def test_control_and_z_undoes_whatever_letters_the_keyboard_writes(desk: Any) -> None:
    desk.draw()
    desk.page.evaluate("""() => document.body.dispatchEvent(new KeyboardEvent("keydown", {
      key: "я", code: "KeyZ", ctrlKey: true, bubbles: true, cancelable: true }))""")
    desk.expect(desk.page.locator("#undo")).to_be_disabled()
    desk.expect(desk.page.locator("#redo")).to_be_enabled()


def test_the_brush_sets_the_width(desk: Any) -> None:
    heights = []
    for size in (6, 42):
        desk.slide("brush", size)
        desk.draw(LINE)
        assert desk.strokes()[-1]["width"] == size
        column = desk.ink().crop((PAPER // 2, 0, PAPER // 2 + 1, PAPER))
        heights.append(dark(column))
        desk.page.click("#clear")
    assert heights[0] == pytest.approx(6, abs=2)
    assert heights[1] == pytest.approx(42, abs=2)


def pointer(desk: Any, kind: str, x: float, y: float, **options: Any) -> None:
    """An event of a stylus or a finger at a place of the paper."""
    desk.page.locator("#paper").evaluate(
        """(node, [kind, x, y, options]) => {
          const box = node.getBoundingClientRect();
          node.setPointerCapture = () => {};
          node.dispatchEvent(new PointerEvent(kind, { bubbles: true, cancelable: true, isPrimary: true,
            clientX: box.left + x * box.width, clientY: box.top + y * box.height, ...options }));
        }""", [kind, x, y, options])


def test_a_stylus_draws_with_its_pressure(desk: Any) -> None:
    pen = {"pointerType": "pen", "pointerId": 7, "buttons": 1}
    pointer(desk, "pointerdown", 0.1, 0.5, pressure=0.1, **pen)
    for step in range(1, 9):
        pointer(desk, "pointermove", 0.1 + step / 10, 0.5, pressure=0.1 + step / 10, **pen)
    pointer(desk, "pointerup", 0.9, 0.5, **pen)
    (stroke,) = desk.strokes()
    assert [point[2] for point in stroke["points"]] == pytest.approx([0.1 + step / 10 for step in range(9)], abs=0.01)
    picture = desk.ink()
    thin, thick = (dark(picture.crop((x, 0, x + 1, PAPER)))
                   for x in (PAPER * 15 // 100, PAPER * 85 // 100))
    assert thick > 1.8 * thin


def test_the_hand_that_holds_a_stylus_does_not_draw(desk: Any) -> None:
    hand, pen = {"pointerType": "touch", "pointerId": 3}, {"pointerType": "pen", "pointerId": 7, "pressure": 0.5}
    pointer(desk, "pointerdown", 0.8, 0.9, **hand)
    pointer(desk, "pointermove", 0.85, 0.95, **hand)
    pointer(desk, "pointerdown", 0.2, 0.2, **pen)
    pointer(desk, "pointermove", 0.4, 0.2, **pen)
    pointer(desk, "pointermove", 0.9, 0.9, **hand)
    pointer(desk, "pointerup", 0.4, 0.2, **pen)
    pointer(desk, "pointerdown", 0.7, 0.7, **{**hand, "pointerId": 4})
    (stroke,) = desk.strokes()
    assert max(y for _, y, _ in stroke["points"]) < 0.3 * PAPER


def test_a_finger_draws_on_the_paper_and_scrolls_beside_it(open_page: Any, at_desk: Any, server: Any) -> None:
    desk = at_desk(open_page(server.address, width=360, has_touch=True, is_mobile=True))
    desk.rest()
    desk.page.locator("#paper").tap(position={"x": 100, "y": 100})
    assert len(desk.strokes()) == 1
    assert desk.page.locator("#paper").evaluate("node => getComputedStyle(node).touchAction") == "none"
    assert desk.page.evaluate("getComputedStyle(document.body).touchAction") == "auto"


def test_the_keyboard_alone_draws_erases_and_finds(desk: Any) -> None:
    page, expect = desk.page, desk.expect
    page.locator("#paper").focus()
    page.keyboard.press("Space")
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowDown"):
        for _ in range(5):
            page.keyboard.press(key)
    page.keyboard.press("Escape")
    desk.rest()
    expect(page.locator(".card").first).to_be_visible()
    middle, step = PAPER / 2, 5 * 24
    assert desk.strokes()[0]["points"][0] == [middle, middle]
    assert desk.strokes()[0]["points"][-1] == [middle, middle + 2 * step]
    page.locator("#paper").focus()
    page.keyboard.press("e")
    expect(page.locator("#tool-eraser")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Space")
    page.keyboard.press("Space")
    assert desk.strokes()[0]["points"][-1][1] < middle + 2 * step
    page.locator("#paper").focus()
    page.keyboard.press("Delete")
    expect(page.locator("#clear")).to_be_disabled()


def along(desk: Any, *keys: str) -> list[list[Any]]:
    """Press keys on the paper; where the strokes then are."""
    desk.page.locator("#paper").focus()
    for key in keys:
        desk.page.keyboard.press(key)
    return desk.places()


@pytest.mark.parametrize(("key", "left"), [("Delete", 0), ("Control+z", 1), ("Control+y", 2)])
def test_clear_undo_and_redo_in_the_middle_of_a_stroke_of_the_keyboard_lift_its_pen(desk: Any, key: str,
                                                                                   left: int) -> None:
    first = along(desk, "Space", "ArrowUp", "ArrowUp", "Space")
    assert len(first) == 1
    pen = ("Space", "ArrowRight", "ArrowRight", key, "ArrowDown", "ArrowDown")
    after = along(desk, *pen, "Space", "Space")  # after the key it only moves; then it makes a dot
    assert len(after) == left + 1
    assert after[:min(left, 1)] == first[:min(left, 1)]
    assert len(after[-1]) == 1


def test_what_was_undone_in_the_middle_of_a_stroke_can_be_done_again(desk: Any) -> None:
    along(desk, "Space", "ArrowUp", "ArrowUp", "Space")
    desk.page.locator("#paper").focus()
    for press in ("Space", "ArrowRight", "ArrowRight", "Control+z", "Control+Shift+Z"):
        desk.page.keyboard.press(press)
    assert [len(points) for points in desk.places()] == [3, 3]


@pytest.mark.parametrize("act", ["Control+z", "paste", "#clear"])
def test_undo_paste_and_clear_in_the_middle_of_a_stroke_of_the_mouse_lift_it(desk: Any, act: str, ring: bytes) -> None:
    page = desk.page
    desk.draw(LINE)
    first = desk.places()
    box = page.locator("#paper").bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 50, steps=4)
    if act == "paste":
        desk.listen()
        desk.bring("paste", ring)
        desk.hears("Opened")
    elif act == "#clear":
        page.locator(act).evaluate("node => node.click()")
    else:
        page.keyboard.press(act)
    page.mouse.move(box["x"] + 150, box["y"] + 250, steps=4)
    page.mouse.up()
    if act == "paste":
        assert desk.has_ring()
    else:
        assert desk.places() == (first if act == "Control+z" else [])
    desk.draw(LINE)  # the next stroke is one as any other
    assert len(desk.places()) == {"Control+z": 2}.get(act, 1)


def test_a_mouse_that_passes_leaves_the_pen_of_the_keyboard_down(desk: Any) -> None:
    page = desk.page
    box = page.locator("#paper").bounding_box()
    page.locator("#paper").focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.move(box["x"] - 50, box["y"] + 50)
    assert [len(points) for points in along(desk, "ArrowRight", "Space")] == [3]
    page.keyboard.press("Control+z")
    assert desk.places() == []


def test_an_eraser_that_meets_nothing_leaves_nothing_to_undo(desk: Any) -> None:
    desk.draw(LINE)
    desk.page.click("#tool-eraser")
    desk.draw([(0.2, 0.1), (0.8, 0.1)])
    desk.page.keyboard.press("Control+z")
    assert desk.places() == []


def test_tools_that_switch_themselves_off_keep_the_focus(desk: Any) -> None:
    page, expect = desk.page, desk.expect
    desk.draw(LINE)
    for tool in ("#clear", "#undo", "#undo", "#redo", "#redo"):
        page.locator(tool).focus()
        page.keyboard.press("Enter")
        expect(page.locator(tool)).to_be_focused()
    for tool in ("#redo", "#clear"):
        expect(page.locator(tool)).to_be_disabled()
    page.keyboard.press("Enter")  # does nothing
    assert desk.places() == []
