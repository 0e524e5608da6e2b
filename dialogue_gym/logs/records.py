"""The log format: one recorded dialogue a line, as JSON.

A line is an object with ``schema_version`` and the fields of ``DialogueRecord``, in that order, in
UTF-8 and compact form. Lines are only ever appended, each by one write, so that several processes can
share a log and one that is killed spoils at most the line it was writing.
"""

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from io import FileIO
from pathlib import Path
from typing import Any, Literal, overload

from dialogue_gym.dialogue import EndReason, Message, Transcript, clean_text
from dialogue_gym.logs.lines import MAX_LINE, bounded_lines
from dialogue_gym.registry import nearest

if sys.platform != "win32":
    import fcntl

SCHEMA_VERSION = 1


@dataclass(slots=True)
class DialogueRecord:
    """One recorded dialogue: the laboratory's view, with everything.

    Attributes:
        env_id: for example "MathChat-v0".
        split: the split that the task came from.
        task: ``tasks.task_to_dict`` of the task; None for imported dialogues without one.
        persona: the persona's fields; None when unknown (people).
        task_seed: keys the task, persona and opening.
        reply_seed: keys the user's replies.
        simulator: identity of the user.
        policy: identity of the agent; empty when unknown.
        messages: the dialogue; user first, roles alternate.
        turns_metadata: the user's metadata, one dict for each user message.
        end_reason: an ``EndReason`` value; None when it is not over.
        reward: None when unscored.
        metrics: the scorer's.
        extra: anything else that an importer or a study wants to keep. ``turn_rewards`` in it, one number for
            each message of the agent or None, are what learners are paid in place of the reward.
    """

    env_id: str
    split: str
    task: dict[str, Any] | None
    persona: dict[str, Any] | None
    task_seed: int
    reply_seed: int
    simulator: dict[str, Any]
    policy: dict[str, Any]
    messages: list[Message]
    turns_metadata: list[dict[str, Any]]
    end_reason: str | None
    reward: float | None
    metrics: dict[str, float]
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class PolicyRecord:
    """One recorded dialogue as the agent may see it: the policy's view, which every learner reads.

    Nothing of the task, the persona, the seeds that draw them, or the user's metadata is in it.

    Attributes:
        env_id: for example "MathChat-v0".
        messages: the dialogue; user first, roles alternate.
        end_reason: an ``EndReason`` value; None when it is not over.
        reward: None when unscored.
        turn_rewards: what each message of the agent is paid in training, where the log was annotated
            (``dialogue_gym.rewards``); the score stays in ``reward``.
    """

    env_id: str
    messages: list[Message]
    end_reason: str | None
    reward: float | None
    turn_rewards: list[float] | None = None

    @property
    def scored(self) -> bool:
        """Whether there is a reward; without one, it is missing, not zero."""
        return self.reward is not None

    @property
    def turns(self) -> int:
        """Assistant messages in the dialogue."""
        return len(self.messages) // 2

    @property
    def paid(self) -> list[float]:
        """What each message of the agent earns in training: ``turn_rewards``, or the reward with the last."""
        if self.turn_rewards is not None:
            return self.turn_rewards
        return [*[0.0] * (self.turns - 1), self.reward or 0.0] if self.turns else []


_FIELDS = [f.name for f in fields(DialogueRecord)]


def policy_view(record: DialogueRecord) -> PolicyRecord:
    """What the agent may see of a record."""
    messages: list[Message] = [{"role": m["role"], "content": m["content"]} for m in record.messages]
    paid = record.extra.get("turn_rewards")
    return PolicyRecord(
        record.env_id, messages, record.end_reason, record.reward, None if paid is None else list(paid)
    )


# writing -------------------------------------------------------------------------------------------


def append(path: str | Path, records: Iterable[DialogueRecord], *, fsync: bool = False) -> None:
    """Append records to a log, which is created when it does not exist; one write for each line.

    Tuples come back as lists and keys as strings, as JSON has it; lone surrogates become U+FFFD.

    Args:
        path: the log; its folder must exist.
        records: may be any iterable; those before a bad one are in the log already when it is found.
        fsync: whether to wait after the last line until the disk has them all.

    Raises:
        ValueError: a record that ``read_log`` would refuse, or a log whose last line is half written.
    """
    with _exclusive(path) as file:
        if not _ends_whole(file):
            raise ValueError(f"{path}: the last line is half written; repair_log removes it")
        for number, record in enumerate(records):
            line = _line(record, f"{path}: record {number} to append")
            if file.write(line) != len(line):
                raise OSError(f"{path}: no room for a whole line; repair_log removes the half")
        if fsync:
            os.fsync(file.fileno())


