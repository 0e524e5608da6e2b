"""Ways to lead a dialogue, by name, for a bandit to choose from."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from dialogue_gym.language_models import Sampling, language_models, load_language_model
from dialogue_gym.registry import nearest
from dialogue_gym.rollout import LanguageModelPolicy, Policy, PolicyReply, PolicyRequest, load_policy
from dialogue_gym.rollout.text_policy import TextPolicy
from dialogue_gym.tasks.base import Kind
from dialogue_gym.tasks.documents import GENRES
from dialogue_gym.tasks.math_families import FAMILIES
from dialogue_gym.wrappers.acts import TemplateActs, default_templates

MOST_ASKS: Mapping[Kind, int] = {
    "math": max(len(family.facts) for family in FAMILIES),
    "document": max(len(genre.slots) for genre in GENRES.values()),
}
"""Facts that a task may leave untold, of the tasks that the acts can read."""
ASK_RATES: dict[str, float] = {"ask first": 1.0, "answer at once": 0.0}
"""Ours for "rule"."""
PROMPTS: dict[str, str] = {
    "ask first": "Before you answer, ask the person short questions until nothing is missing.",
    "answer at once": "Answer at once with what the person told you. Do not ask questions.",
}
"""Ours for language models: system prompts."""


def default_asks(kind: Kind, max_turns: int) -> dict[str, int]:
    """Ours for "acts": as many questions as there may be facts to ask for, with a turn left for the answer.

    Args:
        kind: of the tasks, "math" or "document".
        max_turns: the turn limit of the dialogues.

    Returns:
        Numbers of questions by name.

    Raises:
        ValueError: the limit leaves no turn for a question.

    Example:
        >>> default_asks("math", 4)
        {'answer at once': 0, 'ask once': 1, 'ask twice': 2, 'ask 3 times': 3}
    """
    if max_turns < 2:
        raise ValueError(
            f"max_turns must be at least 2, one for a question and one for the answer, got {max_turns}"
        )
    names = {0: "answer at once", 1: "ask once", 2: "ask twice"}
    most = min(MOST_ASKS[kind], max_turns - 1)
    return {names.get(asks, f"ask {asks} times"): asks for asks in range(most + 1)}


class AskThenAnswer:
    """So many messages that ask, then the answer; the words are those of the wrappers' acts.

    Args:
        kind: of the tasks, "math" or "document".
        asks: how many.
    """

    def __init__(self, kind: Kind, asks: int) -> None:
        self.acts, self.asks = TemplateActs(default_templates(kind)), asks

    def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
        """One message per conversation."""
        conversations = [request.conversation for request in requests]
        ask, answer = (self.acts.names.index(name) for name in ("ask", "answer"))
        chosen = [ask if len(c) // 2 < self.asks else answer for c in conversations]
        return [PolicyReply(said.text) for said in self.acts.render(conversations, chosen)]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Nothing to forget."""

    def identity(self) -> dict[str, Any]:
        """Name and number of questions."""
        return {"name": "ask_then_answer", "asks": self.asks}


def build_arms(
    policy: str, kind: Kind, arms: Mapping[str, Any], max_turns: int, sampling: Sampling | None = None
) -> dict[str, Policy]:
    """The policies to choose from.

    Args:
        policy: "acts", "rule" or a language model by name.
        kind: of the tasks.
        arms: by name, a number of questions ("acts"), a rate of asking ("rule") or a system prompt, "" for
            none; ours where there is none.
        max_turns: the turn limit of the dialogues, which our "acts" keep to.
        sampling: of the language model.

    Raises:
        ValueError: an unknown policy, with the nearest names; one arm alone, or one that is not of the
            policy's form; a turn limit that leaves no choice.
        FileNotFoundError: nothing loadable at the path of the language model.
        ImportError: an extra is not installed; the message names it.

    Example:
        >>> sorted(build_arms("acts", "math", {"guess": 0, "ask": 3}, max_turns=12))
        ['ask', 'guess']
    """
    if policy not in ("acts", "rule"):
        return _prompted(policy, _checked(arms or PROMPTS, str, "a system prompt"), sampling)
    if policy == "rule":
        rates = _checked(arms or ASK_RATES, (int, float), "a rate of asking from 0 to 1")
        return {name: load_policy("rule", kind, ask_rate=rate) for name, rate in rates.items()}
    counts = _checked(arms or default_asks(kind, max_turns), int, "a number of questions, 0 or more")
    if negative := [name for name, asks in counts.items() if asks < 0]:
        raise ValueError(f"arm {negative[0]!r} must be a number of questions, 0 or more")
    return {name: AskThenAnswer(kind, asks) for name, asks in counts.items()}


def _checked(arms: Mapping[str, Any], form: Any, what: str) -> dict[str, Any]:
    if len(arms) < 2:
        raise ValueError(f"arms must be at least two, so that there is a choice, got {len(arms)}")
    for name, value in arms.items():
        if not isinstance(value, form) or isinstance(value, bool):
            raise ValueError(f"arm {name!r} must be {what}, got {value!r}")
    return dict(arms)


def _prompted(policy: str, prompts: Mapping[str, str], sampling: Sampling | None) -> dict[str, Policy]:
    """One language model under several system prompts."""
    try:
        model: Any = load_language_model(policy)
    except ValueError as error:
        if not str(error).startswith("unknown language model"):
            raise
        valid = ("acts", "rule", *language_models.names())
        raise ValueError(f"unknown policy {policy!r}: {nearest(policy, valid)}") from None
    kind = LanguageModelPolicy if hasattr(model, "codec") else TextPolicy
    return {name: kind(model, sampling or Sampling(), prompt or None) for name, prompt in prompts.items()}
