"""Language models behind one batched protocol."""

import importlib
from collections.abc import Mapping
from typing import Any

from dialogue_gym.language_models.base import (
    Completion,
    FinishReason,
    GenerationRequest,
    LanguageModel,
    Sampling,
    language_models,
)

__all__ = [
    "Completion",
    "FinishReason",
    "GenerationRequest",
    "LanguageModel",
    "Sampling",
    "language_models",
    "load_language_model",
]


def load_language_model(spec: str | Mapping[str, Any] | LanguageModel) -> LanguageModel:
    """Turn ``"NAME"``, ``"NAME:PATH"`` or ``{"name": NAME, **options}`` into a model; objects pass through.

    ``"transformers:PATH"`` is ``{"name": "transformers", "path": PATH}``.

    Raises:
        ValueError: an unknown name or option, or no path where one is needed.
        FileNotFoundError: nothing loadable at the path.
        ImportError: an extra is not installed; the message names it.

    Example:
        >>> load_language_model("tinny")
        Traceback (most recent call last):
        ...
        ValueError: unknown language model 'tinny': did you mean 'tiny'?
    """
    if isinstance(spec, str) and ":" in spec:
        name, path = spec.split(":", 1)
        return language_models.build({"name": name, "path": path})
    return language_models.build(spec)


def _import_with_extra(module: str, needs: str) -> Any:
    """Import a module that needs packages of an extra; the error says how to get them."""
    try:
        for package in needs.split():
            importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f'this language model needs {needs.replace(" ", ", ")}: pip install "dialogue-gym[llm]" ({error})'
        ) from error
    return importlib.import_module(module)


def _transformers(
    path: str | None = None,
    dtype: str = "float32",
    adapter: str | None = None,
    max_context: int | None = None,
    device: str | None = None,
) -> LanguageModel:
    if not path:
        raise ValueError("language model 'transformers' needs a folder or hub name: 'transformers:PATH'")
    engine = _import_with_extra("dialogue_gym.language_models.transformers_engine", "torch transformers")
    model: LanguageModel = engine.TransformersModel.from_pretrained(
        path, dtype=dtype, adapter=adapter, max_context=max_context, device=device
    )
    return model


def _tiny() -> LanguageModel:
    module = _import_with_extra("dialogue_gym.language_models.tiny_model", "torch transformers")
    model: LanguageModel = module.load_tiny_model()
    return model


language_models.register("transformers", _transformers)
language_models.register("tiny", _tiny)
