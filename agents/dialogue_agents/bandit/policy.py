"""The bandit as a policy: it looks at the opening, and leaves the dialogue to an arm."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dialogue_agents.bandit.learners import Floats, LinearBandit
from dialogue_gym.dialogue import Conversation
from dialogue_gym.rollout import Policy, PolicyReply, PolicyRequest
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.wrappers import FeatureReader


class BanditPolicy:
    """Chooses an arm by the features of the opening; that arm answers in the whole dialogue.

    Which arm is a function of the opening, of what was learned and of ``key``: the learner may not learn
    while dialogues are under way.

    Args:
        arms: policies by name.
        learner: of as many arms, and contexts of one number more than there are features.
        read: the features.
        max_turns: the turn limit of the dialogues, from which the turns left are counted.

    Attributes:
        key: the noise of exploring; None where the arm that is expected to earn most is taken.
    """

    def __init__(
        self, arms: Mapping[str, Policy], learner: LinearBandit, read: FeatureReader, max_turns: int
    ) -> None:
        self.arms, self.learner, self.read, self.max_turns = dict(arms), learner, read, max_turns
        self.key: NoiseKey | None = None
        self._policies = list(self.arms.values())

    def context(self, conversation: Conversation) -> Floats:
        """1 and the features of the opening."""
        return np.array([1.0, *self.read(conversation[:1], self.max_turns)])

    def chosen(self, conversation: Conversation) -> int:
        """The number of the arm that leads a dialogue."""
        context = self.context(conversation)
        if self.key is None:
            return self.learner.best(context)
        return self.learner.explore(context, self.key.child(conversation[0]["content"]))

    def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
        """One call of each arm that leads some of the dialogues."""
        chosen = [self.chosen(request.conversation) for request in requests]
        replies: dict[int, PolicyReply] = {}
        for arm, policy in enumerate(self._policies):
            rows = [i for i, number in enumerate(chosen) if number == arm]
            if rows:
                replies.update(zip(rows, policy.act([requests[i] for i in rows]), strict=True))
        return [replies[i] for i in range(len(requests))]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """All arms forget these dialogues."""
        gone = list(dialogue_ids)
        for policy in self._policies:
            policy.forget(gone)

    def identity(self) -> dict[str, Any]:
        """The learner and its arms."""
        return {
            "name": "bandit",
            "algorithm": type(self.learner).__name__,
            "arms": {name: policy.identity() for name, policy in self.arms.items()},
            "features": list(self.read.features),
        }
