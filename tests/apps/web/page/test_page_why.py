"""Why a photo was found: its region and threshold, its points, and both as files."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.thorough

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


def has_ink(paper: Image.Image, x: float, y: float) -> bool:
    """Whether there is ink within nine pixels of a place of a grey picture."""
    left, top = round(x) - 9, round(y) - 9
    return bool(np.asarray(paper)[max(top, 0):top + 19, max(left, 0):left + 19].min() < 128)


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
        assert has_ink(paper, *point["query"])


def test_a_point_is_hovered_and_pinned(why: Any) -> None:
    page, expect = why.page, why.expect
    dot = page.locator("#links g").first.locator("circle").first
    box = dot.bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    expect(page.locator("#links line.near")).to_have_count(1)
    expect(page.locator("#point-note")).to_contain_text("down the photo, score 0.")
    page.mouse.down()
    page.mouse.move(middle[0] + 5, middle[1] + 3, steps=2)  # a hand is not quite still
    page.mouse.up()
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
    name = why.page.locator("#why-title").inner_text()
    why.page.click("#why-similar")
    why.expect(why.page.locator("#why")).to_be_hidden()
    why.expect(why.page.locator("#found-title")).to_have_text("Photos like")
    why.expect(why.page.locator("#similar-name")).to_have_text(name)
    why.rest()
    why.expect(why.page.locator("#found")).to_be_focused()


def shown(desk: Any) -> str:
    """The id of the photo that is explained."""
    return str(desk.page.locator("#why-original").get_attribute("href")).split("/")[-2]


def gives_files_of(desk: Any, photo: str, name: str) -> None:
    """Check that the dialog is about a photo of a name, and so are its files."""
    asked = desk.asked("/mask\\?.*format=coco")
    assert shown(desk) == photo
    file, content = desk.downloaded(lambda: desk.page.click("#mask-coco"))
    assert json.loads(content)["images"][0]["file_name"] == name
    assert [each.url.split("/")[-2] for each in asked] == [photo]
    assert file == f"{name.removesuffix('.png')}-coco.json"
    file, _ = desk.downloaded(lambda: desk.page.click("#points-csv"))
    assert file == f"{name.removesuffix('.png')}-points.csv"


def test_what_is_found_meanwhile_changes_nothing_in_the_dialog(desk: Any) -> None:
    """A newer answer, with the photos the other way round, arrives while one of the last answer is explained."""
    page = desk.page
    desk.search()
    before = desk.cards()
    searches = desk.hold(r"/search\?")
    desk.draw([(0.1, 0.5), (0.9, 0.5)])
    desk.until(lambda: searches)
    desk.why()
    photo, name = shown(desk), page.locator("#why-title").inner_text()
    answer = searches[0].fetch().json()
    searches[0].fulfill(json={**answer, "hits": answer["hits"][::-1]})
    desk.rest()
    assert desk.cards()[0] != before[0] == photo
    gives_files_of(desk, photo, name)
    page.keyboard.press("PageDown")  # to the next one of the photos that it was opened from
    assert shown(desk) == before[1]
    page.keyboard.press("PageUp")
    similar = desk.asked(r"/similar\?")
    page.click("#why-similar")
    desk.rest()
    assert f"photo={photo}&" in similar[0].url
    desk.expect(page.locator("#similar-name")).to_have_text(name)
    desk.expect(page.locator("#found")).to_be_focused()


def test_closed_the_dialog_goes_back_to_its_photo_wherever_that_is_now(desk: Any) -> None:
    desk.search()
    photo = desk.cards()[0]
    searches = desk.hold(r"/search\?")
    desk.draw([(0.1, 0.5), (0.9, 0.5)])
    desk.until(lambda: searches)
    desk.why()
    answer = searches[0].fetch().json()
    hits = [hit for hit in answer["hits"] if hit["id"] != photo]
    known = next(hit for hit in answer["hits"] if hit["id"] == photo)
    searches[0].fulfill(json={**answer, "hits": [*hits[:5], known, *hits[5:]]})
    desk.rest()
    desk.shut()
    desk.expect(desk.page.locator(".card-open").nth(5)).to_be_focused()


def test_another_gallery_is_chosen_meanwhile(desk: Any, server: Any) -> None:
    """A folder has been indexed; its gallery is shown at once, under the dialog."""
    page, expect = desk.page, desk.expect
    desk.search()
    page.click("#open-photos")
    page.locator(".folder", has_text=re.compile("^key$")).click()
    expect(page.locator("#new-name")).to_have_value("key")
    with server.held():
        page.click("#index-folder")
        expect(page.locator(".job h3")).to_have_text("Indexing “key”")
        desk.shut()
        page.locator(".card-open").first.click()
        photo, name = shown(desk), page.locator("#why-title").inner_text()
    expect(page.locator("#gallery-chip")).to_have_text("key · 12")
    expect(page.locator(".card")).to_have_count(12)
    expect(page.locator("#points-csv")).to_be_enabled()
    expect(page.locator("#mask-coco")).to_be_enabled()
    gives_files_of(desk, photo, name)
    page.click("#why-similar")
    expect(page.locator("#gallery-chip")).to_have_text("gallery · 36")
    expect(page.locator("#similar-name")).to_have_text(name)
    expect(page.locator("#found-count")).to_have_text("35 photos")


def test_another_drawing_opened_meanwhile_leaves_the_points_on_the_ink_they_are_of(why: Any) -> None:
    """A file that is slow to read reaches the paper when the dialog is open already."""
    page = why.page
    why.shut()
    paper = Image.open(io.BytesIO(why.saved("png"))).convert("L")
    page.evaluate("""() => {
      const { text } = File.prototype;
      File.prototype.text = async function () {
        await new Promise((done) => { window.readOn = done; });
        return text.call(this);
      };
    }""")
    line = {"width": 100, "height": 100, "strokes": [{"points": [[2, 98], [98, 98]]}]}
    page.set_input_files("#file", {"name": "line.json", "mimeType": "application/json",
                                   "buffer": json.dumps(line).encode()})
    regions = why.asked(r"/region\?")
    why.why()
    with page.expect_response(re.compile(r"/search\?")):
        page.evaluate("readOn()")
    _, content = why.downloaded(lambda: page.click("#points-json"))
    for point in json.loads(content)["points"]:
        assert has_ink(paper, *point["query"])
    masks = why.asked(r"/mask\?")
    mask_of(why)
    page.keyboard.press("PageDown")
    why.until(lambda: len(regions) == 2)
    assert len({re.findall("sketch=([^&]+)", each.url)[0] for each in [*masks, *regions]}) == 1


def test_a_file_dropped_on_the_dialog_is_not_taken(why: Any) -> None:
    before = why.page.locator("#why-sketch").get_attribute("src")
    assert why.bring("drop", b"\x89PNG no picture")  # else the browser would leave the page for it
    why.shut()
    why.expect(why.page.locator("#desk-note")).to_be_hidden()
    why.why()
    assert why.page.locator("#why-sketch").get_attribute("src") == before


def test_page_keys_leave_the_threshold_and_the_focus_where_they_are(why: Any) -> None:
    page, expect = why.page, why.expect
    slider = page.locator("#threshold")
    slider.focus()
    before = slider.input_value()
    page.keyboard.press("PageUp")  # there is no photo before
    assert slider.input_value() == before
    for control in ("#threshold", "#mask-png", "#points-csv", "#show-region", "#sketch-picture"):
        page.locator(control).focus()
        page.keyboard.press("PageDown")
        expect(page.locator("#mask-png")).to_be_enabled()
        expect(page.locator("#points-csv")).to_be_enabled()
        expect(page.locator(control)).to_be_focused()
    page.locator("#why-title").click()  # now nothing has it
    last = shown(why)
    page.keyboard.press("PageUp")
    assert shown(why) != last


def test_at_the_first_and_the_last_photo_the_buttons_keep_the_focus(desk: Any) -> None:
    page, expect = desk.page, desk.expect
    desk.search()
    desk.slide("cutoff", desk.scores()[1])  # leaves two or three
    desk.rest()
    count = len(desk.cards())
    assert count < 4
    desk.why()
    for button, presses in (("#why-next", count - 1), ("#why-previous", count - 1)):
        page.locator(button).focus()
        for _ in range(presses):
            expect(page.locator(button)).to_be_enabled()
            page.keyboard.press("Enter")
        expect(page.locator(button)).to_be_disabled()
        expect(page.locator(button)).to_be_focused()
        last = shown(desk)
        page.keyboard.press("Enter")
        assert shown(desk) == last


def test_a_threshold_moved_just_before_the_next_photo_asks_nothing_of_that(why: Any) -> None:
    page = why.page
    page.check("#refined")
    why.hold(r"/region\?")  # the next photo has no region yet when the edges of the last would be followed
    with page.expect_request(re.compile(r"/region\?")):
        masks = why.asked(r"/mask\?")
        page.evaluate("""() => {
          const slider = document.querySelector("#threshold");
          slider.dispatchEvent(new Event("input", { bubbles: true }));
          slider.dispatchEvent(new KeyboardEvent("keydown", { key: "PageDown", bubbles: true }));
        }""")
    page.wait_for_timeout(600)
    assert masks == []
    why.expect(page.locator("#why-note")).to_be_hidden()


def test_a_photo_whose_reasons_cannot_be_had_says_why(desk: Any) -> None:
    desk.search()
    answer = {"error": {"code": "gone", "message": "the photo is gone; look for changes in My photos"}}
    desk.page.route("**/region?**", lambda route: route.fulfill(status=404, json=answer))
    desk.page.locator(".card-open").first.click()
    desk.expect(desk.page.locator("#why-note")).to_have_text(answer["error"]["message"])
    desk.expect(desk.page.locator("#mask-png")).to_be_disabled()


def test_among_photos_like_one_the_score_is_said_to_be_the_likeness_to_that(why: Any) -> None:
    """The region and the points stay those of the sketch, and the dialog says so."""
    page, expect = why.page, why.expect
    expect(page.locator("#sketch-caption")).to_be_hidden()
    expect(page.locator("#why-facts")).to_contain_text(re.compile(r"^score\s0\.\d{3} "))
    like = page.locator("#why-title").inner_text()
    answer = why.answer(lambda: page.click("#why-similar"))
    why.why()
    expect(page.locator("#why-facts")).to_contain_text(f"likeness to {like}\u00a0{answer['hits'][0]['score']:.3f}")
    expect(page.locator("#sketch-caption")).to_have_text("The region and the points are those of your sketch.")
    why.shut()
    why.answer(lambda: page.click("#similar-chip"))
    why.why()
    expect(page.locator("#sketch-caption")).to_be_hidden()


def test_of_a_photo_whose_file_is_gone_the_small_picture_is_explained(desk: Any) -> None:
    """What can be had without the file is shown; that edges cannot be followed is said as long as they should be."""
    page, expect = desk.page, desk.expect
    desk.search()
    answer = {"error": {"code": "photo_gone", "message": "the file is not there any more"}}
    page.route(re.compile("/picture[?]|/mask[?].*refined=true"), lambda route: route.fulfill(status=404, json=answer))
    desk.why()
    expect(page.locator("#why-note")).to_have_text(answer["error"]["message"])
    expect(page.locator("#why-photo")).to_be_hidden()  # its name would stand on the picture under it
    assert "/thumbnail" in page.locator("#photo-picture").evaluate("node => node.style.backgroundImage")
    assert page.locator("#mask").evaluate(COUNT_VEILED) > 0.05
    page.uncheck("#refined")
    expect(page.locator("#why-note")).to_be_hidden()
    assert mask_of(desk).any()
    page.unroute(re.compile("/picture[?]|/mask[?].*refined=true"))
    page.keyboard.press("PageDown")
    expect(page.locator("#why-photo")).to_be_visible()
