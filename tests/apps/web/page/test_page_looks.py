"""How the page looks: nothing sticks out or jumps, fingers hit, screen readers are told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.index.gallery import Gallery

pytestmark = pytest.mark.thorough

STATES = ["blank", "found", "filters", "why", "photos", "gone"]
OUTSIDE = """width => [...document.querySelectorAll("body *")].filter((node) => {
  const box = node.getBoundingClientRect();
  return box.width > 1 && box.right > width + 1
    && !node.closest("[hidden], .sr-only, .crumbs, svg, dialog:not([open])");
}).map((node) => node.outerHTML.slice(0, 90))"""
SMALL = """least => [...document.querySelectorAll(
    "button, a, select, summary, input:not([type=checkbox], [type=radio])")]
  .filter((node) => node.checkVisibility({ visibilityProperty: true })
    && !node.closest(".skip, .sr-only, .crumbs, dialog:not([open]), details:not([open]) > div"))
  .map((node) => [node.getBoundingClientRect(), node])
  .filter(([box]) => box.width > 1 && (box.width < least || box.height < least))
  .map(([box, node]) => `${Math.round(box.width)} x ${Math.round(box.height)}: ${node.outerHTML.slice(0, 90)}`)"""


def states(desk: Any) -> Iterator[str]:
    """Bring the page into each of ``STATES``, and say into which."""
    page, expect = desk.page, desk.expect
    yield "blank"
    desk.search()
    yield "found"
    page.click("#open-filters")
    page.click("#own-labels")
    yield "filters"
    page.click("#open-filters")
    page.click("#own-labels")
    desk.why()
    yield "why"
    desk.shut()
    page.click("#open-photos")
    expect(page.locator(".folder").first).to_be_visible()
    yield "photos"
    desk.shut()
    page.route("**/api/v1/**", lambda route: route.abort())
    desk.draw([(0.2, 0.8), (0.8, 0.8)])
    expect(page.locator("#notice h3")).to_have_text("The server does not answer")
    yield "gone"


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_nothing_sticks_out(open_page: Callable[..., Any], at_desk: Any, server: Any, width: int) -> None:
    desk = at_desk(open_page(server.address, width=width))
    desk.rest()
    for state in states(desk):
        assert desk.page.evaluate("document.documentElement.scrollWidth") <= width, state
        assert desk.page.evaluate(OUTSIDE, width) == [], state


def test_fingers_hit_what_they_mean(open_page: Callable[..., Any], at_desk: Any, server: Any) -> None:
    desk = at_desk(open_page(server.address, width=360, has_touch=True, is_mobile=True))
    desk.rest()
    for state in states(desk):
        assert desk.page.evaluate(SMALL, 39.5) == [], state


def test_text_of_twice_the_size_covers_no_tool(desk: Any) -> None:
    desk.search()
    desk.page.evaluate("document.documentElement.style.fontSize = '32px'")
    right = desk.page.locator("#found-title").bounding_box()["x"]
    for name in ("clear", "tool-eraser", "open"):
        box = desk.page.locator(f"#{name}").bounding_box()
        assert box["x"] + box["width"] <= right, name
    desk.page.locator("#clear").click()


def test_on_a_narrow_page_text_of_twice_the_size_is_neither_cut_nor_broken(open_page: Callable[..., Any], at_desk: Any,
                                                                          server: Any) -> None:
    desk = at_desk(open_page(server.address, width=360))
    desk.rest()
    desk.page.evaluate("document.documentElement.style.fontSize = '32px'")
    skip = desk.page.locator(".skip").bounding_box()
    assert skip["y"] + skip["height"] <= 0
    for name in ("gallery-chip", "guesses", "found-title"):
        node = desk.page.locator(f"#{name}")
        assert node.evaluate("node => node.scrollWidth - node.clientWidth") <= 0, name
        assert node.evaluate("node => node.scrollHeight - node.clientHeight") <= 0, name
    assert desk.page.locator("#found-title").evaluate(
        "node => Math.round(node.offsetHeight / parseFloat(getComputedStyle(node).lineHeight))") == 1
    assert desk.page.evaluate(OUTSIDE, 360) == []


def test_the_names_are_in_sight_in_a_low_window(desk: Any) -> None:
    desk.page.set_viewport_size({"width": 1366, "height": 620})
    desk.search()
    last = desk.page.locator("#guesses li").last
    desk.expect(last).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(open_page: Callable[..., Any], at_desk: Any, server: Any, scheme: str) -> None:
    """axe-core finds nothing serious in any state."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is in extra dev")
    desk = at_desk(open_page(server.address, color_scheme=scheme, reduced_motion="reduce"))
    desk.rest()
    for state in states(desk):
        found = axe.Axe().run(desk.page).response["violations"]
        grave = [f"{item['id']}: {[node['html'] for node in item['nodes']][:3]}" for item in found
                 if item["impact"] in ("serious", "critical")]
        assert grave == [], state


def test_the_focus_can_be_seen_on_all_that_the_tab_key_reaches(desk: Any) -> None:
    desk.search()
    desk.page.reload()  # the tab key begins at the top
    desk.rest()
    seen = set()
    for _ in range(30):
        desk.page.keyboard.press("Tab")
        name, ring = desk.page.evaluate("""() => {
          const node = document.activeElement;
          const outlined = node.id === "paper" ? node.parentElement : node;
          return [node.id || node.className, getComputedStyle(outlined).outlineStyle];
        }""")
        assert ring != "none", name
        seen.add(name)
    assert {"open-photos", "tool-eraser", "paper", "open", "own-labels", "cutoff", "open-filters", "card-open"} <= seen


@pytest.mark.parametrize("width", [360, 1440])
def test_drawing_moves_nothing_even_if_the_model_names_nothing(
        open_page: Callable[..., Any], at_desk: Any, make_server: Callable[..., Any], tiny_model: SketchFusion,
        tmp_path: Path, pictures: list[Image.Image], width: int) -> None:
    (tmp_path / "photos").mkdir()
    for index, picture in enumerate(pictures[:3]):
        picture.save(tmp_path / "photos" / f"{index}.png")
    Gallery.create(tmp_path / "gallery", tiny_model).update([tmp_path / "photos"], tiny_model)
    server = make_server(tmp_path, tiny_model, (tmp_path / "gallery",))
    desk = at_desk(open_page(server.address, width=width))
    desk.rest()

    def places() -> list[Any]:
        names = ("#paper", "#names-title", "#found-title", "#sort-score")
        return [desk.page.locator(name).bounding_box() for name in names]

    before = places()
    desk.search()
    desk.expect(desk.page.locator("#guesses")).to_contain_text("This model has learned no names")
    assert places() == before
    desk.page.click("#clear")
    desk.expect(desk.page.locator("#guesses")).to_contain_text("Names for the drawing appear here")
    assert places() == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_forced_colours_ink_is_dark_on_white_paper(open_page: Callable[..., Any], at_desk: Any, server: Any,
                                                      scheme: str) -> None:
    desk = at_desk(open_page(server.address, color_scheme=scheme, forced_colors="active"))
    desk.search()
    style = "(node, what) => getComputedStyle(node)[what]"
    colour = desk.page.locator("#paper-frame").evaluate(style, "backgroundColor")
    assert min(int(level) for level in re.findall(r"\d+", colour)) > 230
    assert desk.page.locator("#paper-frame").evaluate(style, "borderTopWidth") == "1px"
