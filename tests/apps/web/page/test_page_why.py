"""Why a photo was found: its region and threshold, its points, and both as files."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

SIDE = 96  # of the photos
PAPER = 1024
COUNT_VEILED = """node => {
  const { data } = node.getContext("2d").getImageData(0, 0, node.width, node.height);
  let veiled = 0;
  for (let index = 3; index < data.length; index += 4) veiled += data[index] > 100;
  return veiled / (data.length / 4);
}"""


@pytest.fixture
def why(desk: Any) -> Any:
    """The desk with the reasons of the first photo open; edges are not followed."""
    desk.page.locator(".example").first.click()
    desk.expect(desk.page.locator(".card").first).to_be_visible()
    desk.rest()
    desk.why()
    desk.page.uncheck("#refined")
    return desk


def mask_of(desk: Any) -> np.ndarray[Any, Any]:
    """The mask as its PNG has it: (H, W) bool."""
    name, content = desk.downloaded(lambda: desk.page.click("#mask-png"))
    assert name.endswith("-mask.png")
    pixels = np.asarray(Image.open(io.BytesIO(content)))
    assert set(np.unique(pixels)) <= {0, 255}
    return pixels > 0


def test_the_threshold_makes_the_region_smaller_on_the_photo_and_in_the_file(why: Any) -> None:
    page = why.page
    low, high = (float(page.locator("#threshold").get_attribute(end)) for end in ("min", "max"))
    veiled, marked = [], []
    for share in (0.1, 0.5, 0.9):
        why.slide("threshold", low + share * (high - low))
        why.expect(page.locator("#threshold-value")).to_have_text(f"{low + share * (high - low):.3f}")
        veiled.append(page.locator("#mask").evaluate(COUNT_VEILED))
        marked.append(mask_of(why).mean())
    assert veiled == sorted(veiled)
    assert veiled[0] < veiled[-1] - 0.1
    assert marked == sorted(marked, reverse=True)
    assert veiled[1] == pytest.approx(1 - marked[1], abs=0.08)
    page.uncheck("#show-region")
    why.expect(page.locator("#mask")).to_be_hidden()


def test_following_edges_changes_the_region_that_is_shown(why: Any) -> None:
    plain = why.page.locator("#mask").evaluate("node => node.toDataURL()")
    with why.page.expect_response(lambda each: "/mask?" in each.url and "refined=true" in each.url) as found:
        why.page.check("#refined")
    assert found.value.status == 200
    for _ in range(200):
        if why.page.locator("#mask").evaluate("node => node.toDataURL()") != plain:
            return
        why.page.wait_for_timeout(50)
    raise AssertionError("the mask stays as it was")


def test_the_mask_as_png_and_coco_is_the_same(why: Any) -> None:
    mask = mask_of(why)
    assert mask.shape == (SIDE, SIDE)
    name, content = why.downloaded(lambda: why.page.click("#mask-coco"))
    assert name.endswith("-coco.json")
    document = json.loads(content)
    (image,), (annotation,) = document["images"], document["annotations"]
    assert (image["width"], image["height"]) == (SIDE, SIDE)
    assert image["file_name"] == why.page.locator("#why-title").inner_text()
    runs = annotation["segmentation"]["counts"]
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    assert np.array_equal(mask, flat.reshape(SIDE, SIDE).T)
    assert annotation["area"] == mask.sum()


def test_the_points_as_json_and_csv_are_those_linked(why: Any) -> None:
    name, content = why.downloaded(lambda: why.page.click("#points-json"))
    assert name.endswith("-points.json")
    document = json.loads(content)
    points = document["points"]
    assert len(points) == why.page.locator("#links line").count() == 12
    assert (document["width"], document["height"]) == (SIDE, SIDE)
    name, content = why.downloaded(lambda: why.page.click("#points-csv"))
    assert name.endswith("-points.csv")
    head, *rows = csv.reader(io.StringIO(content.decode()))
    assert head == ["sketch_x", "sketch_y", "photo_x", "photo_y", "score"]
    assert [[float(value) for value in row] for row in rows] == [
        [*point["query"], *point["found"], point["score"]] for point in points]
    assert all(0 <= value <= SIDE for point in points for value in point["found"])
    assert all(-1 <= point["score"] <= 1 for point in points)
    why.shut()
    paper = Image.open(io.BytesIO(why.saved("png"))).convert("L")
    for point in points:  # each lies on ink of the sketch that is saved
        x, y = (round(value) for value in point["query"])
        assert paper.crop((x - 9, y - 9, x + 10, y + 10)).getextrema()[0] < 128


def test_a_point_is_hovered_and_pinned(why: Any) -> None:
    page, expect = why.page, why.expect
    dot = page.locator("#links g").first.locator("circle").first
    box = dot.bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    expect(page.locator("#links line.near")).to_have_count(1)
    expect(page.locator("#point-note")).to_contain_text("down the photo, score 0.")
    page.mouse.click(*middle)
    expect(page.locator("#unpin")).to_be_visible()
    page.locator("#why-title").hover()
    expect(page.locator("#links line.pinned")).to_have_count(1)
    expect(page.locator("#links line.plain")).to_have_count(0)
    _, content = why.downloaded(lambda: page.click("#points-json"))
    assert len(json.loads(content)["points"]) == 1
    page.click("#unpin")
    expect(page.locator("#links line")).to_have_count(12)
    page.uncheck("#show-points")
    expect(page.locator("#links line")).to_have_count(0)


def test_points_are_pinned_with_the_keyboard(why: Any) -> None:
    page, expect = why.page, why.expect
    page.locator("#sketch-picture").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator("#why-close").focus()
    expect(page.locator("#links line.pinned")).to_have_count(2)


def test_the_next_photo_and_back_to_the_photos(why: Any) -> None:
    page, expect = why.page, why.expect
    first = page.locator("#why-original").get_attribute("href")
    expect(page.locator("#why-previous")).to_be_disabled()
    page.keyboard.press("PageDown")
    expect(page.locator("#why-original")).not_to_have_attribute("href", first)
    expect(page.locator("#mask-png")).to_be_enabled()
    page.click("#why-previous")
    expect(page.locator("#why-original")).to_have_attribute("href", first)
    page.keyboard.press("Escape")
    expect(page.locator("#why")).to_be_hidden()
    expect(page.locator(".card-open").first).to_be_focused()


def test_more_like_the_photo_that_is_explained(why: Any) -> None:
    why.page.click("#why-similar")
    why.expect(why.page.locator("#why")).to_be_hidden()
    why.expect(why.page.locator("#found-title")).to_have_text("Photos like")


def test_a_photo_whose_reasons_cannot_be_had_says_why(desk: Any) -> None:
    desk.search()
    answer = {"error": {"code": "gone", "message": "the photo is gone; look for changes in My photos"}}
    desk.page.route("**/region?**", lambda route: route.fulfill(status=404, json=answer))
    desk.page.locator(".card-open").first.click()
    desk.expect(desk.page.locator("#why-note")).to_have_text(answer["error"]["message"])
    desk.expect(desk.page.locator("#mask-png")).to_be_disabled()