def repair_log(path: str | Path) -> int:
    """Remove a half-written last line, or end a whole one; returns the number of bytes removed."""
    with _exclusive(path) as file:
        if _ends_whole(file):
            return 0
        file.seek(0)
        content = file.read()
        start = content.rfind(b"\n") + 1
        try:
            _parse(content[start:], str(path))
        except ValueError:
            file.truncate(start)
            return len(content) - start
        file.write(b"\n")
        return 0


@contextmanager
def _exclusive(path: str | Path) -> Iterator[FileIO]:
    """The log open for appending, unbuffered, while no other process appends to it."""
    with open(path, "ab+", buffering=0) as file:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _ends_whole(file: FileIO) -> bool:
    """Whether the file is empty or its last line has its end."""
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _line(record: DialogueRecord, where: str) -> bytes:
    if not isinstance(record, DialogueRecord):
        raise ValueError(f"{where}: is of type {type(record).__name__}, should be a DialogueRecord")
    parts = [f'"schema_version":{SCHEMA_VERSION}']
    for name in _FIELDS:
        value = getattr(record, name)
        _check_field(name, value, where)
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            raise _fault(where, name, f"cannot be written as JSON ({error})") from None
        parts.append(f'"{name}":{text}')
    _check_whole(record, where)
    line = (clean_text("{" + ",".join(parts) + "}") + "\n").encode()
    _check_length(len(line), where)
    return line


# reading -------------------------------------------------------------------------------------------


@overload
def read_log(
    path: str | Path, view: Literal["laboratory"] = ..., *, half_line: Literal["raise", "ignore"] = ...
) -> Iterator[DialogueRecord]: ...
@overload
def read_log(
    path: str | Path, view: Literal["policy"], *, half_line: Literal["raise", "ignore"] = ...
) -> Iterator[PolicyRecord]: ...
def read_log(
    path: str | Path,
    view: Literal["laboratory", "policy"] = "laboratory",
    *,
    half_line: Literal["raise", "ignore"] = "raise",
) -> Iterator[DialogueRecord] | Iterator[PolicyRecord]:
    """The dialogues of a log, in order, one at a time.

    Args:
        path: the log.
        view: "laboratory" for everything, "policy" for what an agent may see.
        half_line: what to do about a last line that a killed process left half written: "raise", or
            "ignore" it. (``repair_log`` removes it.)

    Raises:
        FileNotFoundError: no such file.
        ValueError: unknown view, or a line that is no record; ``FILE:LINE: field 'x': what is wrong``.
    """
    for what, value, valid in (
        ("view", view, ("laboratory", "policy")),
        ("half_line", half_line, ("raise", "ignore")),
    ):
        if value not in valid:
            raise ValueError(f"unknown {what} {value!r}: {nearest(str(value), valid)}")
    if not Path(path).is_file():
        what = "a folder, no log" if Path(path).is_dir() else "no such log"
        raise FileNotFoundError(f"{path}: {what}")
    records = _records(path, half_line == "ignore")
    return map(policy_view, records) if view == "policy" else records


def _records(path: str | Path, ignore_half_line: bool) -> Iterator[DialogueRecord]:
    with open(path, "rb") as file:
        for number, (line, length) in enumerate(bounded_lines(file), 1):
            where = f"{path}:{number}"
            _check_length(length, where)
            try:
                data = _parse(line, where)
            except ValueError:
                if line.endswith(b"\n"):
                    raise
                if ignore_half_line:
                    return
                raise ValueError(
                    f'{where}: the last line is half written; half_line="ignore" leaves it out, '
                    "repair_log removes it"
                ) from None
            yield _record(data, where)


