"""Rows of others' data sets as dialogue records; one reader for each format.

What every reader does: runs of one side are merged into one message; where the agent speaks first, an
empty user message stands for the opening that nobody logged, and the beginning is marked as censored;
fields of the row that are not dialogue are kept in ``extra["fields"]``. Who spoke as the user is said in
``simulator``: ``{"name": "people"}`` where people did and nowhere else. Records with the same
``extra["group"]`` are excerpts of one chat: what splits a log keeps them together.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from dialogue_gym.dialogue import EndReason
from dialogue_gym.logs.readings import (
    DOCUMENT,
    ENVIRONMENTS,
    IDS,
    MATH,
    Options,
    Read,
    listed,
    made,
    text_of,
)
from dialogue_gym.logs.records import SCHEMA_VERSION, _record
from dialogue_gym.logs.sources import BadRow, Row


def form_of(row: Mapping[str, Any]) -> str:
    """The name of the row's format, from its fields.

    Raises:
        BadRow: it is none that is known.
    """
    for name, fits in _SIGNS.items():
        if fits(row):
            return name
    fields = ", ".join(map(repr, [*row][:8])) or "none"
    raise BadRow("unknown form", f"of no known form (fields: {fields}); --format names one of {[*READERS]}")


def read_row(row: Row, form: str, options: Options) -> Read:
    """The row's dialogue.

    Raises:
        BadRow: what is wrong with the row.
    """
    assert row.data is not None
    try:
        read = READERS[form](row, row.data, options)
    except KeyError as error:
        raise BadRow("wrong fields", f"field {error} is missing from a row of {form}") from None
    except RecursionError:
        raise BadRow("wrong fields", "nested too deeply") from None
    sides = {m["role"] for m in read.record.messages if m["content"].strip()}
    for side in ("user", "assistant"):
        if side not in sides and form != "dialogue_gym":
            raise BadRow("one-sided", f"nobody speaks as the {side}")
    return read


# our own -------------------------------------------------------------------------------------------


def _own(row: Row, data: dict[str, Any], options: Options) -> Read:
    version = data.get("schema_version")
    try:
        return Read(_record(dict(data), row.where))
    except ValueError as error:
        reason = "wrong fields" if version == SCHEMA_VERSION else "unknown schema version"
        raise BadRow(reason, str(error).removeprefix(f"{row.where}: ")) from None


# chat messages -------------------------------------------------------------------------------------

_ROLES = {
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "bot": "assistant", "model": "assistant",
    "chatgpt": "assistant", "system": "system",
}  # fmt: skip


def _messages(row: Row, data: dict[str, Any], options: Options) -> Read:
    field = next((f for f in ("messages", "conversations", "conversation") if f in data), "messages")
    said, system = _chat(data[field], field)
    env_id = data.get("env_id") or options.env_id
    if env_id not in ENVIRONMENTS:
        what = f"is {env_id!r}, should be" if env_id else "is missing; name the environment (--env):"
        raise BadRow("no environment", f"field 'env_id' {what} one of {[*ENVIRONMENTS]}")
    ended = data.get("end_reason") or ("user_stop" if options.whole else None)
    if ended is not None and ended not in [reason.value for reason in EndReason]:
        raise BadRow("wrong fields", f"field 'end_reason' is {ended!r}, should be null or a known reason")
    used = (field, "env_id", "end_reason")
    record = made(row, said, env_id=str(env_id), user={"name": options.user}, ended=ended, used=used)
    if system:
        record.extra["system"] = system
    identity = next((str(data[name]) for name in IDS if data.get(name) not in (None, "")), None)
    return Read(record, identity)


def _chat(messages: Any, field: str) -> tuple[list[tuple[str, str]], str]:
    """What was said, as (role, text), and the system messages' text."""
    said: list[tuple[str, str]] = []
    system: list[str] = []
    for i, message in enumerate(listed(messages, field)):
        if not isinstance(message, dict):
            raise BadRow(
                "wrong fields", f"field {field!r}: message {i} is {message!r:.60}, should be an object"
            )
        name = message.get("role", message.get("from"))
        role = _ROLES.get(name) if isinstance(name, str) else None
        if role is None:
            raise BadRow(
                "wrong fields",
                f"field {field!r}: message {i} has role {name!r}, should be one of {[*_ROLES]}",
            )
        text = text_of(message.get("content", message.get("value")), f"{field}[{i}]")
        (system.append(text) if role == "system" else said.append((role, text)))
    return said, "\n".join(system)


