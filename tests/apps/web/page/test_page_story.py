"""A first visit: draw, find, cut off, see why, take the mask. What else the page can do is tested beside this."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

SIDE = 96  # of the photos


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_from_a_drawing_to_a_mask(open_page: Callable[..., Any], at_desk: Any, server: Any, width: int) -> None:
    """No request goes elsewhere meanwhile, see ``open_page``."""
    page = open_page(server.address, width=width)
    desk = at_desk(page)
    desk.rest()
    page.locator(".example").first.click()
    desk.expect(page.locator("#guesses li").first).to_contain_text("lighthouse")
    desk.draw()
    desk.rest()
    scores = desk.scores()
    assert scores == sorted(scores, reverse=True)
    desk.slide("cutoff", scores[len(scores) // 2])
    desk.rest()
    assert 0 < len(desk.scores()) < len(scores)
    desk.why()
    desk.expect(page.locator("#links line")).to_have_count(12)
    name, content = desk.downloaded(lambda: page.click("#mask-png"))
    assert name.endswith("-mask.png")
    mask = np.asarray(Image.open(io.BytesIO(content)))
    assert mask.shape == (SIDE, SIDE)
    assert set(np.unique(mask)) == {0, 255}
