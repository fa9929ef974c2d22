"""My photos: choosing a gallery, indexing a folder, what cannot be read, stopping."""

from __future__ import annotations

import re
import shutil
from typing import Any

import pytest

from sketchfusion.apps.web.galleries import NAME

pytestmark = pytest.mark.thorough


def choose_folder(desk: Any, *names: str) -> None:
    """Open "My photos" and go down to a folder."""
    desk.page.click("#open-photos")
    for name in names:
        desk.page.locator(".folder", has_text=re.compile(f"^{name}$")).click()
    desk.expect(desk.page.locator("#new-name")).to_have_value(names[-1])


def test_another_gallery_is_chosen_and_remembered(desk: Any) -> None:
    page, expect = desk.page, desk.expect
    desk.search()
    page.click("#open-photos")
    expect(page.locator(".gallery[aria-pressed=true]")).to_contain_text("gallery")
    page.locator(".gallery", has_text="nothing yet").click()
    expect(page.locator("#photos")).to_be_hidden()
    expect(page.locator("#gallery-chip")).to_have_text("nothing yet · 0")
    expect(page.locator(".card")).to_have_count(0)
    page.reload()
    expect(page.locator("#gallery-chip")).to_have_text("nothing yet · 0")


def test_photos_of_the_last_gallery_go_at_once_and_its_late_answers_are_dropped(desk: Any) -> None:
    page, expect = desk.page, desk.expect
    desk.search()
    expect(page.locator("#folder option")).to_have_count(4)
    folders, searches = desk.hold("/galleries/[^/]+/folders"), desk.hold(r"/search\?")
    page.click("#sort-date")
    desk.until(lambda: len(searches) == 1)
    page.click("#open-photos")
    with page.expect_event("requestfailed", lambda each: "/search?" in each.url):
        page.locator(".gallery", has_text="nothing yet").click()
    desk.until(lambda: len(folders) == 1 and len(searches) == 2)
    expect(page.locator(".card-open")).to_have_count(0)
    expect(page.locator("#folder option")).to_have_text(["All folders"])
    page.click("#open-photos")
    page.locator(".gallery", has_text=re.compile("^gallery")).click()
    desk.until(lambda: len(folders) == 2 and len(searches) == 3)
    searches[2].continue_()
    folders[1].continue_()
    expect(page.locator("#folder option")).to_have_count(4)
    with page.expect_response(re.compile("/folders")):
        folders[0].fulfill(json={"folders": [{"id": "f", "name": "late", "photos": 1}]})
    desk.rest()
    expect(page.locator("#folder")).not_to_contain_text("late")
    expect(page.locator("#found-count")).to_have_text("36 photos")


