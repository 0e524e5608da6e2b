"""The tiny model as a user that is listened to, and comparisons that near-ties do not fail.

Neighbours and lost caches change log-probabilities by rounding; where the noise of a token falls within
rounding of the border between two tokens, either is right.
"""

import functools
from typing import Any

import pytest

pytest.importorskip("transformers")

import torch

from dialogue_gym.language_models import Completion
from dialogue_gym.language_models.tiny_model import load_tiny_model
from dialogue_gym.scoring.base import scorers
from dialogue_gym.simulators import PromptedUser
from dialogue_gym.tasks.base import task_sources
from tests.envs.conftest import Parts

SCORERS = {"math": "answer", "document": "facts_and_bleu"}


class Heard:
    """The tiny model; keeps what it was asked and what it said."""

    user_prompt = "compact"

    def __init__(self) -> None:
        self.calls: list[tuple[Any, list[Completion]]] = []

    @property
    def model(self) -> Any:
        return tiny()

    @property
    def codec(self) -> Any:
        return self.model.codec

    def generate(self, requests: Any, sampling: Any) -> list[Completion]:
        completions = self.model.generate(requests, sampling)
        self.calls.append((requests, completions))
        return completions

    def forget(self, dialogue_ids: Any) -> None:
        self.model.forget(dialogue_ids)

    def identity(self) -> dict[str, Any]:
        return self.model.identity()

    def said(self) -> list[tuple[Any, Completion]]:
        return [pair for requests, said in self.calls for pair in zip(requests, said, strict=True)]


@functools.cache
def tiny() -> Any:
    return load_tiny_model()


HEARD = Heard()


def parts_of(kind: str, model: Any = HEARD) -> Parts:
    return Parts(
        f"tiny-{kind}",
        kind,
        lambda: PromptedUser(model, sampling={"max_tokens": 32}),
        lambda: task_sources[kind].build("procedural"),
        lambda: scorers[kind].build(SCORERS[kind]),
    )


def is_near_tie(request: Any, one: Completion, other: Completion) -> bool:
    """Whether the noise lies within 1e-5 of both tokens' shares where the completions first differ."""
    at = next(i for i, (a, b) in enumerate(zip(one.token_ids, other.token_ids, strict=False)) if a != b)
    context = one.prompt_ids + one.token_ids[:at]
    with torch.no_grad():
        logits = tiny().model(input_ids=torch.tensor([context])).logits[0, -1]
    edges = [0.0, *logits.float().softmax(-1).cumsum(-1, dtype=torch.float64).tolist()]
    noise = request.key.child("tokens").generator().random(at + 1)[at]
    tokens = one.token_ids[at], other.token_ids[at]
    return all(edges[t] - 1e-5 <= noise <= edges[t + 1] + 1e-5 for t in tokens)


def near_ties(said: list[tuple[Any, Completion]]) -> int:
    """Equal requests have equal tokens, log-probabilities within 1e-4; the number that near-ties part."""
    first: dict[Any, Completion] = {}
    found = 0
    for request, completion in said:
        one = first.setdefault((request.key, tuple(completion.prompt_ids)), completion)
        if one.token_ids != completion.token_ids:
            assert is_near_tie(request, one, completion)
            found += 1
        else:
            assert one.log_probs == pytest.approx(completion.log_probs, abs=1e-4)
    return found
