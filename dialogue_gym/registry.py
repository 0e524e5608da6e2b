"""Names for pluggable parts, with errors that offer the nearest valid names."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def nearest(name: str, valid: Iterable[str]) -> str:
    """A clause for error messages: the valid names closest to ``name``, or all of them.

    Example:
        >>> nearest("scriptd", ["scripted", "prompted"])
        "did you mean 'scripted'?"
        >>> nearest("zzz", ["scripted", "prompted"])
        "valid names: 'prompted', 'scripted'"
    """
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=3)
    if close:
        return "did you mean " + " or ".join(repr(n) for n in close) + "?"
    return "valid names: " + ", ".join(repr(n) for n in names)


class Registry(Generic[T]):
    """Factories by name; a part is asked for as a name, ``{"name": ..., **options}``, or an object.

    Names and dicts are JSON, so that an environment made from them has a JSON ``spec``.

    Example:
        >>> shapes = Registry[list[int]]("shape")
        >>> shapes.register("zeros", lambda n=2: [0] * n)
        >>> shapes.build({"name": "zeros", "n": 3})
        [0, 0, 0]
        >>> shapes.build("zeroes")
        Traceback (most recent call last):
        ...
        ValueError: unknown shape 'zeroes': did you mean 'zeros'?
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._factories: dict[str, Callable[..., T]] = {}

    def register(self, name: str, factory: Callable[..., T]) -> None:
        """Make ``factory`` known as ``name``; a name can be taken once."""
        if name in self._factories:
            raise ValueError(f"{self.what} {name!r} is registered already")
        self._factories[name] = factory

    def names(self) -> list[str]:
        """All registered names, sorted."""
        return sorted(self._factories)

    def build(self, spec: str | Mapping[str, Any] | T, **context: Any) -> T:
        """Turn a name or a dict into an object; objects come back as they are.

        Raises:
            ValueError: unknown name, or options that the factory does not take or needs.
        """
        if isinstance(spec, str):
            name, options = spec, {}
        elif isinstance(spec, Mapping):
            options = dict(spec)
            name = options.pop("name", None)
            if not isinstance(name, str):
                raise ValueError(f"a {self.what} given as a dict needs a 'name', got {dict(spec)!r}")
        elif isinstance(spec, type):
            raise ValueError(f"a {self.what} must be an object, not a class: give {spec.__name__}(...)")
        else:
            return spec
        if name not in self._factories:
            raise ValueError(f"unknown {self.what} {name!r}: {nearest(name, self._factories)}")
        factory = self._factories[name]
        check_options(factory, options, f"{self.what} {name!r}", self._factories)
        try:
            inspect.signature(factory).bind(**options, **context)
        except TypeError as error:  # a factory that cannot do without an option
            raise ValueError(f"{self.what} {name!r}: {error}") from None
        return factory(**options, **context)


def check_options(
    function: Callable[..., Any],
    options: Mapping[str, Any],
    where: str,
    others: Mapping[str, Callable[..., Any]] = MappingProxyType({}),
) -> None:
    """Raise ValueError, with the nearest names, for options that ``function`` does not take.

    Args:
        function: what the options are for; one with ``**keywords`` takes any.
        options: by name.
        where: what the message calls the function.
        others: functions in its place, by name; the message says which of them take the option.
    """
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    valid = _option_names(function)
    for option in options:
        if option not in valid:
            takers = [repr(name) for name, other in sorted(others.items()) if option in _option_names(other)]
            offer = f"valid for {' and '.join(takers)}" if takers else nearest(option, valid)
            raise ValueError(f"{where} has no option {option!r}: {offer}")


def _option_names(function: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
