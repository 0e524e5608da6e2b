"""Logs as one HTML page: the dialogues are data in it, a script of its own shows them, nothing is loaded.

What comes from logs is embedded as JSON in which no character can end the element that holds it, and
reaches the document as text nodes alone. The page's own policy lets no script run but that one, by its
hash, and forbids all requests.
"""

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from dialogue_gym.dialogue import clean_text
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout.evaluation import Estimate
from dialogue_gym.simulators.user_turns import brief_of
from dialogue_gym.viewing.entries import Entry, name_of
from dialogue_gym.viewing.flags import task_of
from dialogue_gym.viewing.pairs import Pair, pair_up
from dialogue_gym.viewing.statistics import log_statistics, paired_differences

_SHOWN = ("reward", "turns", "words_per_user_turn", "words_per_agent_turn")
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def view_page(title: str, logs: Mapping[str, Sequence[Entry]]) -> str:
    """The page as one HTML text, for one log or for two side by side.

    Args:
        title: what the page is called.
        logs: entries by what each log is called; the order counts.

    Raises:
        ValueError: no log or more than two, a log without a dialogue, or two without a common task.
    """
    if len(logs) not in (1, 2):
        raise ValueError(f"a page shows one log, or two side by side; got {len(logs)}")
    pairs = pair_up(*logs.values()) if len(logs) == 2 else [Pair(e, None) for e in next(iter(logs.values()))]
    if len(logs) == 2 and not any(pair.first and pair.second for pair in pairs):
        raise ValueError(
            f"{' and '.join(logs)} have no task in common, by task id or by row of a data set "
            f"({' and '.join(str(len(found)) for found in logs.values())} dialogues); view them one by one"
        )
    return _filled(title, _data(title, logs, pairs))


def _filled(title: str, data: dict[str, Any]) -> str:
    files = resources.files("dialogue_gym.viewing").joinpath("assets")
    page, style, script = (
        files.joinpath(f"viewer.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
    )
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "POLICY": policy,
        "TITLE": html.escape(clean_text(title)),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": as_script_json(data),
    }
    pieces = page.split("@@")  # text and names in turn: what is filled in is never looked at again
    return "".join(parts[piece] if i % 2 else piece for i, piece in enumerate(pieces))


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def as_script_json(data: Any) -> str:
    r"""JSON that can stand in a script element: nothing in it can end the element or begin another.

    Example:
        >>> print(as_script_json({"said": "</script><b>"}))
        {"said":"\u003c/script\u003e\u003cb\u003e"}
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return clean_text(text).translate(_ESCAPES)


# data ----------------------------------------------------------------------------------------------


def _data(title: str, logs: Mapping[str, Sequence[Entry]], pairs: Sequence[Pair]) -> dict[str, Any]:
    identities: dict[str, int] = {}
    places = [{entry.number: i for i, entry in enumerate(found)} for found in logs.values()]
    items = [
        [places[i][entry.number] if entry else None for i, entry in enumerate((pair.first, pair.second))]
        for pair in pairs
    ]
    differences = paired_differences(pairs)
    return {
        "title": title,
        "logs": [
            {
                "name": name,
                "figures": _figures(found),
                "dialogues": [_dialogue(entry, identities) for entry in found],
            }
            for name, found in logs.items()
        ],
        "items": items,
        "difference": [_figure(name, differences[name]) for name in _SHOWN if name in differences],
        "identities": [json.loads(identity) for identity in identities],
    }


def _figures(entries: Sequence[Entry]) -> list[list[str]]:
    """What the head of the page says of a log; of several environments, only what they share."""
    blocks = log_statistics(entries)
    total = sum(block.dialogues for block in blocks)
    figures = [["dialogues", str(total), ""]]
    if len(blocks) == 1:
        figures += [
            _figure(name, blocks[0].estimates[name]) for name in _SHOWN if name in blocks[0].estimates
        ]
    if unscored := sum(block.unscored for block in blocks):
        figures.append(["unscored", str(unscored), "they count in no mean of the reward"])
    flagged = sum(bool(entry.flag_names) for entry in entries)
    return [*figures, ["flagged", str(flagged), "dialogues with a flag in any message"]]


def _figure(name: str, e: Estimate) -> list[str]:
    hint = f"95 % interval [{e.low:.3f}, {e.high:.3f}] over {e.n} dialogues"
    shown = f"{e.mean:.3f} [{e.low:.3f}, {e.high:.3f}]" if name == "reward" else f"{e.mean:.1f}"
    return [name.replace("_per_", "/").replace("_turn", " turn"), shown, hint]


def _dialogue(entry: Entry, identities: dict[str, int]) -> dict[str, Any]:
    record = entry.record
    apart = {name: record.extra.get(name) for name in ("ratings", "fields")}
    said = [name for name in apart if isinstance(apart[name], dict)]
    return {
        "n": entry.number,
        "env": record.env_id,
        "split": record.split,
        **_task(entry),
        "persona": record.persona,
        "seeds": [str(seed) for seed in entry.seeds or "--"],  # beyond what JavaScript's numbers hold
        "user": name_of(record.simulator),
        "agent": name_of(record.policy),
        "simulator": _identity(record.simulator, identities),
        "policy": _identity(record.policy, identities),
        "messages": _messages(entry),
        "end": record.end_reason or "",
        "reward": record.reward,
        "metrics": record.metrics,
        "failure": str(record.extra.get("failure", "")),
        "censored": list(map(str, record.extra.get("censored", ()))),
        **{name: apart[name] if name in said else {} for name in apart},
        "extra": {k: v for k, v in record.extra.items() if k not in (*said, "intent", "failure")},
    }


def _task(entry: Entry) -> dict[str, Any]:
    record, task = entry.record, task_of(entry.record)
    if task is None:
        return _no_task(record)
    return {
        "task": True,
        "id": task.id,
        "family": task.family,
        "level": task.level,
        "goal": task.brief.goal,
        "brief": task.brief.text,
        "facts": [[fact.name, fact.value] for fact in task.brief.facts],
        "answer": task.reference.answer,
        "target": task.reference.text,
    }


def _no_task(record: DialogueRecord) -> dict[str, Any]:
    """The intent in its place; the whole of it as JSON where it is a task of another form."""
    foreign = record.task is not None
    text = json.dumps(record.task, ensure_ascii=False) if foreign else brief_of(record).text
    name = str((record.task or {}).get("id", ""))
    rest: dict[str, Any] = dict.fromkeys(("family", "level", "answer", "target"), "")
    return {**rest, "task": foreign, "id": name, "goal": text, "brief": text, "facts": []}


def _messages(entry: Entry) -> list[dict[str, Any]]:
    record = entry.record
    return [
        {
            "text": message["content"],
            "flags": [[flag.name, flag.why] for flag in entry.flags[i]],
            "told": entry.told[i],
            "metadata": record.turns_metadata[i // 2] if i % 2 == 0 else None,
        }
        for i, message in enumerate(record.messages)
    ]


def _identity(identity: dict[str, Any], known: dict[str, int]) -> int:
    """The place of an identity in the page's list; thousands of dialogues share a few."""
    return known.setdefault(json.dumps(identity, sort_keys=True), len(known))
