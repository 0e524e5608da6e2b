"""What is written down of a language model's settings: texts for other programs may be keys, and are not."""

import hashlib
from collections.abc import Mapping
from typing import Any

_PASSED_ON = ("extra_body", "engine_args")  # to a server, to vLLM: "api_key", "hf_token"


def shown(value: Any) -> Any:
    """Names, numbers, true, false and null as they are; of a text only whether it is the same as another.

    Example:
        >>> shown({"top_k": 20, "api_key": "sk-123"})
        {'top_k': 20, 'api_key': 'text acb42a'}
    """
    if isinstance(value, Mapping):
        return {str(name): shown(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [shown(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    # so short that many texts have it, and long enough that other settings are noticed
    return f"text {hashlib.sha256(str(value).encode()).hexdigest()[:6]}"


def shown_settings(settings: Any) -> Any:
    """JSON-able settings, in which the fields that are passed on to other programs are ``shown``.

    Example:
        >>> shown_settings({"language_model": {"model": "m", "extra_body": {"top_k": 20}}})
        {'language_model': {'model': 'm', 'extra_body': {'top_k': 20}}}
    """
    if isinstance(settings, Mapping):
        return {
            name: shown(value) if name in _PASSED_ON else shown_settings(value)
            for name, value in settings.items()
        }
    return [shown_settings(value) for value in settings] if isinstance(settings, list | tuple) else settings