# CollabLLM -----------------------------------------------------------------------------------------

_COLLABLLM = ("prompt", "completion", "turns", "conv_id", "score", "turn_id", "single_turn_prompt")


def _collabllm(row: Row, data: dict[str, Any], options: Options) -> Read:
    """The flat form (a row for each answer to a context) or the nested one (a row for each conversation)."""
    if "turns" in data:
        return _nested(row, data, options)
    group = data["conv_id"]
    if type(group) not in (int, str):
        raise BadRow("wrong fields", f"field 'conv_id' is {group!r:.60}, should be a text or an int")
    read = _conversation(row, data, options, data["prompt"], data["completion"], data.get("score"))
    read.group = str(group)
    read.record.extra["source"]["id"] = group
    return read


def _nested(row: Row, data: dict[str, Any], options: Options) -> Read:
    turns = [turn for turn in listed(data["turns"], "turns") if isinstance(turn, dict)]
    if not turns or len(turns) != len(data["turns"]):
        raise BadRow("wrong fields", "field 'turns' should be a list of objects, at least one")
    last = max(turns, key=lambda turn: len(listed(turn["prompt"], "prompt")))
    answers = [a for a in listed(last["responses"], "responses") if isinstance(a, dict)]
    if not answers:
        raise BadRow("wrong fields", "field 'responses' of the last turn has no answer")
    best = max(answers, key=lambda a: _score(a.get("score"), -float("inf")))
    read = _conversation(row, data, options, last["prompt"], best["completion"], best.get("score"))
    read.record.extra["other_answers"] = sum(len(listed(t["responses"], "responses")) for t in turns) - len(
        turns
    )
    read.id = str(data["conv_id"]) if "conv_id" in data else None
    return read


def _conversation(
    row: Row, data: dict[str, Any], options: Options, prompt: Any, completion: Any, score: Any
) -> Read:
    said, system = _chat(prompt, "prompt")
    said.append(("assistant", text_of(completion, "completion")))
    field = "single_turn_prompt"
    problem = text_of(data[field], field) if field in data else ""
    env_id = options.env_id or _collabllm_env(data)
    user = {"name": "simulated", "source": "CollabLLM"}
    record = made(row, said, env_id=env_id, user=user, used=_COLLABLLM, censored=["end"])
    number = None if score is None else _score(score)
    record.extra |= {"intent": problem} | ({"system": system} if system else {})
    if number is not None:
        record.metrics["collabllm_score"] = number
    return Read(record, score=number)


def _collabllm_env(data: Mapping[str, Any]) -> str:
    """The environment, from what the converters of each data set leave in the metadata."""
    about = data.get("single_turn_metadata")
    names = set(about) if isinstance(about, dict) else set(re.findall(r'"(\w+)":', str(about)))
    if {"level", "type"} <= names:
        return MATH
    if {"title"} <= names:
        return DOCUMENT
    raise BadRow("no environment", f"its metadata names none; say (--env) which of {[*ENVIRONMENTS]} it is")


def _score(value: Any, default: float | None = None) -> float:
    if value is None and default is not None:
        return default
    if type(value) not in (int, float):
        raise BadRow("wrong fields", f"field 'score' is {value!r:.60}, should be a number or null")
    number: float = value
    return number


# SimulatorArena ------------------------------------------------------------------------------------


def _simulatorarena(row: Row, data: dict[str, Any], options: Options) -> Read:
    """People with a tutor or a writing assistant; they leave without a word after the last answer."""
    queries = [text_of(t, "user_queries") for t in listed(data["user_queries"], "user_queries")]
    answers = [text_of(t, "ai_responses") for t in listed(data["ai_responses"], "ai_responses")]
    if len(queries) - len(answers) not in (0, 1):
        raise BadRow(
            "wrong fields", f"{len(queries)} user_queries and {len(answers)} ai_responses do not alternate"
        )
    said = [("user" if i % 2 == 0 else "assistant", "") for i in range(len(queries) + len(answers))]
    said[::2] = [("user", text) for text in queries]
    said[1::2] = [("assistant", text) for text in answers]
    broken_off = "technical issue" in str(data.get("why_stop")).lower()
    document = "document_type" in data
    record = made(
        row,
        said,
        env_id=DOCUMENT if document else MATH,
        user={"name": "people", "source": "SimulatorArena"},
        policy={"name": str(data.get("model", ""))},
        ended=None if broken_off else "user_stop",
        used=("user_queries", "ai_responses", "intent", "model"),
    )
    record.extra["intent"] = str(data.get("intent", "")) if document else _math_intent(data)
    if "problem_1_correctness" in data:
        record.extra["outcome"] = data["problem_1_correctness"]
    record.extra["ratings"] = {name: value for name, value in data.items() if name.endswith("_rating")}
    return Read(record)


