"""Finding at the page: cut-off, filters, order, more photos, more like one, names."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import Any

LINE = [(0.1, 0.5), (0.9, 0.5)]
ALL, PER_KIND, AT_ONCE = 36, 12, 30


def test_a_drawing_finds_photos_best_first(desk: Any) -> None:
    answer = desk.answer(desk.draw)
    desk.rest()
    assert desk.cards() == [hit["id"] for hit in answer["hits"]]
    assert len(desk.cards()) == AT_ONCE
    assert desk.scores() == sorted(desk.scores(), reverse=True)
    desk.expect(desk.page.locator("#found-count")).to_have_text(f"{ALL} photos")


def test_the_cut_off_leaves_out_what_scores_less(desk: Any) -> None:
    desk.search()
    scores = desk.scores()
    middle = scores[len(scores) // 2]
    answer = desk.answer(lambda: desk.slide("cutoff", middle))
    desk.rest()
    left = desk.scores()
    assert 0 < len(left) < len(scores)
    assert min(left) >= middle - 0.001
    assert desk.cards() == [hit["id"] for hit in answer["hits"]]
    desk.expect(desk.page.locator("#cutoff-value")).to_have_text(f"{middle:.3f}")
    desk.slide("cutoff", 0)
    desk.rest()
    assert desk.scores() == scores


def test_above_the_best_score_there_is_nothing_and_the_page_says_why(desk: Any) -> None:
    desk.search()
    desk.slide("cutoff", 1)  # the range ends at the best score, rounded up
    desk.rest()
    assert desk.scores() == []
    notice = desk.page.locator("#notice")
    desk.expect(notice).to_contain_text(re.compile(r"The best photo scores 0\.\d{3}, the cut-off is"))
    notice.locator("button").click()
    desk.rest()
    assert len(desk.scores()) == AT_ONCE


def test_folder_and_dates_filter(desk: Any) -> None:
    page, expect = desk.page, desk.expect
    desk.search()
    page.click("#open-filters")
    cups = page.locator("#folder option", has_text=re.compile("cup"))
    answer = desk.answer(lambda: page.select_option("#folder", cups.get_attribute("value")))
    assert {hit["folder"].split("/")[-1] for hit in answer["hits"]} == {"cup"}
    desk.rest()
    assert len(desk.cards()) == PER_KIND
    expect(page.locator("#filter-count")).to_have_text("1")
    page.click("#filters .link")
    desk.rest()
    expect(page.locator("#found-count")).to_have_text(f"{ALL} photos")
    answer = desk.answer(lambda: page.fill("#after", "2022-06-03"))
    answer = desk.answer(lambda: page.fill("#before", "2022-12-31"))
    assert answer["total"] == PER_KIND - 2
    assert all("2022-06-03" <= hit["date"][:10] <= "2022-12-31" for hit in answer["hits"])
    page.fill("#after", "2023-01-01")
    page.fill("#before", "2023-02-01")
    expect(page.locator("#notice h3")).to_have_text("No photo meets the filters")
    page.locator("#notice button").click()
    expect(page.locator("#found-count")).to_have_text(f"{ALL} photos")
    page.locator("#after").press("Escape")
    expect(page.locator("#filters")).to_be_hidden()
    expect(page.locator("#open-filters")).to_be_focused()


def test_newest_first(desk: Any) -> None:
    desk.search()
    answer = desk.answer(lambda: desk.page.click("#sort-date"))
    desk.rest()
    dates = [hit["date"] for hit in answer["hits"]]
    assert dates == sorted(dates, reverse=True)
    assert dates[0].startswith("2024-06-12")
    assert desk.cards() == [hit["id"] for hit in answer["hits"]]
    desk.page.click("#sort-score")
    desk.rest()
    assert desk.scores() == sorted(desk.scores(), reverse=True)


def test_newest_first_holds_for_all_pages_together(desk: Any) -> None:
    """A page has the next best photos, so its dates lie among those before; the photo with the focus keeps it."""
    page = desk.page
    dates: dict[str, str] = {}

    def remember(response: Any) -> None:
        if re.search(r"/search\?.*sort=date", response.url):
            dates.update({hit["id"]: hit["date"] for hit in response.json()["hits"]})

    desk.search()
    page.on("response", remember)
    desk.answer(lambda: page.click("#sort-date"))
    held = desk.cards()[3]
    page.locator(".card-open").nth(3).focus()
    page.locator("#more").scroll_into_view_if_needed()
    desk.expect(page.locator(".card")).to_have_count(ALL)
    desk.until(lambda: len(dates) == ALL)
    shown = desk.cards()
    assert [dates[photo] for photo in shown] == sorted(dates.values(), reverse=True)
    desk.expect(page.locator(".card-open").nth(shown.index(held))).to_be_focused()
    page.keyboard.press("Enter")
    assert page.locator("#why-original").get_attribute("href").split("/")[-2] == held


def test_the_focus_stays_with_its_photo_in_another_order(desk: Any) -> None:
    desk.search()
    page = desk.page
    held = desk.cards()[4]
    page.locator(".card-open").nth(4).focus()
    desk.answer(lambda: page.locator("#sort-date").evaluate("node => node.click()"))
    desk.expect(page.locator(".card-open").nth(desk.cards().index(held))).to_be_focused()
    page.locator("#more").focus()  # which goes with the last photos
    desk.expect(page.locator(".card")).to_have_count(ALL)
    desk.expect(page.locator(".card-open:focus")).to_have_count(1)


def test_scrolling_brings_more(desk: Any) -> None:
    desk.search()
    assert len(desk.cards()) == AT_ONCE
    desk.page.locator("#more").scroll_into_view_if_needed()
    desk.expect(desk.page.locator(".card")).to_have_count(ALL)
    desk.expect(desk.page.locator("#more")).to_be_hidden()
    assert len(set(desk.cards())) == ALL


def test_arrow_keys_go_from_photo_to_photo(desk: Any) -> None:
    desk.search()
    page = desk.page
    at = "() => [...document.querySelectorAll('.card-open')].indexOf(document.activeElement)"
    boxes = page.locator(".card").evaluate_all("nodes => nodes.map((node) => node.getBoundingClientRect().toJSON())")
    rows = sorted({round(box["top"]) for box in boxes})
    first = [number for number, box in enumerate(boxes) if round(box["top"]) == rows[0]]
    assert 1 < len(first) < AT_ONCE
    page.locator(".card-open").first.focus()

    def press(*keys: str) -> int:
        for key in keys:
            page.keyboard.press(key)
        return int(page.evaluate(at))

    assert press("ArrowLeft") == 0  # there is none before it
    assert press("ArrowUp") == 0
    assert press("ArrowRight") == 1
    below = press("ArrowDown")
    assert round(boxes[below]["top"]) == rows[1]
    nearest = min((abs(box["x"] + box["width"] / 2 - boxes[1]["x"] - boxes[1]["width"] / 2), number)
                  for number, box in enumerate(boxes) if round(box["top"]) == rows[1])
    assert below == nearest[1]
    assert round(boxes[press("ArrowUp")]["top"]) == rows[0]
    assert press("End") >= AT_ONCE - 1
    assert press("Home") == 0
    page.keyboard.press("Enter")
    desk.expect(page.locator("dialog[open]")).to_be_visible()


def test_more_like_one_of_them_and_back(desk: Any) -> None:
    page, expect = desk.page, desk.expect
    desk.search()
    before = desk.cards()
    page.locator(".card").nth(1).hover()
    answer = desk.answer(lambda: page.locator(".card [data-act=similar]").nth(1).click())
    desk.rest()
    assert answer["total"] == ALL - 1
    assert before[1] not in desk.cards()
    expect(page.locator("#found-title")).to_have_text("Photos like")
    page.click("#similar-chip")
    desk.rest()
    expect(page.locator("#similar-chip")).to_be_hidden()
    assert desk.cards() == before


def test_the_original_is_opened_beside_the_page(desk: Any) -> None:
    desk.search()
    link = desk.page.locator(".card a").first
    with urllib.request.urlopen(str(link.evaluate("node => node.href"))) as original:
        assert original.headers["Content-Type"] == "image/png"
        assert original.read().startswith(b"\x89PNG")
    desk.page.locator(".card").first.hover()
    with desk.page.expect_popup() as opened:
        link.click()
    opened.value.wait_for_load_state()
    assert opened.value.evaluate("document.images[0].naturalWidth") == 96


def test_only_the_last_sketch_counts(desk: Any, server: Any) -> None:
    asked = []
    desk.page.on("request", lambda request: asked.append(request.url) if "/search?" in request.url else None)
    with server.held(), desk.page.expect_event("requestfailed", lambda request: "/search?" in request.url):
        with desk.page.expect_request(re.compile(r"/search\?")):
            desk.draw([(0.13, 0.11), (0.83, 0.37)])  # of no other test: the server must not know it already
        desk.draw(LINE)
    desk.rest()
    with urllib.request.urlopen(asked[-1]) as wanted:
        assert desk.cards() == [hit["id"] for hit in json.load(wanted)["hits"]]


def test_photos_come_while_one_draws_however_long_a_search_takes(desk: Any) -> None:
    """During a stroke the search that runs is answered first, then the next begins."""
    page = desk.page
    searches = desk.hold(r"/search\?")
    box = page.locator("#paper").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 240, box["y"] + 60, steps=4)
    desk.until(lambda: searches)
    for step in range(9):  # longer than twice the time between searches
        page.mouse.move(box["x"] + 240, box["y"] + 80 + 10 * step)
        page.wait_for_timeout(200)
    assert len(searches) == 1
    searches[0].continue_()
    desk.until(lambda: len(searches) == 2)
    desk.expect(page.locator(".card-open").first).to_be_visible()
    desk.expect(page.locator("#found")).to_have_attribute("aria-busy", "true")
    page.mouse.up()
    desk.until(lambda: len(searches) == 3)
    searches[2].continue_()
    desk.rest()


def test_of_two_searches_in_a_row_one_is_answered(desk: Any) -> None:
    """So that photos come between short strokes too; the last drawing is always searched for."""
    page = desk.page
    searches, left = desk.hold(r"/search\?"), []
    page.on("requestfailed", lambda each: left.append(each.url))
    for stroke in range(3):
        desk.draw([(0.1, 0.2 + 0.2 * stroke), (0.87, 0.2 + 0.2 * stroke)])
        desk.until(lambda: len(searches) == min(stroke + 1, 2))  # noqa: B023
        page.wait_for_timeout(400)
    assert searches[0].request.url in left
    searches[1].continue_()
    desk.until(lambda: len(searches) == 3)
    desk.expect(page.locator(".card-open").first).to_be_visible()
    with urllib.request.urlopen(searches[2].request.url) as wanted:
        last = [hit["id"] for hit in json.load(wanted)["hits"]]
    searches[2].continue_()
    desk.rest()
    assert desk.cards() == last


def test_the_sketch_is_named(desk: Any) -> None:
    page, expect = desk.page, desk.expect
    page.locator(".example").first.click()
    expect(page.locator("#guesses li").first).to_contain_text("lighthouse")
    shares = [int(text.strip("<% ")) for text in page.locator(".guess-share").all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    page.click("#own-labels")
    page.fill("#labels", "house, tower")
    page.keyboard.press("Enter")
    expect(page.locator("#guesses li")).to_have_count(2)
    assert sorted(page.locator(".guess-name").all_inner_texts()) == ["house", "tower"]
    page.fill("#labels", "")
    page.keyboard.press("Enter")
    expect(page.locator("#guesses li").first).to_contain_text("lighthouse")
    page.keyboard.press("Escape")
    expect(page.locator("#labels-form")).to_be_hidden()
    expect(page.locator("#own-labels")).to_be_focused()


def test_the_model_of_the_gallery_names_the_sketch(desk: Any) -> None:
    with desk.page.expect_response(re.compile("/classes")) as named, desk.page.expect_request(is_first) as search:
        desk.draw(LINE)
    gallery = re.findall("/galleries/([^/]+)/", search.value.url)[0]
    assert f"gallery={gallery}" in named.value.url
    assert named.value.status == 200


def is_first(request: Any) -> bool:
    """Whether it asks for the first photos like a sketch."""
    return "/search?" in request.url


def test_a_drawing_is_sent_once(desk: Any, server: Any) -> None:
    """Though it is searched for, named and explained; and once again when the server has forgotten it."""
    page, expect = desk.page, desk.expect
    sent = desk.asked("/sketches$")
    page.evaluate("""() => {
      const { toBlob } = HTMLCanvasElement.prototype;
      window.drawn = 0;
      HTMLCanvasElement.prototype.toBlob = function (...given) { window.drawn += 1; return toBlob.apply(this, given); };
    }""")
    page.locator(".example").nth(1).click()
    expect(page.locator(".guess-share").first).to_be_visible()
    desk.rest()
    desk.why()
    desk.shut()
    desk.answer(lambda: page.click("#sort-date"))
    assert [each.method for each in sent] == ["POST"]
    assert page.evaluate("window.drawn") == 1
    server.service.sketches.sketches.clear()
    with page.expect_response(lambda each: "/classes" in each.url and each.status == 200):
        desk.answer(lambda: page.click("#sort-score"))
    assert [each.method for each in sent] == ["POST", "POST"]


def test_a_drawing_that_is_no_longer_on_the_paper_is_not_sent_to_the_end(desk: Any) -> None:
    """On a slow line it would hold up the next one."""
    sent, left = desk.asked("/sketches$"), []
    desk.page.on("requestfailed", lambda each: left.append(each))
    desk.page.route(re.compile("/sketches$"), lambda route: None, times=1)
    desk.draw([(0.1, 0.1), (0.9, 0.1)])
    desk.until(lambda: sent)
    desk.draw(LINE)
    desk.until(lambda: sent[0] in left)
    desk.rest()
    desk.expect(desk.page.locator(".card-open").first).to_be_visible()


def test_a_cut_off_without_photos_is_off_and_keeps_the_focus(desk: Any) -> None:
    desk.search()
    slider = desk.page.locator("#cutoff")
    slider.focus()
    desk.page.keyboard.press("Control+z")
    desk.expect(slider).to_be_disabled()
    desk.expect(slider).to_be_focused()
    desk.page.keyboard.press("ArrowRight")
    desk.expect(desk.page.locator("#cutoff-value")).to_have_text("off")


def test_scrolling_brings_all_whatever_the_order_and_a_large_window_is_filled(desk: Any) -> None:
    """Pages are made small. By date, photos that are added above leave their end in sight; scrolling on brings more."""
    page = desk.page
    page.route(re.compile(r"/search\?"), lambda route: route.continue_(
        url=route.request.url.replace(f"top={AT_ONCE}", "top=6")))
    desk.search()
    page.wait_for_function("() => document.querySelector('#more').getBoundingClientRect().top > innerHeight + 300")
    desk.answer(lambda: page.click("#sort-date"))
    page.locator(".card").first.hover()
    for _ in range(60):
        page.mouse.wheel(0, 500)
        page.wait_for_timeout(60)
        if page.locator(".card").count() == ALL:
            break
    desk.expect(page.locator(".card")).to_have_count(ALL)


def test_photos_that_cannot_be_had_are_told_where_they_would_be_and_leave_those_there_are(desk: Any) -> None:
    page, expect = desk.page, desk.expect
    desk.search()
    page.route(re.compile(r"offset=30"), lambda route: route.abort())
    page.locator("#more").scroll_into_view_if_needed()
    expect(page.locator("#more-note")).to_contain_text("The server does not answer")
    expect(page.locator("#notice")).to_be_hidden()
    asked = desk.asked("offset=30")
    page.mouse.wheel(0, -100)
    page.mouse.wheel(0, 100)
    page.wait_for_timeout(300)
    assert asked == []  # it waits until the server is back
    page.unroute(re.compile(r"offset=30"))
    expect(page.locator(".card")).to_have_count(ALL)
    expect(page.locator("#more-note")).to_be_hidden()


def test_a_cut_off_goes_with_the_kind_of_score_it_was_for(desk: Any) -> None:
    page = desk.page
    desk.search()
    scores = desk.scores()
    desk.answer(lambda: desk.slide("cutoff", scores[3]))
    page.locator(".card").first.hover()
    answer = desk.answer(lambda: page.locator(".card [data-act=similar]").first.click())
    assert answer["total"] == ALL - 1
    desk.expect(page.locator("#cutoff-value")).to_have_text("off")
    desk.answer(lambda: desk.slide("cutoff", desk.scores()[3]))
    desk.answer(lambda: page.click("#similar-chip"))
    desk.expect(page.locator("#cutoff-value")).to_have_text("off")
    assert desk.scores() == scores


def test_names_of_ones_own_may_repeat(desk: Any) -> None:
    desk.page.locator(".example").first.click()
    desk.page.click("#own-labels")
    desk.page.fill("#labels", "tower, Tower, fire_truck, fire truck, tower")
    desk.page.keyboard.press("Enter")
    desk.expect(desk.page.locator(".guess-name")).to_have_count(2)
    assert sorted(desk.page.locator(".guess-name").all_inner_texts()) == ["fire_truck", "tower"]


def test_sharper_pictures_come_though_those_of_the_last_drawing_do_not(desk: Any) -> None:
    page = desk.page
    held = desk.hold(r"/picture\?side=")
    desk.search()
    desk.until(lambda: len(held) == 2)
    desk.draw(LINE)
    desk.until(lambda: len(held) == 4)
    for each in held[2:]:
        each.continue_()
    desk.expect(page.locator(".card img[src*='/picture']").first).to_be_attached()
