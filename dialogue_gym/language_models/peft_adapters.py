"""LoRA adapters of a transformers model in this process."""

import uuid
from pathlib import Path
from typing import Any

from dialogue_gym.language_models.base import LanguageModelError
from dialogue_gym.language_models.modules import check_folder
from dialogue_gym.language_models.quiet import quiet, quiet_hub


def exchanged(model: Any, path: str | Path) -> Any:
    """The model with the adapter in a folder in place of those that it has; its module is changed.

    Args:
        model: of transformers, or one that PEFT has wrapped.
        path: a folder that PEFT saved.

    Raises:
        LanguageModelError: it cannot be loaded; the model is what it was.
        ImportError: PEFT is not installed.
    """
    from peft import PeftModel

    name = f"adapter-{uuid.uuid4().hex[:12]}"
    try:
        check_folder(path, "adapter")
        with quiet(), quiet_hub():  # PEFT asks transformers for what is deprecated
            return (_replaced if isinstance(model, PeftModel) else _wrapped)(model, str(path), name)
    except Exception as error:  # whatever PEFT raises at a folder comes as it likes
        first = f"{type(error).__name__}: {error}".splitlines()[0][:500]
        raise LanguageModelError(f"the adapter {str(path)!r} cannot be loaded: {first}") from error


def _wrapped(model: Any, path: str, name: str) -> Any:
    from peft import PeftConfig, get_peft_model

    config = PeftConfig.from_pretrained(path)
    config.inference_mode = True
    wrapped: Any = get_peft_model(model, config, name)
    try:
        wrapped.load_adapter(path, name)
    except Exception:
        wrapped.unload()
        raise
    return wrapped.eval()


def _replaced(model: Any, path: str, name: str) -> Any:
    before = list(model.peft_config)
    try:
        model.load_adapter(path, name)
    except Exception:
        if name in model.peft_config:
            model.delete_adapter(name)
        raise
    model.set_adapter(name)
    for old in before:
        model.delete_adapter(old)
    return model.eval()
