"""What may be given to a language model over HTTP: addresses, keys and numbers, checked when it is built."""

import os
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

_GOOD = "http://HOST:PORT/v1 or https://HOST/v1"


def require(condition: object, problem: str) -> None:
    """Raise ValueError, in one line, unless the condition holds."""
    if not condition:
        raise ValueError(f"language model 'http': {problem}")


def checked_urls(base_url: Any) -> tuple[str, ...]:
    """The addresses, without slashes at their ends, of one address, of several with commas, or of a list.

    Raises:
        ValueError: no web address, one twice, or one that holds a password or query, which are not shown.

    Example:
        >>> checked_urls("http://a/v1/,http://b/v1")
        ('http://a/v1', 'http://b/v1')
    """
    several = base_url.split(",") if isinstance(base_url, str) else base_url
    listed = isinstance(several, Iterable) and not isinstance(several, bytes | Mapping)
    require(listed, f"base_url must be {_GOOD}, or a list of such, got {base_url!r}")
    urls = tuple(_checked_url(url) for url in several)
    require(urls, f"base_url must be {_GOOD}, or a list of such, got an empty one")
    twice = next((url for url in urls if urls.count(url) > 1), None)
    require(twice is None, f"base_url holds {twice!r} twice")
    return urls


def api_key(variable: str, default: str) -> str | None:
    """The API key in an environment variable; None where it is the default one and not set.

    Raises:
        ValueError: a variable that is not set, or holds what cannot be sent; the message does not show it.
    """
    key = os.environ.get(variable, "").strip()
    require(
        key or variable == default,
        f"the environment variable {variable} (api_key_variable) is not set; it should hold the API key",
    )
    require(
        key.isascii() and key.isprintable() and " " not in key,
        f"the environment variable {variable} holds more than an API key: spaces, or letters beyond ASCII",
    )
    return key or None


def check_whole(name: str, value: Any, least: int) -> None:
    """Raise ValueError unless the value is an int of at least ``least``."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    require(whole and value >= least, f"{name} must be an int of at least {least}, got {value!r}")


def check_positive(name: str, value: Any) -> None:
    """Raise ValueError unless the value is a number above 0."""
    require(isinstance(value, int | float) and value > 0, f"{name} must be positive, got {value!r}")


def _checked_url(url: Any) -> str:
    require(isinstance(url, str), f"base_url must be {_GOOD}, got {url!r}")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"language model 'http': base_url must be {_GOOD}; {error}") from None
    require(
        not (parts.username or parts.password or parts.query),
        f"base_url must be {_GOOD}, without a user name, password or query; keys come from the environment",
    )
    require(
        parts.scheme in ("http", "https") and host and not parts.fragment and url.split() == [url],
        f"base_url must be {_GOOD}, got {url!r}",
    )
    return str(url).rstrip("/")
