"""What a calibrated user is compared with, besides the plain prompt."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.people.ngram import ByteNgram
from dialogue_gym.dialogue import Message
from dialogue_gym.language_models import GenerationRequest, LanguageModel
from dialogue_gym.simulators.base import UserRequest
from dialogue_gym.simulators.prompted import GREETING, PromptedUser
from dialogue_gym.simulators.user_turns import UserTurn


class FewShotUser(PromptedUser):
    """The prompted user after examples of what people really said, shown as earlier chat turns.

    Where an excerpt has no beginning, the agent's first message stands in place of the greeting, as
    calibrated users read it.

    Args:
        language_model: as for ``PromptedUser``.
        examples: real turns; none makes it the plain prompted user.
        characters: how much an example shows of the agent's message (its end) and of the person's.
    """

    def __init__(
        self, language_model: LanguageModel | str, examples: Sequence[UserTurn] = (), characters: int = 300
    ) -> None:
        super().__init__(language_model, "full")
        self.examples: list[Message] = []
        for turn in examples:
            heard = turn.request.conversation[-1]["content"] if turn.request.conversation else GREETING
            self.examples.append({"role": "user", "content": heard[-characters:]})
            self.examples.append({"role": "assistant", "content": turn.reply.text[:characters]})

    def generation_request(self, request: UserRequest) -> GenerationRequest:
        """System prompt, examples, the flipped dialogue."""
        plain = super().generation_request(request)
        unseen = bool(request.conversation) and not request.conversation[0]["content"]
        dialogue = plain.messages[3 if unseen else 1 :]
        return replace(plain, messages=(plain.messages[0], *self.examples, *dialogue))

    def identity(self) -> dict[str, Any]:
        """The prompted user's, with the number of examples."""
        name = "few-shot" if self.examples else "prompted"
        return {**super().identity(), "name": name, "examples": len(self.examples) // 2}


class TurnBank:
    """Says turns that people said: one of a bank at random, of the same position, or an n-gram model's.

    The share of the n-gram model is the share of turns that were said once, which estimates how often a
    turn is new (Good, 1953).

    Args:
        turns: texts and whether each opened its dialogue.
        novel: says what is not in the bank.
    """

    def __init__(self, turns: Sequence[tuple[str, bool]], novel: ByteNgram) -> None:
        self._counts = {opening: Counter(t for t, o in turns if o == opening) for opening in (False, True)}
        self._novel = novel

    def new_share(self, opening: bool) -> float:
        """How often a turn of this position is drawn from the n-gram model."""
        counts = self._counts[opening]
        once = sum(count == 1 for count in counts.values())
        # never none: one more turn could be new
        return max(once, 1) / max(counts.total(), 1)

    def log_prob(self, text: str, opening: bool) -> float:
        """Natural-log probability of saying exactly this text."""
        counts, new = self._counts[opening], self.new_share(opening)
        old = (1 - new) * counts[text] / max(counts.total(), 1)
        # in logarithms: the n-gram model's share of a long text is below the smallest float
        novel = math.log(new) + self._novel.log_prob(text)
        return float(np.logaddexp(math.log(old), novel)) if old else novel
