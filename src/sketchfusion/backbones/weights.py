"""Where weights come from, and how one set is told from another.

A place is one of
  ``random:NAME``     seeded random weights of a packaged architecture (``backbones.random_weights``)
  ``package:FOLDER``  shipped inside this package
  a folder or file    that exists, or that begins with ``.``, ``~`` or ``/``
  ``org/name[/file][@revision]``  a hub repository: first below ``$SKETCHFUSION_WEIGHTS``, then the hub's local cache,
                      then, unless offline, the hub itself
Places are tried in order. Only safetensors are read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from sketchfusion.backbones.random_weights import materialise
from sketchfusion.errors import WeightsUnavailable

WEIGHTS_FOLDER_VARIABLE = "SKETCHFUSION_WEIGHTS"
OFFLINE_VARIABLES = ("SKETCHFUSION_OFFLINE", "HF_HUB_OFFLINE")
WHOLE_BYTES, SAMPLE_BYTES = 2**18, 2**12
OPTION = "--set ...source=FOLDER"


def resolve(sources: Sequence[str], *, what: str, patterns: Sequence[str] = (), option: str = OPTION) -> Path:
    """Local path of the first place that has the weights; the hub is asked last.

    Args:
        sources: places in order of preference.
        what: the part in words, for the error.
        patterns: files wanted from a hub repository, as globs.
        option: of the command line that names another place, for the error.
    Raises:
        WeightsUnavailable: nowhere found; says what was tried and what to put where.
    """
    tried: list[str] = []
    for source in sources:
        found = _local(source, tried)
        if found is not None:
            return found
    repositories = [source for source in sources if _is_hub(source)]
    for local_only in (True, False) if repositories and not is_offline() else (True,):
        for source in repositories:
            try:
                return _from_hub(source, patterns, local_only=local_only)
            except (HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError, OSError, ValueError) as error:
                reason = "not in the hub's local cache" if local_only else f"not given by the hub: {_brief(error)}"
                tried.append(f"{source}: {reason}")
    raise WeightsUnavailable(_explain(what, sources, tried, option))


def is_at_hand(sources: Sequence[str]) -> bool:
    """Whether one of the places has weights on this machine; neither builds nor downloads anything.

    Of a hub repository in the local cache only its presence is checked, not that every file is there.
    """
    if any(source.startswith("random:") for source in sources):
        return True
    if any(_local(source, []) is not None for source in sources):
        return True
    for source in filter(_is_hub, sources):
        try:
            _from_hub(source, (), local_only=True)
        except (HfHubHTTPError, OSError, ValueError):
            continue
        return True
    return False


def is_offline() -> bool:
    """Whether the user forbade the network."""
    return any(os.environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in OFFLINE_VARIABLES)


def fingerprint(path: Path, variant: str | None = None) -> str:
    """Hash that tells weights apart: of every file that is loaded its header, and of every tensor three samples.

    Reading all bytes of a 5-GB model at each start would take longer than a search. Training changes a tensor
    everywhere, so the first, middle and last 4 KiB of each tell, also where only a few layers were trained; tensors up
    to 256 KiB are read whole. File names and places do not count: a mirror of the same files has the same fingerprint.

    Raises:
        WeightsUnavailable: a file is not in the safetensors format.
    """
    state = hashlib.blake2b(digest_size=8)
    for file_digest in sorted(_sampled(file) for file in weight_files(path, variant)):
        state.update(file_digest)
    return state.hexdigest()


def weight_files(path: Path, variant: str | None = None) -> list[Path]:
    """The safetensors that are loaded from a folder, whole or in shards; a folder may hold variants such as fp16."""
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.safetensors"))
    marker = rf"\.{re.escape(variant)}" if variant else ""
    loaded = [file for file in files if re.fullmatch(rf"[^.]*{marker}(-\d+-of-\d+)?\.safetensors", file.name)]
    return loaded or files


def _sampled(file: Path) -> bytes:
    state = hashlib.blake2b(digest_size=16)
    with file.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        header = stream.read(min(int.from_bytes(stream.read(8), "little"), size))
        state.update(header)
        try:
            entries = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
            spans = sorted(tuple(entry["data_offsets"]) for entry in entries.values())
        except (ValueError, KeyError, AttributeError, TypeError):
            raise WeightsUnavailable(f"{file} is not in the safetensors format; download it again") from None
        for start, end in spans:
            whole = end - start <= WHOLE_BYTES
            for offset in (start,) if whole else (start, (start + end) // 2, end - SAMPLE_BYTES):
                stream.seek(8 + len(header) + offset)
                state.update(stream.read(end - start if whole else SAMPLE_BYTES))
    return state.digest()


def _is_hub(source: str) -> bool:
    return not source.startswith(("random:", "package:", ".", "~", "/")) and "/" in source


def _local(source: str, tried: list[str]) -> Path | None:
    kind, _, rest = source.partition(":")
    if kind == "random":
        return materialise(rest)
    if kind == "package":
        candidates = [Path(str(resources.files("sketchfusion"))) / "weights" / rest]
    elif _is_hub(source):
        candidates = [Path(source), *_below_weights_folder(source)]
    else:
        candidates = [Path(source).expanduser()]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    hint = "inside the package: " if kind == "package" else ""
    tried.extend(f"{hint}{candidate} does not exist" for candidate in candidates)
    return None


def _below_weights_folder(source: str) -> list[Path]:
    root = os.environ.get(WEIGHTS_FOLDER_VARIABLE)
    if not root:
        return []
    name = source.partition("@")[0]
    return [Path(root) / name, Path(root) / name.partition("/")[2]]


def _from_hub(source: str, patterns: Sequence[str], *, local_only: bool) -> Path:
    name, _, revision = source.partition("@")
    owner, repository, *file = name.split("/", 2)
    where: dict[str, Any] = {"repo_id": f"{owner}/{repository}", "revision": revision or None,
                             "local_files_only": local_only}
    if file:
        return Path(str(hf_hub_download(filename=file[0], **where)))
    return Path(str(snapshot_download(allow_patterns=list(patterns) or None, **where)))


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160]}" if str(error).strip() else repr(error)


def _explain(what: str, sources: Sequence[str], tried: Sequence[str], option: str) -> str:
    hub = next((source.partition("@")[0] for source in sources if _is_hub(source)), None)
    lines = [f"no weights for the {what}. Tried:", *(f"  - {line}" for line in tried)]
    if hub:
        name = "/".join(hub.split("/")[:2])
        lines += [
            f"Put the files below ${WEIGHTS_FOLDER_VARIABLE}, e.g. on a connected machine:",
            f"  hf download {name} --local-dir WEIGHTS/{name}    (then set {WEIGHTS_FOLDER_VARIABLE}=WEIGHTS)",
            f"Any of these will do: {', '.join(sources)}; or name a folder with {option}.",
        ]
    elif any(source.startswith("package:") for source in sources):
        lines += ["This version of the package does not contain them. Use another preset (`sketchfusion list`); "
                  "`tiny` runs without any download."]
    else:
        lines += ["Check the path; it must be a folder in the hub's layout (config.json and *.safetensors)."]
    return "\n".join(lines)
