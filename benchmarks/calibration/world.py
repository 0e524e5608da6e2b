"""The tiny world: a scripted population stands for people, and dialogues of it and of its controls."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dialogue_gym.dialogue import Message
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout import RulePolicy, play
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import ReplyLogProb, ScoringUserSimulator, ScriptedUser
from dialogue_gym.simulators.population_likelihood import PopulationLikelihood
from dialogue_gym.simulators.user_turns import UserTurn, user_turns
from dialogue_gym.tasks.base import Kind

REFERENCE: dict[str, Any] = {
    "disclosure": (0.0, 0.25),
    "terseness": (0.6, 0.95),
    "politeness": (0.3, 0.6),
    "slip": (0.1, 0.3),
    "correction": (0.3, 0.6),
    "trust": (0.3, 0.6),
    "patience": (3, 6),
    "lowercase": 0.9,
    "punctuation": 0.1,
}
"""People: reserved, curt, distrustful, soon tired."""

COOPERATIVE: dict[str, Any] = {
    "disclosure": (0.9, 1.0),
    "terseness": (0.0, 0.1),
    "politeness": (0.6, 0.9),
    "slip": (0.0, 0.0),
    "correction": (1.0, 1.0),
    "trust": (0.95, 1.0),
    "patience": (12, 14),
    "lowercase": 0.1,
    "punctuation": 0.9,
}
"""What prompted users tend to be: they tell everything, politely, and accept what they are told."""


OTHER: dict[str, Any] = {
    "disclosure": (0.5, 0.9),
    "terseness": (0.0, 0.3),
    "politeness": (0.0, 0.2),
    "slip": (0.4, 0.6),
    "correction": (0.6, 0.9),
    "trust": (0.1, 0.3),
    "patience": (10, 12),
    "lowercase": 0.1,
    "punctuation": 0.9,
}
"""Other people: talkative, careless with facts, stubborn, patient, in written English."""


def dialogues(kind: Kind, count: int, seed: int, population: dict[str, Any]) -> list[DialogueRecord]:
    """Dialogues of a population with an agent that asks half of the time."""
    simulator = ScriptedUser(population)
    env = DialogueVectorEnv(kind, num_envs=64, autoreset_mode="Disabled", max_turns=8, simulator=simulator)
    seeds = [NoiseKey(("calibration", seed, i)).seed() for i in range(count)]
    return [trajectory.record for trajectory in play(env, RulePolicy(kind, 0.5), seeds, seeds)]


def shuffled(records: Sequence[DialogueRecord], seed: int) -> list[DialogueRecord]:
    """The same dialogues with each user message replaced by one of the same index of another dialogue."""
    said: dict[int, list[str]] = {}
    for record in records:
        for i, message in enumerate(record.messages[::2]):
            said.setdefault(i, []).append(message["content"])
    for i, texts in said.items():
        order = NoiseKey(("shuffle", seed, i)).generator().permutation(len(texts))
        said[i] = [texts[j] for j in order]
    return [replace(record, messages=_exchanged(record.messages, said)) for record in records]


def _exchanged(messages: Sequence[Message], said: dict[int, list[str]]) -> list[Message]:
    return [
        {"role": "user", "content": said[i // 2].pop()} if i % 2 == 0 else message
        for i, message in enumerate(messages)
    ]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Dialogues of the population to judge by, with the exact log-probability of every turn.

    Attributes:
        turns: the users' turns, dialogue by dialogue.
        dialogue: the dialogue of each.
        exact: the population's own log-probabilities.
    """

    turns: list[UserTurn]
    dialogue: np.ndarray
    exact: list[ReplyLogProb]

    @classmethod
    def of(cls, kind: Kind, count: int, seed: int) -> "HeldOut":
        """Fresh dialogues of the reference population."""
        likelihood = PopulationLikelihood(ScriptedUser(REFERENCE))
        by_dialogue = [user_turns(r, i) for i, r in enumerate(dialogues(kind, count, seed, REFERENCE))]
        return cls(
            turns=[turn for turns in by_dialogue for turn in turns],
            dialogue=np.repeat(np.arange(count), [len(turns) for turns in by_dialogue]),
            exact=[value for turns in by_dialogue for value in likelihood.log_prob(turns)],
        )

    def log_probs(self, simulator: ScoringUserSimulator) -> list[ReplyLogProb]:
        """A simulator's log-probabilities of the same turns."""
        return simulator.log_prob([t.request for t in self.turns], [t.reply for t in self.turns])

    def divergence(self, log_probs: Sequence[ReplyLogProb]) -> np.ndarray:
        """Per turn log p(reply) - log q(reply), whose mean estimates KL(population || simulator) in nats."""
        return np.array([p.total - q.total for p, q in zip(self.exact, log_probs, strict=True)])

    def stop_f1(self, log_probs: Sequence[ReplyLogProb]) -> float:
        """Expected F1 of stopping when the simulator stops at random with its own hazard."""
        return soft_f1(self.stopped(), self.hazards(log_probs))

    def attainable_f1(self, draws: int = 2000) -> tuple[float, float]:
        """Where the F1 of the true hazard lies in 95 % of the cases, stops drawn from it anew."""
        hazard = self.hazards(self.exact)
        noise = NoiseKey(("attainable", len(hazard))).generator().random((draws, len(hazard)))
        low, high = np.percentile([soft_f1(row < hazard, hazard) for row in noise], [2.5, 97.5])
        return float(low), float(high)

    def stopped(self) -> np.ndarray:
        """Whether each turn ended its dialogue."""
        return np.array([turn.reply.stop for turn in self.turns])

    def hazards(self, log_probs: Sequence[ReplyLogProb]) -> np.ndarray:
        """Probability of stopping at each turn."""
        taken = np.exp([value.stop for value in log_probs])
        return np.where(self.stopped(), taken, 1 - taken)


def soft_f1(stopped: np.ndarray, hazard: np.ndarray) -> float:
    """Twice the expected number of right stops over real stops plus expected stops."""
    return float(2 * (stopped * hazard).sum() / (stopped.sum() + hazard.sum()))
