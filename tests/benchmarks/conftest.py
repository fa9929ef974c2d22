"""The modules of benchmarks/, importable by each other while the tests run."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
LoadModules = Callable[..., dict[str, ModuleType]]


@pytest.fixture(scope="module")
def load_modules() -> Iterator[LoadModules]:
    """``load_modules("measuring", "mini")``: name -> module, in the order of their imports."""
    with pytest.MonkeyPatch.context() as patch:
        yield lambda *names: {name: load(name, patch) for name in names}


def load(name: str, patch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    patch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module
