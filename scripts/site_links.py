"""A hook of mkdocs.yml: links to files outside docs/, which the site does not have, become text."""

from __future__ import annotations

import posixpath
import re
from typing import Any

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s:]+)(?:#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """A page's Markdown, before it is rendered."""
    return without_outside_links(markdown, posixpath.dirname(page.file.src_uri))


def without_outside_links(markdown: str, folder: str) -> str:
    """The Markdown of a page in a folder of docs/, with links that leave docs/ replaced by text and path."""
    def replaced(match: re.Match[str]) -> str:
        text, target = match.groups()
        path = posixpath.normpath(posixpath.join(folder, target))
        if not path.startswith("../"):
            return match[0]
        path = path.removeprefix("../")
        return text if path.endswith(text.strip("`")) else f"{text} (`{path}`)"

    return LINK.sub(replaced, markdown)
