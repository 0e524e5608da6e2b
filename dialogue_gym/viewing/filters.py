"""Filters as people type them: ``score<0.5``, ``end=user_stop``, ``persona.patience>8``, ``flag=leak``."""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from dialogue_gym.dialogue import EndReason
from dialogue_gym.registry import nearest
from dialogue_gym.viewing.entries import Entry, name_of
from dialogue_gym.viewing.flags import FLAGS

Value = float | str | Sequence[str] | None

_FORM = re.compile(r"\s*([a-zA-Z_][\w.-]*)\s*(<=|>=|!=|=|<|>|~)\s*(.*?)\s*", re.S)
_COMPARE: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq}
)


def _identity(identity: dict[str, Any]) -> Sequence[str]:
    return [str(identity.get("name", "unknown")), name_of(identity)]


_FIELDS: Mapping[str, Callable[[Entry], Value]] = MappingProxyType(
    {
        "end": lambda e: e.record.end_reason,
        "score": lambda e: e.record.reward,
        "turns": lambda e: float(sum(m["role"] == "assistant" for m in e.record.messages)),
        "simulator": lambda e: _identity(e.record.simulator),
        "policy": lambda e: _identity(e.record.policy),
        "env": lambda e: e.record.env_id,
        "split": lambda e: e.record.split,
        "task": lambda e: str((e.record.task or {}).get("id", "")) or None,
        "seed": lambda e: None if e.seeds is None else float(e.seeds[0]),
        "flag": lambda e: e.flag_names,
        "text": lambda e: "\n".join(m["content"] for m in e.record.messages),
    }
)
_OPEN = ("persona.", "metrics.")
_NUMBERS = ("score", "turns", "seed", "metrics.")
_VALUES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"end": (*(reason.value for reason in EndReason), "none"), "flag": (*FLAGS, "none")}
)


def apply_filters(entries: Iterable[Entry], filters: Iterable[str]) -> list[Entry]:
    """The entries that fit all filters.

    A filter is FIELD OP VALUE. Fields: end, score, turns, simulator, policy, env, split, task, seed, flag,
    text, persona.FIELD, metrics.NAME. Ops: ``= != < <= > >=`` and ``~`` (contains, in any case). The value
    ``none`` stands for what is missing: ``score=none`` are the unscored ones; other comparisons leave
    entries without the value out.

    Raises:
        ValueError: a filter of another form, or an unknown field or value, with the nearest ones.

    Example:
        >>> apply_filters([], ["scor<0.5"])
        Traceback (most recent call last):
        ...
        ValueError: filter 'scor<0.5': unknown field 'scor': did you mean 'score'?
    """
    everything = list(entries)
    tests = [_parsed(text, everything) for text in filters]
    return [entry for entry in everything if all(fits(entry) for fits in tests)]


def _parsed(text: str, entries: Sequence[Entry]) -> Callable[[Entry], bool]:
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"filter {text!r} should be FIELD OP VALUE, such as 'score<0.5' or 'end=user_stop'")
    field, op, wanted = match.groups()
    read = _reader(text, field, entries)
    if wanted == "none" and op in ("=", "!="):
        return lambda entry: (read(entry) in (None, [], "")) == (op == "=")
    _check_value(text, field, op, wanted)
    return lambda entry: _holds(read(entry), op, wanted)


def _reader(text: str, field: str, entries: Sequence[Entry]) -> Callable[[Entry], Value]:
    if field in _FIELDS:
        return _FIELDS[field]
    owner, dot, name = field.partition(".")
    if owner + dot not in _OPEN:
        offer = nearest(field, [*_FIELDS, *(f"{prefix}NAME" for prefix in _OPEN)])
        raise ValueError(f"filter {text!r}: unknown field {field!r}: {offer}")
    names = {key for e in entries for key in getattr(e.record, owner) or ()}
    if entries and name not in names:
        offer = nearest(name, names) if names else f"there are no {owner} in this log"
        raise ValueError(f"filter {text!r}: no dialogue has {field!r}: {offer}")
    return lambda entry: _plain((getattr(entry.record, owner) or {}).get(name))


def _plain(value: Any) -> Value:
    """A persona's value; true and false are words."""
    if isinstance(value, bool):
        return str(value).lower()
    return float(value) if isinstance(value, int | float) else None if value is None else str(value)


def _check_value(text: str, field: str, op: str, wanted: str) -> None:
    if op in ("=", "!=") and field in _VALUES and wanted not in _VALUES[field]:
        raise ValueError(f"filter {text!r}: {field} is never {wanted!r}: {nearest(wanted, _VALUES[field])}")
    numeric = field.startswith(_NUMBERS) or op in ("<", "<=", ">", ">=")
    if numeric and op != "~" and _number(wanted) is None:
        raise ValueError(f"filter {text!r}: {wanted!r} should be a number")


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _holds(value: Value, op: str, wanted: str) -> bool:
    if value is None:
        return False
    if isinstance(value, float) and op != "~":
        number = _number(wanted)
        equal = number is not None and value == number
        return not equal if op == "!=" else number is not None and _COMPARE[op](value, number)
    texts = [value] if isinstance(value, str) else [str(value)] if isinstance(value, float) else value
    if op == "~":
        return any(wanted.casefold() in one.casefold() for one in texts)
    if op in ("=", "!="):
        return (wanted in texts) == (op == "=")
    return False
