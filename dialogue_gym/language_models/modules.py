"""What the transformers engine must know about a module that it did not build."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.language_models.quiet import quiet_hub

_OF_A_FOLDER = ("/", "./", "../", "~", ".\\", "..\\")
_on_cpu = ContextVar("on_cpu", default=False)


@contextmanager
def on_cpu(stay: bool = True) -> Iterator[None]:
    """Inside, models that are loaded without a device stay on the CPU even where there is an accelerator.

    Args:
        stay: False changes nothing.
    """
    token = _on_cpu.set(stay or _on_cpu.get())
    try:
        yield
    finally:
        _on_cpu.reset(token)


def default_device() -> str:
    """Where a model goes that is loaded without a device: the accelerator that torch finds, else the CPU.

    Under ``torchrun`` and ``accelerate launch`` it is the one of this process. Apple's has no float64, in
    which tokens are drawn, so the CPU it is there.
    """
    import torch

    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if found is None or found.type == "mps" or _on_cpu.get():
        return "cpu"
    local = os.environ.get("LOCAL_RANK")
    return str(found) if local is None else f"{found.type}:{local}"


def check_folder(path: str | Path, what: str) -> None:
    """Refuse a path that can only be a folder, and is none; "owner/name" may be a name of the hub.

    Raises:
        FileNotFoundError: there is no such folder.

    Example:
        >>> check_folder("./no/such", "adapter")
        Traceback (most recent call last):
        ...
        FileNotFoundError: no adapter at './no/such': there is no such folder
    """
    text = str(path)
    local = isinstance(path, Path) or text.startswith(_OF_A_FOLDER) or text.count("/") > 1
    if local and not Path(path).is_dir():
        raise FileNotFoundError(f"no {what} at {text!r}: there is no such folder")


def load_module(path: str | Path, dtype: str) -> tuple[Any, ChatCodec]:
    """A causal LM of transformers, and the chat codec of its tokenizer.

    Raises:
        FileNotFoundError: nothing loadable there.
        ValueError: the tokenizer's template cannot work.
    """
    from transformers import AutoModelForCausalLM

    codec = load_codec(path, "language model")
    with _loading(path, "language model"):
        return AutoModelForCausalLM.from_pretrained(str(path), dtype=dtype, use_safetensors=True), codec


def load_codec(path: str | Path, what: str) -> ChatCodec:
    """The chat codec of the tokenizer in a folder or on the hub.

    Raises:
        FileNotFoundError: no tokenizer there; ``what`` says what is missing.
        ValueError: its chat template is missing, rewrites history, or is unfit in another way.
    """
    from transformers import AutoTokenizer

    check_folder(path, what)
    with _loading(path, what):
        tokenizer = AutoTokenizer.from_pretrained(str(path))
    return ChatCodec(tokenizer)


@contextmanager
def _loading(path: str | Path, what: str) -> Iterator[None]:
    """Inside, what cannot be loaded raises FileNotFoundError in one line."""
    try:
        with quiet_hub():
            yield
    except (OSError, ValueError) as error:
        where = "" if Path(path).is_dir() else "no such folder, nor a name of the hub that loads: "
        first = str(error).strip().splitlines()[0]
        raise FileNotFoundError(f"no {what} at {str(path)!r}: {where}{first}") from error


def check_positions(config: Any, limit: int) -> None:
    """Refuse rotary positions that a long row would change for its neighbours.

    Raises:
        ValueError: they would, within ``limit`` tokens.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    original = rope.get("original_max_position_embeddings", getattr(config, "max_position_embeddings", limit))
    kind = rope.get("rope_type")
    if kind in ("dynamic", "longrope") and limit > original:
        raise ValueError(
            f"{kind} positions of a whole batch change when one row passes {original} tokens; "
            f"give max_context={original} or less"
        )


def unwrapped(model: Any) -> Any:
    """The transformers model inside PEFT's wrapper, whose ``forward`` names no options."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode inside; afterwards each submodule is as it was, frozen ones too."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
