"""What the documentation promises: snippets run or say why not, commands exist, the site is complete and offline."""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
import yaml
from PIL import Image, ImageDraw
from typer.main import get_command
from typer.testing import CliRunner

from sketchfusion.apps.cli.main import app as verbs
from sketchfusion.apps.web.app import create_app
from sketchfusion.apps.web.settings import API, Settings

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
RUN_PAGES = [name for name in PAGES if name != "cli.md" and not name.startswith("api/")]  # those two are generated
SHELL = ("sh", "bash", "")  # a fence without a language holds commands too; output is "text"
BLOCK = re.compile(r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n+)?^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$",
                   flags=re.DOTALL | re.MULTILINE)
COMMANDS: Any = get_command(verbs)
UsageError: Any = typer.BadParameter.__base__
CLASSES = ("cat", "house")  # of the data set of one's own


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language, title: from its first line; empty if not there.
        text: what is in it.
        reason: why it is not run; None where it is.
    """

    language: str
    title: str
    text: str
    reason: str | None


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [Block(match["info"].split(" ")[0], *re.findall('title="(.*)"', match["info"]) or [""], match["text"],
                  match["reason"]) for match in BLOCK.finditer(text)]


def page(name: str) -> str:
    """The text of a page."""
    return (DOCS / name).read_text(encoding="utf-8")


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a shell block, without comments."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(re.sub(r"(?:^|\s)#.*", "", line))
        while ";" in words:
            yield words[:words.index(";")]
            words = words[words.index(";") + 1:]
        if words:
            yield words


def parse(words: list[str]) -> None:
    """Fail where the command line would: an unknown verb or option, a value that does not fit, something missing."""
    command, rest = COMMANDS, words[1:]
    while hasattr(command, "commands") and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"there is no {shlex.join(words)}"
        command, rest = command.commands[rest[0]], rest[1:]
    try:
        command.make_context(" ".join(words[:2]), list(rest))
    except UsageError as error:
        raise AssertionError(f"{shlex.join(words)}: {error}") from None


def run(words: list[str]) -> None:
    """Run a command in this process."""
    assert words[0] == "sketchfusion", f"{shlex.join(words)!r} is neither run nor marked with <!-- not run: why -->"
    given = [os.path.expanduser(word) for word in words[1:]]  # noqa: PTH111 - only a leading ~
    result = CliRunner().invoke(verbs, given, catch_exceptions=False)
    assert result.exit_code == 0, f"{shlex.join(words)}\n{result.output}"


def load_script(name: str) -> ModuleType:
    """A file of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def picture_of_a_thing(number: int) -> Image.Image:
    """A photo that `make-composites` can cut: a thing of one colour on plain paper."""
    image = Image.new("RGB", (100, 80), (240, 240, 236))
    shape = ImageDraw.Draw(image).ellipse if number < 2 else ImageDraw.Draw(image).rectangle
    shape((26, 16 + 2 * number, 74, 64), fill=(30 + 50 * number, 90, 140 - 40 * number))
    return image


@pytest.fixture
def workplace(tmp_path: Path, sketch_file: Path, photo_folder: Path, encoder_folder: Callable[[str], Path],
              draw_picture: Callable[[tuple[int, int], int], Image.Image], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that the snippets name; the current one, and the home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for seed, name in enumerate(("cat.jpg", "house.png", "photo.jpg", "photo1.jpg", "photo2.jpg")):
        draw_picture((400, 300), seed).save(tmp_path / name)
    (tmp_path / "drawing.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 90"><circle cx="45" cy="45" r="30" fill="none" '
        'stroke="black" stroke-width="3"/></svg>', encoding="utf-8")
    (tmp_path / "Pictures" / "2024").mkdir(parents=True)
    for seed in range(4):
        draw_picture((64, 48), 10 + seed).save(tmp_path / "Pictures" / "2024" / f"{seed}.jpg")
    for label, class_name in enumerate(CLASSES):
        for kind in ("photos", "sketches"):
            (tmp_path / "my_pictures" / kind / class_name).mkdir(parents=True)
        for seed in range(3):
            picture = draw_picture((48, 48), 20 + 10 * label + seed)
            picture.save(tmp_path / "my_pictures" / "photos" / class_name / f"{seed}.jpg")
            Image.open(sketch_file).rotate(40 * (3 * label + seed), fillcolor=255).save(
                tmp_path / "my_pictures" / "sketches" / class_name / f"{seed}.png")
    for number, class_name in enumerate(("ball", "ball", "stone", "stone")):
        (photo_folder / class_name).mkdir(exist_ok=True)
        picture_of_a_thing(number).save(photo_folder / class_name / f"{number}.png")
    shutil.copytree(encoder_folder("dinov2"), tmp_path / "my-encoder")
    return tmp_path


@pytest.mark.thorough
@pytest.mark.parametrize("name", RUN_PAGES)
def test_every_snippet_runs_or_says_why_not(name: str, workplace: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "snippet"}
    for block in blocks(page(name)):
        if block.language == "python":
            code = compile(block.text, name, "exec")
            if block.reason is None:
                exec(code, namespace)
        elif block.language == "yaml" and block.title:
            (workplace / block.title).write_text(block.text, encoding="utf-8")
        elif block.language in SHELL and block.reason is None:
            for words in commands(block.text):
                run(words)
        else:
            assert block.language in (*SHELL, "text"), f"{name}: what is to be done with {block.language!r}?"


@pytest.mark.parametrize("name", PAGES)
def test_every_command_exists_with_its_options(name: str) -> None:
    for block in blocks(page(name)):
        for words in commands(block.text) if block.language in SHELL else ():
            if words[0] == "sketchfusion":
                parse(words)
            elif words[0].startswith("python") and words[1].endswith(".py"):
                assert (ROOT / words[1]).exists(), f"{name}: {words[1]}"


def test_every_address_of_the_http_api_exists(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path, photos=tmp_path))
    app.state.service.close()
    paths = app.openapi()["paths"]
    told = set()
    for row in re.findall(r"^\| (`.*?) \|", page("api_http.md"), flags=re.MULTILINE):
        for method, address in re.findall(r"`(?:(GET|POST|DELETE) )?(?:\.{3})?(/[^`]+)`", row):
            found = {path for path in paths if path.endswith(address) and (method or "get").lower() in paths[path]}
            assert found, f"{method} {address}"
            told |= found
    assert told == set(paths)
    for path, query in re.findall(rf"http://127.0.0.1:7861{API}([\w/]+)(?:\?([\w=&]+))?", page("api_http.md")):
        operations = paths[f"{API}{path.replace('GALLERY', '{gid}')}"].values()
        names = {parameter["name"] for each in operations for parameter in each.get("parameters", ())}
        assert {pair.split("=")[0] for pair in query.split("&") if pair} <= names, query


