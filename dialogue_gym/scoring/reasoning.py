"""The scorer of problems from reasoning_gym: the generator's own judge on the agent's last answer."""

import atexit
import json
import os
import re
from pathlib import Path
from typing import Any

from dialogue_gym.dialogue import Conversation
from dialogue_gym.scoring.base import Score, scorers
from dialogue_gym.scoring.cost import Cost
from dialogue_gym.scoring.expressions import Subprocess
from dialogue_gym.scoring.extraction import extract_answer
from dialogue_gym.tasks.answers import boxed_answer
from dialogue_gym.tasks.base import Task

_LONGEST = 10_000  # characters of an answer that are judged
_TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_SAID = re.compile(
    r"\banswer(?:\s+is\b)?\s*(?P<mark>[:=]?)[ \t]*(?P<rest>\n*\S.*)", re.DOTALL | re.IGNORECASE
)


class ReasoningGymScorer:
    """What reasoning_gym's judge gives the last answer, from 0 to 1, minus what the agent's words cost.

    The answer stands in ``<answer>`` tags or in a box; or after "answer:" or "the answer is" to the end of
    the line, or on the lines after it; or is what ``extract_answer`` finds. The judge is other people's
    code that reads what an agent wrote, so it runs in a subprocess: where it raises or takes too long, the
    answer is worth 0.

    Metrics: ``accuracy`` (1 for full marks, else 0), ``judged`` (its own figure), ``answered``, ``words``,
    ``cost``.

    Args:
        cost_per_word: reward units that each word of the agent costs.
        timeout_s: seconds that judging one answer may take.

    Raises:
        ValueError: the price is negative, or the seconds are out of range.
    """

    def __init__(self, cost_per_word: float = 0.0, timeout_s: float = 10.0) -> None:
        self.cost = Cost(cost_per_word)
        if not (isinstance(timeout_s, int | float) and 0 < timeout_s <= 60):
            raise ValueError(f"timeout_s is {timeout_s!r}; it should be more than 0 and at most 60 seconds")
        self.timeout_s = timeout_s

    def score(self, task: Task, conversation: Conversation) -> Score:
        """Score the dialogue as it stands; for any text.

        Raises:
            ValueError: the task is not one of reasoning_gym's, or one that it cannot make again.
        """
        origin = _origin(task)
        answer = _last_answer(conversation)
        judged = 0.0 if answer is None else _judge(origin, answer[:_LONGEST], self.timeout_s)
        metrics = {"accuracy": float(judged >= 1), "judged": judged, "answered": float(answer is not None)}
        metrics |= self.cost.metrics(conversation)
        return Score(judged - metrics["cost"], metrics)

    def identity(self) -> dict[str, Any]:
        """JSON-able name and settings, for logs."""
        return {"name": "reasoning_gym", "timeout_s": self.timeout_s, **self.cost.identity()}


def stated_answer(message: str) -> str | None:
    r"""The answer that a message states, as it is written; None when it states none.

    Example:
        >>> stated_answer("So the answer is: yes."), stated_answer("<answer>[1, 2]</answer>, I think")
        ('yes', '[1, 2]')
        >>> stated_answer("Answer:\n1 2\n3 4"), stated_answer("Which one?")
        ('1 2\n3 4', None)
    """
    tags = _TAG.findall(message)
    if tags:
        return str(tags[-1]).strip() or None
    boxed = boxed_answer(message)
    if boxed:
        return boxed
    said = _last_said(message)
    return said or extract_answer(message)


def _last_said(message: str) -> str | None:
    """What follows the last "answer:" or "answer is"."""
    starts = [mark.start() for mark in re.finditer(r"\banswer\b", message, re.IGNORECASE)]
    for start in reversed(starts):
        said = _SAID.match(message, start)
        if said is None or not (said["mark"] or " is" in message[start : said.start("rest")].lower()):
            continue
        rest = said["rest"]
        text = rest.strip("\n") if rest.startswith("\n") else rest.partition("\n")[0]
        return text.strip().strip("*`").removesuffix(".").strip() or None
    return None


def _last_answer(conversation: Conversation) -> str | None:
    for position in range(len(conversation) - 1, -1, -1):
        message = conversation[position]
        if message["role"] == "assistant":
            answer = stated_answer(message["content"][-_LONGEST:])
            if answer is not None:
                return answer
    return None


def _origin(task: Task) -> dict[str, Any]:
    try:
        origin = json.loads(task.reference.text)
        needed = {name: origin[name] for name in ("dataset", "config", "seed", "size", "index")}
        return needed | {"item": origin["item"]} if "item" in origin else needed
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"the scorer 'reasoning_gym' judges tasks of the source 'reasoning_gym' only; {task.id!r} is none"
        ) from None


_START_SECONDS = 300.0  # the package reads many word lists when it is imported
_PROGRAM = Path(__file__).with_name("reasoning_worker.py")
_shared = Subprocess(_PROGRAM, "reasoning_gym", _START_SECONDS)


def _judge(origin: dict[str, Any], answer: str, timeout_s: float) -> float:
    said = _shared.ask([origin, answer], timeout_s)
    if said == "null":
        raise ValueError(
            f"reasoning_gym's {origin['dataset']!r} makes another item {origin['index']} than was asked: "
            "another version, or a generator that needs PYTHONHASHSEED=0 to repeat"
        )
    return min(1.0, max(0.0, float(said))) if said else 0.0


def _after_fork() -> None:
    """A forked child must not talk through its parent's pipe."""
    global _shared
    _shared = Subprocess(_PROGRAM, "reasoning_gym", _START_SECONDS)


atexit.register(lambda: _shared.close())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

scorers["math"].register("reasoning_gym", ReasoningGymScorer)