def test_an_empty_gallery_says_what_to_do(desk: Any) -> None:
    page, expect = desk.page, desk.expect
    page.click("#open-photos")
    page.locator(".gallery", has_text="nothing yet").click()
    expect(page.locator("#notice h3")).to_have_text("This gallery has no photos")
    page.locator("#notice button").click()
    expect(page.locator("#photos")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#photos")).to_be_hidden()


def test_a_folder_is_indexed_with_progress_and_broken_files_are_listed(desk: Any, server: Any) -> None:
    page, expect = desk.page, desk.expect
    desk.search()
    choose_folder(desk, "album", "mixed")
    expect(page.locator("#folder-facts")).to_contain_text("14 pictures")
    page.fill("#new-name", "Mixed cups")
    with server.held():
        page.click("#index-folder")
        expect(page.locator(".job h3")).to_have_text("Indexing “Mixed cups”")
        expect(page.locator(".job-bar")).to_be_visible()
        expect(page.locator(".job .button", has_text="Cancel")).to_be_visible()
    expect(page.locator(".job h3")).to_have_text("Indexed “Mixed cups”")
    expect(page.locator(".job-facts")).to_contain_text("12 photos: 12 added")
    page.locator(".job summary").click()
    expect(page.locator(".job summary")).to_have_text("2 files could not be read")
    expect(page.locator(".job-errors")).to_contain_text("album/mixed/broken.jpg")
    expect(page.locator(".job-errors")).to_contain_text("album/mixed/empty.png the file is empty")
    expect(page.locator("#gallery-chip")).to_have_text("Mixed cups · 12")
    page.locator(".job .button", has_text="Show the photos").click()
    expect(page.locator("#photos")).to_be_hidden()
    expect(page.locator(".card")).to_have_count(12)
    choose_folder_again(desk)
    expect(page.locator("#photos-note")).to_contain_text("Mixed cups")


def choose_folder_again(desk: Any) -> None:
    """Ask for a gallery of a name that there is."""
    desk.page.click("#open-photos")
    desk.page.fill("#new-name", "Mixed cups")
    desk.page.click("#index-folder")


def test_indexing_is_stopped(desk: Any, server: Any) -> None:
    page, expect = desk.page, desk.expect
    choose_folder(desk, "key")
    page.fill("#new-name", "Never")
    with server.held():
        page.click("#index-folder")
        expect(page.locator(".job h3")).to_have_text("Indexing “Never”")
        page.locator(".job .button", has_text="Cancel").click()
        expect(page.locator(".job .button", has_text="Cancel")).to_be_disabled()
    expect(page.locator(".job h3")).to_have_text("Stopped: “Never”")
    expect(page.locator(".job-facts")).to_contain_text("Index again to go on")


def begin(desk: Any, name: str, *folder: str) -> Any:
    """Index a folder below the photos into a new gallery; the card of the job, which waits."""
    desk.page.locator("#crumbs [aria-current], #crumbs button").first.click()
    for each in folder:
        desk.page.locator(".folder", has_text=re.compile(f"^{each}$")).click()
    desk.expect(desk.page.locator("#crumbs [aria-current]")).to_have_text(folder[-1])
    desk.page.fill("#new-name", name)
    desk.page.click("#index-folder")
    card = desk.page.locator(".job", has_text=name)
    desk.expect(card.locator("h3")).to_have_text(f"Indexing “{name}”")
    return card


def test_each_job_is_followed_also_after_another_began_and_the_page_was_opened_anew(desk: Any, server: Any) -> None:
    page, expect = desk.page, desk.expect
    page.click("#open-photos")
    with server.held():
        begin(desk, "Earlier", "album", "mixed")
        begin(desk, "Later", "key")
        expect(page.locator(".job .job-bar:visible")).to_have_count(2)
        page.reload()
        desk.rest()
        page.click("#open-photos")
        expect(page.locator(".job h3")).to_have_text(["Indexing “Earlier”", "Indexing “Later”"])  # neither is there yet
        later = page.locator(".job").nth(1)
        later.locator("button", has_text="Cancel").focus()
        page.keyboard.press("Enter")
        expect(later.locator("h3")).to_have_text("Stopped: “Later”")
        expect(later.locator("h3")).to_be_focused()
        expect(page.locator(".job").first.locator("button", has_text="Cancel")).to_be_visible()
    earlier = page.locator(".job").first
    expect(earlier.locator("h3")).to_have_text("Indexed “Earlier”")
    expect(earlier.locator("summary")).to_have_text("2 files could not be read")
    expect(page.locator("#gallery-chip")).to_have_text("gallery · 36")  # as long as nobody asks for the other one
    expect(page.locator(".gallery", has_text="Earlier")).to_contain_text("12 photos")
    earlier.locator("button", has_text="Show the photos").click()
    expect(page.locator("#photos")).to_be_hidden()
    expect(page.locator("#gallery-chip")).to_have_text("Earlier · 12")


def test_a_job_that_the_server_has_forgotten_is_no_longer_waited_for(desk: Any, server: Any) -> None:
    page, expect = desk.page, desk.expect
    answer = {"error": {"code": "unknown_job", "message": "there is no such job"}}
    page.click("#open-photos")
    with server.held():
        card = begin(desk, "Forgotten", "cup")
        page.route("**/api/v1/jobs/*", lambda route: route.fulfill(status=404, json=answer))
        expect(card.locator("h3")).to_have_text("Lost sight of “Forgotten”")
        expect(card.locator("button:visible")).to_have_count(0)
        expect(card.locator(".job-facts")).to_contain_text("index again to go on")
        page.unroute("**/api/v1/jobs/*")
        asked = desk.asked("/jobs/")
        page.wait_for_timeout(1200)
        assert asked == []


def test_the_server_takes_the_names_that_are_proposed(desk: Any, served: Any) -> None:
    for name in ("Sommer (2019) & Meer…", ". dots and spaces . ", "Cafe\u0301 – " + "long " * 20, "_", "(?)", "日本 №5",
                 "-minus-", "two  spaces\tand\na\u00a0line"):
        proposed = desk.page.evaluate("""async (name) => (await import("/static/js/browser.js")).fit(name)""", name)
        usable = NAME.fullmatch(proposed) and proposed == proposed.strip(" .") and proposed.isprintable()
        assert usable or (proposed, name) == ("", "(?)"), (name, proposed)
    folder = served / "photos" / "Sommer (2019) & Meer…"
    shutil.copytree(served / "photos" / "key", folder)
    try:
        desk.page.click("#open-photos")
        desk.page.locator(".folder", has_text="Sommer").click()
        desk.expect(desk.page.locator("#new-name")).to_have_value("Sommer 2019 Meer")
        desk.page.click("#index-folder")
        desk.expect(desk.page.locator("#gallery-chip")).to_have_text("Sommer 2019 Meer · 12")
    finally:
        shutil.rmtree(folder)


def test_a_name_may_be_typed_as_long_as_the_server_takes_it(desk: Any) -> None:
    longest = int(desk.page.locator("#new-name").get_attribute("maxlength"))
    assert NAME.fullmatch("a" * longest)
    assert not NAME.fullmatch("a" * (longest + 1))


def test_photos_are_added_to_the_gallery_that_is_shown(desk: Any, server: Any) -> None:
    page, expect = desk.page, desk.expect
    choose_folder(desk, "key")
    page.fill("#new-name", "Grows")
    page.click("#index-folder")
    expect(page.locator("#gallery-chip")).to_have_text("Grows · 12")
    page.locator("#crumbs button", has_text="Photos folder").click()
    page.locator(".folder", has_text=re.compile("^cup$")).click()
    expect(page.locator("#crumbs [aria-current]")).to_have_text("cup")
    page.get_by_label("Add to “Grows”").check()
    page.click("#index-folder")
    expect(page.locator("#gallery-chip")).to_have_text("Grows · 24")


def test_without_any_gallery_the_page_leads_to_one(desk: Any) -> None:
    desk.page.route("**/api/v1/galleries", lambda route: route.fulfill(json={"galleries": []}))
    desk.page.reload()
    desk.expect(desk.page.locator("#notice h3")).to_have_text("No photos yet")
    desk.page.locator("#notice button", has_text="Choose a folder").click()
    desk.expect(desk.page.locator(".folder").first).to_be_visible()


def test_indexing_the_gallery_that_is_shown_leaves_everything_as_it_was_set(desk: Any) -> None:
    """What photos are to be like, folder, order and cut-off; and it searches again only if there is something new."""
    page, expect = desk.page, desk.expect
    choose_folder(desk, "key")
    page.fill("#new-name", "Steady")
    page.click("#index-folder")
    expect(page.locator("#gallery-chip")).to_have_text("Steady · 12")
    page.keyboard.press("Escape")
    desk.search()
    page.locator(".card").first.hover()
    desk.answer(lambda: page.locator(".card [data-act=similar]").first.click())
    like = page.locator("#similar-name").inner_text()
    page.click("#open-filters")
    folder = page.locator("#folder option", has_text="key").get_attribute("value")
    desk.answer(lambda: page.select_option("#folder", folder))
    desk.answer(lambda: page.click("#sort-date"))
    answer = desk.answer(lambda: desk.slide("cutoff", sorted(desk.scores())[3]))
    shown = desk.cards()
    assert 0 < len(shown) < 11

    def as_set() -> None:
        expect(page.locator("#similar-name")).to_have_text(like)
        expect(page.locator("#folder")).to_have_value(folder)
        expect(page.locator("#sort-date")).to_have_attribute("aria-pressed", "true")
        assert desk.cards() == shown

    asked = desk.asked("/(search|similar)[?]")
    page.click("#open-photos")
    page.get_by_label("Look for new and changed photos of Steady").click()
    expect(page.locator(".job-facts")).to_contain_text("12 photos: 12 unchanged")
    desk.rest()
    assert asked == []
    as_set()
    page.locator("#crumbs button", has_text="Photos folder").click()
    page.locator(".folder", has_text=re.compile("^cup$")).click()
    expect(page.locator("#crumbs [aria-current]")).to_have_text("cup")
    page.get_by_label("Add to “Steady”").check()
    again = desk.answer(lambda: page.click("#index-folder"))
    expect(page.locator("#gallery-chip")).to_have_text("Steady · 24")
    assert again["hits"] == answer["hits"]
    expect(page.locator("#folder option")).to_have_count(3)
    as_set()


def test_a_gallery_that_is_gone_is_told_and_another_can_be_chosen(
        open_page: Any, at_desk: Any, make_server: Any, served: Any, mini: Any, tmp_path: Any) -> None:
    shutil.copytree(served / "gallery", tmp_path / "made" / "Moved")
    (tmp_path / "photos").mkdir()
    server = make_server(tmp_path, mini, (served / "gallery",))
    desk = at_desk(open_page(server.address))
    page, expect = desk.page, desk.expect
    page.click("#open-photos")
    page.locator(".gallery", has_text="Moved").click()
    expect(page.locator("#gallery-chip")).to_have_text("Moved · 36")
    desk.search()
    shutil.rmtree(tmp_path / "made" / "Moved")
    desk.draw([(0.2, 0.8), (0.8, 0.8)])
    expect(page.locator("#notice h3")).to_have_text("“Moved” is gone")
    expect(page.locator("#gallery-chip")).to_have_text("none")
    expect(page.locator(".card")).to_have_count(0)
    page.locator("#notice button", has_text="My photos").click()
    expect(page.locator(".gallery")).to_have_count(1)
    page.locator(".gallery").click()
    expect(page.locator(".card").first).to_be_visible()
    expect(page.locator("#notice")).to_be_hidden()


def test_a_folder_that_left_the_gallery_is_told_and_all_can_be_searched(desk: Any) -> None:
    page, expect = desk.page, desk.expect
    desk.search()
    page.click("#open-filters")
    answer = {"error": {"code": "unknown_folder", "message": "the gallery has no folder"}}
    page.route(re.compile("[?&]folder="), lambda route: route.fulfill(status=404, json=answer))
    page.select_option("#folder", page.locator("#folder option", has_text="cup").get_attribute("value"))
    expect(page.locator("#notice h3")).to_have_text("The folder is gone")
    page.locator("#notice button", has_text="Search all folders").click()
    expect(page.locator("#found-count")).to_have_text("36 photos")
    expect(page.locator("#folder")).to_have_value("")
    expect(page.locator("#filter-count")).to_be_hidden()


def test_a_photo_that_left_the_gallery_is_nothing_others_can_be_like(desk: Any) -> None:
    page, expect = desk.page, desk.expect
    desk.search()
    before = desk.cards()
    answer = {"error": {"code": "unknown_photo", "message": "the gallery has no photo"}}
    page.route(re.compile("/similar[?]"), lambda route: route.fulfill(status=404, json=answer))
    page.locator(".card").first.hover()
    page.locator(".card [data-act=similar]").first.click()
    expect(page.locator("#notice h3")).to_have_text("The photo is gone")
    page.locator("#notice button", has_text="Back to the sketch").click()
    expect(page.locator(".card").first).to_be_visible()
    desk.rest()
    assert desk.cards() == before


def test_a_folder_that_is_gone_is_told(desk: Any, served: Any) -> None:
    folder = served / "photos" / "short-lived"
    folder.mkdir()
    desk.page.click("#open-photos")
    row = desk.page.locator(".folder", has_text="short-lived")
    desk.expect(row).to_be_visible()
    folder.rmdir()
    row.click()
    desk.expect(desk.page.locator("#photos-note")).to_contain_text("there is no folder")
    desk.expect(desk.page.locator("#crumbs [aria-current]")).to_have_text("Photos folder")


def test_a_dialog_closes_by_a_click_beside_it_but_not_by_selecting_text(desk: Any) -> None:
    page, expect = desk.page, desk.expect
    page.click("#open-photos")
    title = page.locator("#photos-title").bounding_box()
    page.mouse.move(title["x"] + 20, title["y"] + 8)
    page.mouse.down()
    page.mouse.move(4, title["y"] + 8, steps=3)
    page.mouse.up()
    expect(page.locator("#photos")).to_be_visible()
    page.mouse.click(4, 400)
    expect(page.locator("#photos")).to_be_hidden()


def test_opened_while_the_server_is_away_the_dialog_goes_on_once_it_is_back(desk: Any) -> None:
    page, expect = desk.page, desk.expect
    page.route("**/api/v1/**", lambda route: route.abort())
    page.click("#open-photos")
    expect(page.locator("#photos-note")).to_have_text(re.compile("^The server does not answer"))
    page.unroute("**/api/v1/**")
    expect(page.locator(".folder").first).to_be_visible()
    expect(page.locator("#photos-note")).to_be_hidden()