@pytest.mark.parametrize(("line", "message"), [
    ("sketchfusion paint", "there is no sketchfusion paint"),
    ("sketchfusion gallery paint", "there is no sketchfusion gallery paint"),
    ("sketchfusion search sketch.png", "Missing parameter: gallery"),
    ("sketchfusion classify sketch.png --tpo 5", "No such option: --tpo"),
    ("sketchfusion classify sketch.png --top many", "many: .*valid int"),
    ("sketchfusion extract a.png --out b.npz --kind painting", "painting: .*'photo'"),
])
def test_a_command_that_is_wrong_is_noticed(line: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        parse(shlex.split(line))


def test_the_page_of_all_commands_is_up_to_date() -> None:
    assert page("cli.md") == load_script("cli_reference").page(), "run python scripts/cli_reference.py"


def pages_of(entry: Any) -> Iterator[str]:
    """The pages of a part of the navigation."""
    if isinstance(entry, str):
        yield entry
    else:
        for part in entry.values() if isinstance(entry, dict) else entry:
            yield from pages_of(part)


def test_the_navigation_has_every_page_once() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(pages_of(site["nav"])) == PAGES
    assert site["strict"] is True


def test_the_site_fetches_nothing() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["theme"]["font"] is False  # otherwise Google's
    assert "://" not in text
    assert "analytics" not in text
    for name in PAGES:
        assert not [block for block in blocks(page(name)) if block.language == "mermaid"], f"{name}: from a CDN"
        assert not re.search(r"!\[[^\]]*\]\(\w+://|<(?:img|script|link|iframe)\b[^>]*://", page(name)), name


@pytest.mark.thorough
def test_the_site_builds_without_a_warning_or_an_address_of_others(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False,
                           env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    for file in tmp_path.rglob("*.html"):
        fetched = re.findall(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=[\"']?(?:\w+:)?//[^>]*>",
                             file.read_text(encoding="utf-8"))
        assert not fetched, file.name
    assert "Gallery" in (tmp_path / "api" / "gallery.html").read_text(encoding="utf-8")


def headings(text: str) -> set[str]:
    """The anchors of a page, as the site makes them."""
    prose = BLOCK.sub("", text)
    plain = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in re.findall(r"^#+ (.+)$", prose, re.M)]
    return {re.sub(r"[-\s]+", "-", heading) for heading in plain}


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(name: str) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", BLOCK.sub("", page(name))):
        if "://" in target:
            continue
        path = (DOCS / name).parent / target if target else DOCS / name
        assert path.exists(), f"{name}: {target}"
        assert not anchor or anchor in headings(path.read_text(encoding="utf-8")), f"{name}: {target}#{anchor}"


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("api/")])
def test_every_object_of_the_reference_exists(name: str) -> None:
    named = re.findall(r"^::: (\S+)$|\]\[(sketchfusion[\w.]*)\]", page(name), flags=re.MULTILINE)
    assert named
    for pair in named:
        assert pkgutil.resolve_name("".join(pair)).__doc__, pair


@pytest.mark.parametrize(("given", "expected"), [
    ("see [`unet.py`](../src/a/unet.py)", "see `unet.py`"),
    ("the [model card](../src/mini/README.md)", "the model card (`src/mini/README.md`)"),
    ("[two](../a/b.py#L3) [`c`](../c/)", "two (`a/b.py`) `c`"),
    ("[tasks](tasks.md#settings), [site](https://a.b/c.html)", "[tasks](tasks.md#settings), [site](https://a.b/c.html)"),
    ("![picture](images/a.png)", "![picture](images/a.png)"),
])
def test_links_out_of_the_site_become_text(given: str, expected: str) -> None:
    assert load_script("site_links").without_outside_links(given, "") == expected


def test_links_between_folders_of_the_site_stay() -> None:
    assert load_script("site_links").without_outside_links("[x](../tasks.md)", "api") == "[x](../tasks.md)"


def test_blocks_are_told_apart() -> None:
    text = ('<!-- not run: hours -->\n```sh\na b \\\n  c  # d\n```\n\n```yaml title="x.yaml"\nk: v\n```\n'
            "```\ne f#2 ; g 'h i'\n```\n")
    first, second, third = blocks(text)
    assert (first.reason, first.language, list(commands(first.text))) == ("hours", "sh", [["a", "b", "c"]])
    assert (second.reason, second.language, second.title, second.text) == (None, "yaml", "x.yaml", "k: v\n")
    assert (third.language, list(commands(third.text))) == ("", [["e", "f#2"], ["g", "h i"]])
