"""Language models behind one batched protocol."""

import importlib
import json
from collections.abc import Mapping
from typing import Any

from dialogue_gym.language_models.base import (
    AdapterModel,
    Completion,
    FinishReason,
    GenerationRequest,
    LanguageModel,
    LanguageModelError,
    Sampling,
    language_models,
)
from dialogue_gym.language_models.http_model import HttpModel

__all__ = [
    "AdapterModel",
    "Completion",
    "FinishReason",
    "GenerationRequest",
    "HttpModel",
    "LanguageModel",
    "LanguageModelError",
    "Sampling",
    "language_models",
    "load_adapter_model",
    "load_language_model",
    "named_language_model",
]


def load_language_model(spec: str | Mapping[str, Any] | LanguageModel) -> LanguageModel:
    """Turn a name, ``{"name": NAME, **options}`` or what ``named_language_model`` reads into a model.

    Objects pass through.

    Raises:
        ValueError: an unknown name or option, or no path, address or model where one is needed.
        FileNotFoundError: nothing loadable at the path.
        ImportError: an extra is not installed; the message names it.

    Example:
        >>> load_language_model("tinny")
        Traceback (most recent call last):
        ...
        ValueError: unknown language model 'tinny': did you mean 'tiny'?
    """
    return language_models.build(named_language_model(spec) if isinstance(spec, str) else spec)


def load_adapter_model(spec: str | Mapping[str, Any] | LanguageModel) -> AdapterModel:
    """``load_language_model`` for a learner's engine.

    Raises:
        ValueError: a model that cannot be trained against; the message says what it lacks. Else as there.
    """
    model: Any = load_language_model(spec)
    # looked for on the class and the object, so that no property is asked that would call a server
    lacking = [
        name
        for name in ("codec", "score", "load_adapter")
        if name not in vars(model) and not hasattr(type(model), name)
    ]
    if lacking:
        raise ValueError(
            f"{model} cannot be a learner's engine, it has no {', '.join(lacking)}: use 'vllm:PATH', "
            "'transformers:PATH' or a vLLM server as "
            '{"name": "http", "base_url": ADDRESS, "model": NAME, "tokenizer": FOLDER}'
        )
    engine: AdapterModel = model
    return engine


def named_language_model(spec: str) -> dict[str, Any]:
    """The name and options that a string stands for.

    It may be "NAME", "NAME:PATH", "ADDRESS[,ADDRESS]#MODEL", or all options as a JSON object.

    Raises:
        ValueError: an address without a model, or broken JSON.

    Example:
        >>> named_language_model("transformers:FOLDER")
        {'name': 'transformers', 'path': 'FOLDER'}
        >>> named_language_model("http://localhost:8000/v1#Qwen/Qwen3-4B")
        {'name': 'http', 'base_url': 'http://localhost:8000/v1', 'model': 'Qwen/Qwen3-4B'}
        >>> named_language_model("http://a/v1,http://b/v1#m")["base_url"]
        'http://a/v1,http://b/v1'
        >>> named_language_model('{"name": "transformers", "path": "FOLDER", "dtype": "bfloat16"}')["dtype"]
        'bfloat16'
    """
    if spec.lstrip().startswith("{"):
        return _json_options(spec)
    name, colon, path = spec.partition(":")
    if colon and name.lower() in ("http", "https"):
        base_url, _, model = spec.partition("#")
        if not model:
            raise ValueError(
                "a language model over HTTP needs a model after '#': 'http://HOST:PORT/v1#MODEL'"
            )
        return {"name": "http", "base_url": base_url, "model": model}
    return {"name": name, "path": path} if colon else {"name": name}


def _json_options(spec: str) -> dict[str, Any]:
    try:
        options: dict[str, Any] = json.loads(spec)
    except ValueError as error:
        raise ValueError(f"a language model as JSON: {error}") from None
    return options


def _import_with_extra(module: str, needs: str, extra: str = "llm") -> Any:
    """Import a module that needs packages of an extra; the error says how to get them."""
    try:
        for package in needs.split():
            importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"this language model needs {needs.replace(' ', ', ')}: "
            f'pip install "dialogue-gym[{extra}]" ({error})'
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


def _vllm(
    path: str | None = None,
    dtype: str = "float32",
    adapter: str | None = None,
    max_context: int | None = None,
    lora_rank: int = 16,
    cache_gib: float = 4.0,
    engine_args: Mapping[str, Any] | None = None,
) -> LanguageModel:
    if not path:
        raise ValueError("language model 'vllm' needs a folder or hub name: 'vllm:PATH'")
    engine = _import_with_extra("dialogue_gym.language_models.vllm_engine", "vllm transformers", "vllm")
    model: LanguageModel = engine.VllmModel(
        path,
        dtype=dtype,
        adapter=adapter,
        max_context=max_context,
        lora_rank=lora_rank,
        cache_gib=cache_gib,
        engine_args=engine_args,
    )
    return model


def _tiny() -> LanguageModel:
    module = _import_with_extra("dialogue_gym.language_models.tiny_model", "torch transformers")
    model: LanguageModel = module.load_tiny_model()
    return model


language_models.register("transformers", _transformers)
language_models.register("vllm", _vllm)
language_models.register("tiny", _tiny)
language_models.register("http", HttpModel)
