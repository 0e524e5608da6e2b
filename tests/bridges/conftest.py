"""Stand-ins for packages that are not installed: what a bridge uses of them, by name."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest


@contextmanager
def _standing_in(bridge: str, modules: dict[str, dict[str, Any]]) -> Iterator[ModuleType]:
    """The bridge, imported beside these modules; neither is left behind."""
    before = dict(sys.modules)
    name = f"dialogue_gym.bridges.{bridge}"
    sys.modules.pop(name, None)
    try:
        for module, attributes in modules.items():
            sys.modules[module] = ModuleType(module)
            vars(sys.modules[module]).update(attributes)
        yield importlib.import_module(name)
    finally:
        for module in (*modules, name):
            sys.modules.pop(module, None)
            if module in before:
                sys.modules[module] = before[module]


@pytest.fixture
def standing_in() -> Callable[[str, dict[str, dict[str, Any]]], Any]:
    return _standing_in


@pytest.fixture
def without() -> Callable[[str, str], None]:
    """Check that a bridge says what to install where its package is missing."""

    def check(bridge: str, package: str) -> None:
        name = f"dialogue_gym.bridges.{bridge}"
        before = {n: m for n, m in sys.modules.items() if n.split(".")[0] == package or n == name}
        for module in before:
            del sys.modules[module]
        sys.modules[package] = None  # type: ignore[assignment]
        try:
            with pytest.raises(ImportError, match=f"pip install .*{package.replace('_', '.')}|from pip"):
                importlib.import_module(name)
        finally:
            del sys.modules[package]
            sys.modules.update(before)

    return check
