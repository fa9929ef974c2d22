"""Writes docs/cli.md, the page of all commands, from the commands themselves.

    python scripts/cli_reference.py

tests/test_docs.py fails where the page and the commands disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from typer.main import get_command

from sketchfusion.apps.cli.main import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
PLACEHOLDERS = {int: "N", float: "X", Path: "PATH", datetime: "YYYY-MM-DD"}  # of values without a name
HEAD = """# Command line

<!-- written by scripts/cli_reference.py -->

Every command takes `--help`; those that give a result take `--json`. Results go to the standard output, everything else
to the standard error. `sketchfusion --version` prints the version, `--install-completion` sets up the shell.
"""


def page() -> str:
    """The whole page, Markdown."""
    root = get_command(app)
    return "\n".join([HEAD, f"{root.epilog}\n", *lines_of_group(root, "sketchfusion", 2)])


def lines_of_group(group: Any, name: str, level: int) -> Iterator[str]:
    """Every command of a group, and of the groups in it."""
    for verb, command in group.commands.items():
        if command.hidden:
            continue
        words = f"{name} {verb}"
        if hasattr(command, "commands"):
            yield f"{'#' * level} {words}\n\n{command.help}\n"
            yield from lines_of_group(command, words, level + 1)
        else:
            yield from lines_of_command(command, words, level)


def lines_of_command(command: Any, words: str, level: int) -> Iterator[str]:
    """Heading, usage, what it does, and a table of its arguments and options."""
    hints = {name: plain(hint) for name, hint in get_type_hints(command.callback).items()}
    parameters = [item for item in command.params if not item.hidden and item.name in hints]
    arguments = [item for item in parameters if item.param_type_name == "argument"]
    options = [item for item in parameters if item.param_type_name == "option"]
    needed = [f"{item.opts[0]} {value_of(item, hints)}" for item in options if item.required]
    usage = " ".join([words, *(argument_of(item, hints) for item in arguments), *needed, "[OPTIONS]"])
    yield f"{'#' * level} {words}\n\n```text\n{usage}\n```\n\n{command.help}\n"
    rows = [(argument_of(item, hints), item) for item in arguments]
    rows += [(option_of(item, hints), item) for item in options]
    yield "| | | default |\n|---|---|---|"
    yield from (f"| {code(shown)} | {escaped(item.help or '')} | {default_of(item)} |" for shown, item in rows)
    yield ""


def plain(hint: Any) -> Any:
    """``str`` from ``list[str] | None``: the type of one value."""
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    return get_args(hint)[0] if get_origin(hint) is list else hint


def value_of(item: Any, hints: dict[str, Any]) -> str:
    """What stands for a value; empty for a switch."""
    hint = hints[item.name]
    if hint is bool:
        return ""
    if get_origin(hint) is Literal:
        return "|".join(get_args(hint))
    if isinstance(hint, type) and hasattr(hint, "__members__"):
        return "|".join(member.value for member in hint)
    return item.metavar or PLACEHOLDERS.get(hint, "TEXT")


def argument_of(item: Any, hints: dict[str, Any]) -> str:
    """An argument as usage lines have it; in brackets where it may be left out."""
    name = (item.metavar or item.name.upper()).strip("[]") + ("..." if item.nargs == -1 else "")
    return name if item.required else f"[{name}]"


def option_of(item: Any, hints: dict[str, Any]) -> str:
    """All spellings of an option, and its value."""
    names = ", ".join(sorted(item.opts, key=len)) + "".join(f" / {name}" for name in item.secondary_opts)
    return f"{names} {value_of(item, hints)}".strip()


def default_of(item: Any) -> str:
    """The default that a reader should know; "needed" where there must be a value."""
    if item.required:
        return "needed"
    value = getattr(item.default, "value", item.default)
    if value is True and item.secondary_opts:
        return code(item.opts[0])
    return "" if value in (None, False, "") or isinstance(value, (list, tuple)) else code(str(value))


def code(text: str) -> str:
    """Inline code that may stand in a table."""
    return f"`{text}`" if "|" not in text else f"<code>{escaped(text)}</code>"


def escaped(text: str) -> str:
    """Prose or code that may stand in a cell of a table, on one line."""
    one_line = " ".join(text.split())
    return one_line.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;").replace("*", "&#42;")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