def _math_intent(data: Mapping[str, Any]) -> str:
    level = str(data.get("level", "")).lower()
    return f"to solve a problem in {data.get('type', 'mathematics')}" + (f", {level}" if level else "")


# tutoring ------------------------------------------------------------------------------------------


def _bridge(row: Row, data: dict[str, Any], options: Options) -> Read:
    """An excerpt of a chat between people: neither its beginning nor its end is known."""
    said = []
    for field in ("c_h", "c_r"):
        for message in listed(data[field], field):
            side = message.get("user") if isinstance(message, dict) else None
            if side not in ("tutor", "student"):
                raise BadRow(
                    "wrong fields", f"field {field!r}: a message of {side!r}, should be tutor or student"
                )
            said.append(("assistant" if side == "tutor" else "user", text_of(message.get("text"), field)))
    record = made(
        row,
        said,
        env_id=MATH,
        user={"name": "people", "source": "Bridge"},
        policy={"name": "people"},
        censored=["beginning", "end"],
        used=("c_h", "c_r", "lesson_topic"),
    )
    identity = str(data["c_id"]) if "c_id" in data else None
    record.extra["intent"] = str(data.get("lesson_topic", ""))
    if identity is not None:  # CHAT_MESSAGE: excerpts of one chat share its people
        record.extra["group"] = identity.rpartition("_")[0] or identity
    return Read(record, identity)


_SPEAKER = re.compile(r"\s*([^:\n]{1,40}):\s?(.*)", re.DOTALL)
_ACT = re.compile(r"\((generic|focus|probing|telling)\)\s*")


def _mathdial(row: Row, data: dict[str, Any], options: Options) -> Read:
    """A teacher with a simulated student.

    The teacher opens and decides when it is over, so nothing shows how the student would begin or stop:
    both ends are censored, although the dialogue is whole.
    """
    said, acts = [], []
    for i, part in enumerate(text_of(data["conversation"], "conversation").split("|EOM|")):
        match = _SPEAKER.match(part)
        if match is None:
            raise BadRow(
                "wrong fields", f"field 'conversation': part {i} names no speaker, should be 'NAME: text'"
            )
        name, text = match.groups()
        teacher = name.strip() == "Teacher"
        act = _ACT.match(text) if teacher else None
        if teacher:
            acts.append(act.group(1) if act else "")
        said.append(("assistant" if teacher else "user", text[act.end() :] if act else text))
    record = made(
        row,
        said,
        env_id=MATH,
        user={"name": "simulated", "source": "MathDial"},
        policy={"name": "people"},
        censored=["beginning", "end"],
        used=("conversation", "question"),
    )
    record.extra |= {"intent": " ".join(str(data.get("question", "")).split()), "teacher_acts": acts}
    return Read(record)


_Reader = Callable[[Row, dict[str, Any], Options], Read]
READERS: Mapping[str, _Reader] = {
    "dialogue_gym": _own,
    "collabllm": _collabllm,
    "messages": _messages,
    "simulatorarena": _simulatorarena,
    "bridge": _bridge,
    "mathdial": _mathdial,
}
_SIGNS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "dialogue_gym": lambda row: "schema_version" in row or {"turns_metadata", "task_seed"} <= row.keys(),
    "simulatorarena": lambda row: {"user_queries", "ai_responses"} <= row.keys(),
    "bridge": lambda row: {"c_h", "c_r"} <= row.keys(),
    "mathdial": lambda row: isinstance(row.get("conversation"), str) and "|EOM|" in row["conversation"],
    "collabllm": lambda row: (
        {"prompt", "completion", "conv_id"} <= row.keys() or {"turns", "single_turn_prompt"} <= row.keys()
    ),
    "messages": lambda row: any(
        isinstance(row.get(f), list) for f in ("messages", "conversations", "conversation")
    ),
}
