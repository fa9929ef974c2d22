"""My photos: choosing a gallery, indexing a folder, what cannot be read, stopping."""

from __future__ import annotations

import re
from typing import Any


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
        expect(page.locator("#job-title")).to_have_text("Indexing “Mixed cups”")
        expect(page.locator(".job-bar")).to_be_visible()
        expect(page.locator("#job .button", has_text="Cancel")).to_be_visible()
    expect(page.locator("#job-title")).to_have_text("Indexed")
    expect(page.locator(".job-facts")).to_contain_text("12 photos: 12 added")
    page.locator("#job summary").click()
    expect(page.locator("#job summary")).to_have_text("2 files could not be read")
    expect(page.locator(".job-errors")).to_contain_text("album/mixed/broken.jpg")
    expect(page.locator(".job-errors")).to_contain_text("album/mixed/empty.png the file is empty")
    expect(page.locator("#gallery-chip")).to_have_text("Mixed cups · 12")
    page.locator("#job .button", has_text="Show the photos").click()
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
        expect(page.locator("#job-title")).to_have_text("Indexing “Never”")
        page.locator("#job .button", has_text="Cancel").click()
        expect(page.locator("#job .button", has_text="Cancel")).to_be_disabled()
    expect(page.locator("#job-title")).to_have_text("Stopped")
    expect(page.locator(".job-facts")).to_contain_text("Index again to go on")


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
