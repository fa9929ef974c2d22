"""What the README promises: its snippet runs, its commands and files exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from typer.main import get_command

from sketchfusion.apps.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[str]:
    """The fenced code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def test_the_snippet_runs(tmp_path: Path, sketch_file: Path, photo_folder: Path,
                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, source in (("cat.jpg", photo_folder / "photo0.jpg"), ("house.png", photo_folder / "tall.png")):
        Image.open(source).save(tmp_path / name)
    (snippet,) = blocks("python")
    names: dict[str, object] = {}
    exec(compile(snippet, "README.md", "exec"), names)
    assert tuple(names["scores"].shape) == (1, 2)  # type: ignore[attr-defined]
    assert names["dense"].ndim == 4  # type: ignore[attr-defined]


def test_every_command_of_the_readme_exists_with_its_options() -> None:
    lines = [line.split("#  ")[0] for line in "\n".join(blocks("sh")).splitlines()]
    commands = [part.split() for line in lines for part in line.split(";") if part.split()[:1] == ["sketchfusion"]]
    assert len(commands) >= 8
    for words in commands:
        verb = get_command(app).commands[words[1]]  # type: ignore[attr-defined]
        if hasattr(verb, "commands"):
            for name in words[2].split("|"):
                assert name in verb.commands, words
            verb = verb.commands[words[2].split("|")[0]]
        known = {option for parameter in verb.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, words


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not missing


def test_the_readme_can_be_read_in_one_sitting() -> None:
    assert len(README.splitlines()) <= 150