def _record(data: dict[str, Any], where: str) -> DialogueRecord:
    version = data.pop("schema_version", None)
    if type(version) is not int or version != SCHEMA_VERSION:
        raise _fault(where, "schema_version", f"is {_short(version)}, should be {SCHEMA_VERSION}")
    for name in data:
        if name not in _FIELDS:
            raise _fault(where, name, f"is not known; {nearest(name, _FIELDS)}")
    for name in _FIELDS:
        if name not in data:
            raise _fault(where, name, f"is missing, should be {_CHECKS[name][1]}")
        _check_field(name, data[name], where)
    record = DialogueRecord(**data)
    _check_whole(record, where)
    for message in record.messages:
        message["content"] = clean_text(message["content"])  # escapes in others' logs can spell surrogates
    return record


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        data = json.loads(line.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: not UTF-8 (byte {error.start}), should be UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not JSON ({error}), should be one JSON object") from None
    if not isinstance(data, dict):
        raise ValueError(f"{where}: a JSON {type(data).__name__}, should be one JSON object")
    return data


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _check_length(length: int, where: str) -> None:
    if length > MAX_LINE:
        raise ValueError(f"{where}: {length} bytes long, should be at most {MAX_LINE}")


# validation ----------------------------------------------------------------------------------------


def _is_int(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max and math.isfinite(value)


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


_END_REASONS = [reason.value for reason in EndReason]
_Check = tuple[Callable[[Any], bool], str]
_TEXT: _Check = (lambda v: isinstance(v, str), "a text")
_SEED: _Check = (_is_int, "a non-negative int")
_OBJECT: _Check = (_is_dict, "an object")
_OBJECT_OR_NULL: _Check = (lambda v: v is None or _is_dict(v), "an object or null")

# How each field is checked, and what it should be.
_CHECKS: Mapping[str, _Check] = {
    "env_id": _TEXT,
    "split": _TEXT,
    "task": _OBJECT_OR_NULL,
    "persona": _OBJECT_OR_NULL,
    "task_seed": _SEED,
    "reply_seed": _SEED,
    "simulator": _OBJECT,
    "policy": _OBJECT,
    "messages": (lambda v: isinstance(v, list), "a list of messages"),
    "turns_metadata": (
        lambda v: isinstance(v, list) and all(map(_is_dict, v)),
        "a list of objects, one for each user message",
    ),
    "end_reason": (lambda v: v is None or v in _END_REASONS, f"null or one of {', '.join(_END_REASONS)}"),
    "reward": (lambda v: v is None or _is_number(v), "a finite number or null"),
    "metrics": (lambda v: _is_dict(v) and all(map(_is_number, v.values())), "an object of finite numbers"),
    "extra": _OBJECT,
}


def _check_field(name: str, value: Any, where: str) -> None:
    fits, expected = _CHECKS[name]
    if not fits(value):
        raise _fault(where, name, f"is {_short(value)}, should be {expected}")
    if name == "messages":
        _check_messages(value, where)


def _check_messages(messages: list[Any], where: str) -> None:
    transcript = Transcript()
    for i, message in enumerate(messages):
        if not (
            isinstance(message, dict)
            and message.keys() == {"role", "content"}
            and all(isinstance(text, str) for text in message.values())
        ):
            raise _fault(
                where,
                "messages",
                f'message {i} is {_short(message)}, should be an object with the texts "role" and "content"',
            )
        try:
            transcript.add(message["role"], message["content"])
        except ValueError as error:
            raise _fault(where, "messages", str(error)) from None


def _check_whole(record: DialogueRecord, where: str) -> None:
    """What must hold between fields."""
    expected = (len(record.messages) + 1) // 2
    if len(record.turns_metadata) != expected:
        raise _fault(
            where,
            "turns_metadata",
            f"has {len(record.turns_metadata)} items, should have {expected}, one for each user message",
        )
    paid = record.extra.get("turn_rewards")
    if paid is not None and not _one_for_each_reply(paid, len(record.messages) // 2):
        raise _fault(
            where,
            "extra",
            f"turn_rewards is {_short(paid)}, should be null or {len(record.messages) // 2} finite numbers, "
            "one for each message of the agent",
        )
    reason = record.end_reason
    if record.reward is not None and reason is not None and not EndReason(reason).scored:
        raise _fault(
            where,
            "reward",
            f"is {record.reward}, should be null: a dialogue that ended by {reason!r} is unscored",
        )


def _one_for_each_reply(values: Any, replies: int) -> bool:
    return isinstance(values, list | tuple) and len(values) == replies and all(map(_is_number, values))


def _fault(where: str, name: str, what: str) -> ValueError:
    return ValueError(f"{where}: field {name!r}: {what}")


def _short(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
