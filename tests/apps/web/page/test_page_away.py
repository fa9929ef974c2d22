"""When the server is away, refuses, or has forgotten the sketch."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytestmark = pytest.mark.thorough

LINE = [(0.1, 0.5), (0.9, 0.5)]
AT_ONCE = 30


def test_a_drawing_that_could_not_be_sent_is_sent_at_the_next_search(desk: Any) -> None:
    desk.page.route(re.compile("/sketches$"), lambda route: route.abort(), times=1)
    desk.draw(LINE)
    notice = desk.page.locator("#notice button")
    notice.focus()
    desk.page.keyboard.press("Enter")
    desk.expect(desk.page.locator(".card-open").first).to_be_visible()
    desk.expect(desk.page.locator("#found")).to_be_focused()  # the button has gone


def test_a_sketch_that_the_server_has_forgotten_is_sent_again(desk: Any, server: Any) -> None:
    desk.search()
    best = desk.cards()
    server.service.sketches.sketches.clear()
    with desk.page.expect_response(lambda each: each.url.endswith("/sketches") and each.status == 201):
        answer = desk.answer(lambda: desk.page.click("#sort-date"))
    desk.rest()
    assert desk.cards() == [hit["id"] for hit in answer["hits"]]
    desk.page.click("#sort-score")
    desk.rest()
    assert desk.cards() == best
    desk.expect(desk.page.locator("#notice")).to_be_hidden()


def test_the_server_goes_while_one_draws_and_comes_back(desk: Any, server: Any) -> None:
    page, expect = desk.page, desk.expect
    desk.search()
    server.stop()
    try:
        desk.draw(LINE)
        expect(page.locator("#notice h3")).to_have_text("The server does not answer")
        expect(page.locator("#notice p")).to_contain_text("sketchfusion serve")
        expect(page.locator("#guesses .empty")).to_be_visible()
        desk.draw([(0.5, 0.1), (0.5, 0.9)])
    finally:
        server.start()
    expect(page.locator(".card")).to_have_count(AT_ONCE)
    expect(page.locator("#notice")).to_be_hidden()
    assert len(desk.strokes()) == 3


def test_a_page_opened_before_the_server_answers_waits_for_it(desk: Any, server: Any) -> None:
    desk.page.route("**/api/v1/**", lambda route: route.abort())
    desk.page.reload()
    desk.expect(desk.page.locator("#notice h3")).to_have_text("The server does not answer")
    desk.page.unroute("**/api/v1/**")
    desk.expect(desk.page.locator("#notice h3")).to_have_text("Your photos appear here while you draw")


def test_a_server_that_comes_back_with_a_token_says_that_it_wants_it(
        open_page: Any, at_desk: Any, make_server: Any, served: Any, mini: Any) -> None:
    """Not that it does not answer."""
    server = make_server(served, mini, (served / "gallery",))
    desk = at_desk(open_page(server.address))
    desk.rest()
    desk.search()
    server.stop()
    try:
        desk.draw(LINE)
        desk.expect(desk.page.locator("#notice h3")).to_have_text("The server does not answer")
    finally:
        server.told["token"] = "0123456789abcdef"
        server.start()
    desk.expect(desk.page.locator("#notice h3")).to_have_text("That did not work")
    desk.expect(desk.page.locator("#notice p")).to_contain_text("this server wants a token")


def test_a_page_opened_before_the_server_answers_tells_a_refusal_too(desk: Any) -> None:
    desk.page.route("**/api/v1/**", lambda route: route.abort())
    desk.page.reload()
    desk.expect(desk.page.locator("#notice h3")).to_have_text("The server does not answer")
    answer = {"error": {"code": "no_token", "message": "this server wants a token"}}
    desk.page.unroute("**/api/v1/**")
    desk.page.route("**/api/v1/**", lambda route: route.fulfill(status=401, json=answer))
    desk.expect(desk.page.locator("#notice p")).to_have_text("this server wants a token")


def test_a_failure_says_what_the_server_says(desk: Any) -> None:
    answer = {"error": {"code": "gallery", "message": "the gallery is gone; index it again"}}
    desk.page.route(re.compile(r"/search\?"), lambda route: route.fulfill(status=409, json=answer))
    desk.draw()
    notice = desk.page.locator("#notice")
    desk.expect(notice).to_contain_text("the gallery is gone; index it again")
    desk.page.unroute(re.compile(r"/search\?"))
    notice.locator("button", has_text="Try again").click()
    desk.expect(desk.page.locator(".card").first).to_be_visible()


def test_behind_a_proxy_the_page_works_and_does_not_say_that_all_stays_on_this_machine(
        open_page: Any, at_desk: Any, make_server: Any, served: Any, mini: Any) -> None:
    """Called by the public name, with the token; without it a small page says what is wanted."""
    server = make_server(served, mini, (served / "gallery",))
    server.stop()
    public = f"http://photos.localhost:{server.port}"
    server.told.update(public_url=public, token="0123456789abcdef")
    server.start()
    page = open_page(f"{public}/")
    desk = at_desk(page)
    desk.expect(page.locator("body")).to_contain_text("this server wants a token")
    page.goto(f"{public}/?token=0123456789abcdef")
    desk.rest()
    desk.search()
    desk.expect(page.locator(".privacy")).to_have_text("Drawings go to this server alone")
    page.click("#open-photos")
    desk.expect(page.locator("#photos .dialog-title")).to_contain_text("from a folder on the server")


def test_the_original_of_a_photo_that_is_gone_says_so_on_a_page(desk: Any, served: Any) -> None:
    desk.search()
    name = desk.page.locator(".card-name").first.inner_text()
    file = next((served / "photos").glob(f"*/{name}"))
    hidden = file.with_name(f"{name}.away")
    file.rename(hidden)
    try:
        desk.page.locator(".card").first.hover()
        with desk.page.expect_popup() as opened:
            desk.page.locator(".card a").first.click()
        desk.expect(opened.value.locator("body")).to_contain_text(f"the file of {name} is not there any more")
        opened.value.click("a")
        desk.expect(opened.value.locator("#paper")).to_be_visible()
    finally:
        hidden.rename(file)


def test_reasons_asked_for_while_the_server_is_away_come_once_it_is_back(desk: Any) -> None:
    page, expect = desk.page, desk.expect
    desk.search()
    desk.why()
    page.route("**/api/v1/**", lambda route: route.abort())
    page.keyboard.press("PageDown")
    expect(page.locator("#why-note")).to_contain_text("The server does not answer")
    page.unroute("**/api/v1/**")
    expect(page.locator("#mask-png")).to_be_enabled()
    expect(page.locator("#why-note")).to_be_hidden()


def test_names_of_ones_own_given_while_the_server_is_away_come_once_it_is_back(desk: Any) -> None:
    page, expect = desk.page, desk.expect
    desk.search()
    page.route("**/api/v1/**", lambda route: route.abort())
    page.click("#own-labels")
    page.fill("#labels", "house, tower")
    page.keyboard.press("Enter")
    expect(page.locator("#guesses")).to_contain_text("The server does not answer")
    page.unroute("**/api/v1/**")
    expect(page.locator(".guess-name")).to_have_count(2)
