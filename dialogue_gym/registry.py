"""Names for pluggable parts, with errors that offer the nearest valid names."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def nearest(name: str, valid: Iterable[str], forms: str = "") -> str:
    """A clause for error messages: the valid names closest to ``name``, or all of them and other forms.

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
    return "valid names: " + ", ".join(repr(n) for n in names) + (f"; or {forms}" if forms else "")


class Registry(Generic[T]):
    """Factories by name; a part is asked for as a name, ``{"name": ..., **options}``, or an object.

    Names and dicts are JSON, so that an environment made from them has a JSON ``spec``.

    Other packages add names by entry points: a name that is not registered here is looked for among them
    when it is asked for, and only then is their code imported. A name that is registered goes first.

    Args:
        what: the kind of part, for error messages.
        group: the group of entry points that other packages use; "" for none.
        forms: what else a string may be than a name, for error messages.

    Attributes:
        elsewhere: registries whose names people may give here, by what a part of theirs is.

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

    def __init__(self, what: str, group: str = "", forms: str = "") -> None:
        self.what, self.group, self.forms = what, group, forms
        self.elsewhere: Mapping[str, Registry[T]] = {}
        self._factories: dict[str, Callable[..., T]] = {}

    def register(self, name: str, factory: Callable[..., T]) -> None:
        """Make ``factory`` known as ``name``; a name can be taken once."""
        if name in self._factories:
            raise ValueError(f"{self.what} {name!r} is registered already")
        self._factories[name] = factory

    def names(self) -> list[str]:
        """All registered names and those of other packages, sorted."""
        return sorted({*self._factories, *(plugin.name for plugin in self._plugins())})

    def build(self, spec: str | Mapping[str, Any] | T, **context: Any) -> T:
        """Turn a name or a dict into an object; objects come back as they are.

        Raises:
            ValueError: unknown name, options that the factory does not take or needs, or another package's
                part that cannot be loaded; the message names the package.
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
        factory = self._factories.get(name) or self._load(name)
        check_options(factory, options, f"{self.what} {name!r}", self._factories)
        try:
            inspect.signature(factory).bind(**options, **context)
        except TypeError as error:  # a factory that cannot do without an option
            raise ValueError(f"{self.what} {name!r}: {error}") from None
        return factory(**options, **context)

    def _offer(self, name: str) -> str:
        homes = [home for home, other in self.elsewhere.items() if name in other.names()]
        return f"it is {homes[0]}" if homes else nearest(name, self.names(), self.forms)

    def _plugins(self) -> Iterable[EntryPoint]:
        return entry_points(group=self.group) if self.group else ()

    def _load(self, name: str) -> Callable[..., T]:
        """The factory that another package offers under this name."""
        offers = {_package(plugin): plugin for plugin in self._plugins() if plugin.name == name}
        if not offers:
            raise ValueError(f"unknown {self.what} {name!r}: {self._offer(name)}")
        if len(offers) > 1:
            packages = " and ".join(sorted(offers))
            raise ValueError(f"{self.what} {name!r} is offered by {packages}; uninstall one of them")
        [(package, plugin)] = offers.items()
        where = f"{self.what} {name!r} of the package {package!r}"
        try:
            factory: Callable[..., T] = plugin.load()
        except Exception as error:  # whatever their code raises when it is imported
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ValueError(f"{where} cannot be loaded ({plugin.value}): {reason}") from error
        if not callable(factory):
            raise ValueError(f"{where}: {plugin.value} cannot be called, it is of {type(factory)}")
        return factory


def _package(plugin: EntryPoint) -> str:
    return plugin.dist.name if plugin.dist else "?"


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
