"""Adapters: added to the weights for a while, and written for engines to load."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def merged(model: Any) -> Iterator[None]:
    """The adapter is part of the weights inside; afterwards these are what they were, bit for bit.

    PEFT's own way back subtracts what was added, and what rounding takes each time is gone for good. Here
    the old weights are kept, at the price of a second copy of those that have an adapter.

    Args:
        model: of PEFT; its adapter must be of a kind that can be merged.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    kept = [layer.get_base_layer().weight.data for layer in layers]
    try:
        model.merge_adapter(safe_merge=True)  # into new memory; the old weights stay untouched
        yield
    finally:
        model.unmerge_adapter()
        for layer, weight in zip(layers, kept, strict=True):
            layer.get_base_layer().weight.data = weight


def save_adapter(model: Any, folder: Path) -> None:
    """Write the adapter of a PEFT model, all or nothing.

    Args:
        model: of PEFT.
        folder: replaced where there is one.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def keep_only(folder: Path) -> None:
    """Delete what stands beside an adapter: those before it, and what a kill has cut off."""
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other)
