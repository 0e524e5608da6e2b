"""Users of graded badness whose likelihood is exact: mixtures with something bad, and shifted populations."""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from dialogue_gym.logs import DialogueRecord
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import ScriptedUser
from dialogue_gym.simulators.base import ReplyLogProb, UserReply, UserRequest
from dialogue_gym.simulators.personas import Persona
from dialogue_gym.simulators.population_likelihood import PopulationLikelihood
from dialogue_gym.simulators.user_turns import UserTurn, user_turns
from dialogue_gym.tasks.base import Kind

Outcome = tuple[str, bool]
"""A text, and whether the user stops with it."""


class Fault(Protocol):
    """Something bad that a user does instead of what the population would do."""

    def reply(self, request: UserRequest, instead_of: UserReply) -> UserReply:
        """What is done where the population would have done ``instead_of``."""
        ...

    def chances(
        self, request: UserRequest, reply: UserReply, population: ReplyLogProb
    ) -> tuple[float, float]:
        """Probability of stopping as ``reply`` does, and of the whole reply."""
        ...


@dataclass(frozen=True, slots=True)
class Says:
    """Says one of a few things that follow from the request alone.

    Attributes:
        outcomes: everything that can be said, with its weight.
    """

    outcomes: Callable[[UserRequest], Mapping[Outcome, float]]

    def reply(self, request: UserRequest, instead_of: UserReply) -> UserReply:
        """One of the outcomes, by the request's key."""
        outcomes = self.outcomes(request)
        threshold = request.key.child("fault").uniform() * sum(outcomes.values())
        for text, stop in outcomes:
            threshold -= outcomes[text, stop]
            if threshold < 0:
                break
        return UserReply(text, stop)

    def chances(
        self, request: UserRequest, reply: UserReply, population: ReplyLogProb
    ) -> tuple[float, float]:
        """From the outcomes."""
        outcomes = self.outcomes(request)
        total = sum(outcomes.values())
        stops = sum(weight for (_, stop), weight in outcomes.items() if stop == reply.stop)
        return stops / total, outcomes.get((reply.text, reply.stop), 0.0) / total


@dataclass(frozen=True, slots=True)
class NeverStops:
    """Talks on, in one fixed sentence, wherever the population would end the dialogue."""

    sentence: str = "are you sure?"

    def reply(self, request: UserRequest, instead_of: UserReply) -> UserReply:
        """The population's reply, or the sentence."""
        return UserReply(self.sentence) if instead_of.stop else instead_of

    def chances(
        self, request: UserRequest, reply: UserReply, population: ReplyLogProb
    ) -> tuple[float, float]:
        """The population's probability; that of its stops goes to the sentence."""
        if reply.stop:
            return 0.0, 0.0
        stops = 1.0 - math.exp(population.stop)
        return 1.0, math.exp(population.total) + stops * (reply.text == self.sentence)


class PopulationMemory:
    """Exact log-probabilities of a population in the contexts of a log, each computed once."""

    def __init__(self, user: ScriptedUser, dialogues: Iterable[Sequence[UserTurn]]) -> None:
        likelihood = PopulationLikelihood(user)
        self._known = {
            _context(turn.request, turn.reply): value
            for turns in dialogues
            for turn, value in zip(turns, likelihood.log_prob(turns), strict=True)
        }

    def __call__(self, request: UserRequest, reply: UserReply) -> ReplyLogProb:
        """The log-probability of a reply of the log.

        Raises:
            KeyError: the log has no such reply in that context.
        """
        return self._known[_context(request, reply)]


def _context(request: UserRequest, reply: UserReply) -> tuple[object, ...]:
    return request.brief, tuple(m["content"] for m in request.conversation), reply.text, reply.stop


class DegradedUser:
    """With probability ``rate`` per turn a fault, else a scripted user.

    What it says depends on its persona; its likelihood is that of the population, the persona unknown, so
    that it can be compared with the reference population's. It knows it in the log's contexts only.

    Args:
        name: unique.
        family: the kind of badness.
        scripted: the population; the reference population but for shifted ones.
        likelihood: of that population.
        fault: what is done instead; None for shifted populations.
        rate: how often, at least 0 and less than 1.
    """

    decides_stop_first = True

    def __init__(
        self,
        name: str,
        family: str,
        scripted: ScriptedUser,
        likelihood: PopulationMemory,
        fault: Fault | None = None,
        rate: float = 0.0,
    ) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"a rate of faults must be at least 0 and less than 1, got {rate}")
        self.name, self.family, self.scripted = name, family, scripted
        self._likelihood, self._fault, self._rate = likelihood, fault, rate

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        """One reply per request."""
        replies = self.scripted.reply(requests)
        return [self._maybe_fault(request, reply) for request, reply in zip(requests, replies, strict=True)]

    def _maybe_fault(self, request: UserRequest, reply: UserReply) -> UserReply:
        if self._fault is None or request.key.child("is fault").uniform() >= self._rate:
            return reply
        return self._fault.reply(request, reply)

    def log_prob(self, requests: Sequence[UserRequest], replies: Sequence[UserReply]) -> list[ReplyLogProb]:
        """Exact natural-log probabilities of replies of the log, the persona unknown."""
        return [self._log_prob(request, reply) for request, reply in zip(requests, replies, strict=True)]

    def _log_prob(self, request: UserRequest, reply: UserReply) -> ReplyLogProb:
        population = self._likelihood(request, reply)
        if self._fault is None:
            return population
        stop, both = self._fault.chances(request, reply, population)
        stops = (1 - self._rate) * math.exp(population.stop) + self._rate * stop
        total = (1 - self._rate) * math.exp(population.total) + self._rate * both
        return ReplyLogProb(math.log(stops), math.log(total) - math.log(stops))

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Nothing to forget."""

    def draw_persona(self, kind: Kind, key: NoiseKey) -> Persona:
        """A persona of the population."""
        return self.scripted.draw_persona(kind, key)

    def identity(self) -> dict[str, Any]:
        """Name, family and rate of faults."""
        return {"name": self.name, "family": self.family, "rate": self._rate}


# the faults ------------------------------------------------------------------------------------------


def _template(request: UserRequest) -> dict[Outcome, float]:
    goes_on = ("Please continue.", "Can you explain that further?", "I see. What is next?")
    return {**{(text, False): 0.25 for text in goes_on}, ("Thank you, goodbye.", True): 0.25}


def _pastes_brief(request: UserRequest) -> dict[Outcome, float]:
    return {(request.brief.text, False): 1.0}


def _polite_paraphrase(request: UserRequest) -> dict[Outcome, float]:
    """Long sentences around a fact, as instruction-tuned models write when they play users."""
    facts = [fact.text for fact in request.brief.facts] or [request.brief.goal]
    told = facts[(len(request.conversation) // 2) % len(facts)]
    frames = (
        "Thank you so much for your helpful response! To provide some additional context, {}. Could you "
        "please walk me through the next step in more detail?",
        "I really appreciate your assistance with this. Just to clarify my situation, {}. I would be very "
        "grateful if you could take that into account.",
    )
    return {(frame.format(told), False): 0.5 for frame in frames}


def _plays_assistant(request: UserRequest) -> dict[Outcome, float]:
    return {
        ("Sure, I can help you with that! Could you tell me more about the problem?", False): 0.4,
        ("Let's solve this step by step. First, we add the numbers. The answer is 42.", False): 0.4,
        ("As an AI language model, I am happy to assist you. How can I help you today?", False): 0.2,
    }


def _stops_at_once(request: UserRequest) -> dict[Outcome, float]:
    return {("Thanks", True): 1.0} if request.conversation else {(request.brief.goal, False): 1.0}


def _repeats_itself(request: UserRequest) -> dict[Outcome, float]:
    earlier = [message["content"] for message in request.conversation if message["role"] == "user"]
    return {(earlier[-1] if earlier else request.brief.goal, False): 1.0}


def _says_nothing(request: UserRequest) -> dict[Outcome, float]:
    return {("", False): 1.0}


def borrowed(records: Sequence[DialogueRecord]) -> Says:
    """Says what some user of other dialogues said, openings at the opening: right words, wrong place."""
    turns = [turn for i, record in enumerate(records) for turn in user_turns(record, i)]
    banks = {
        opening: Counter((t.reply.text, t.reply.stop) for t in turns if t.is_opening is opening)
        for opening in (True, False)
    }
    return Says(lambda request: banks[not request.conversation])


FAULTS: dict[str, Fault] = {
    "template": Says(_template),
    "pastes the brief": Says(_pastes_brief),
    "never stops": NeverStops(),
    "stops at once": Says(_stops_at_once),
    "polite paraphrase": Says(_polite_paraphrase),
    "plays the assistant": Says(_plays_assistant),
    "repeats itself": Says(_repeats_itself),
    "says nothing": Says(_says_nothing),
}
RATES = (0.1, 0.3, 0.6, 0.9)

SHIFTS: dict[str, tuple[dict[str, Any], ...]] = {
    "disclosure": ({"disclosure": (0.4, 0.8)}, {"disclosure": (0.7, 0.95)}, {"disclosure": (0.9, 0.99)}),
    "terseness": ({"terseness": (0.05, 0.3)}, {"terseness": (0.01, 0.1)}, {"terseness": (0.005, 0.02)}),
    "politeness": ({"politeness": (0.4, 0.6)}, {"politeness": (0.7, 0.9)}, {"politeness": (0.9, 0.99)}),
    "trust": ({"trust": (0.4, 0.6)}, {"trust": (0.1, 0.3)}, {"trust": (0.01, 0.1)}),
    "patience": ({"patience": (2, 14)}, {"patience": (1, 3)}, {"patience": (0, 0)}),
    "writing": (
        {"lowercase": 0.3, "punctuation": 0.8},
        {"lowercase": 0.1, "punctuation": 0.95},
        {"lowercase": 0.02, "punctuation": 0.99},
    ),
}
"""Populations that differ from the reference in one respect, by degrees, and rule out nothing it says."""


def degraded_users(
    kind: Kind, held_out: Sequence[DialogueRecord], others: Sequence[DialogueRecord]
) -> list[DegradedUser]:
    """The users of the study; the first one is the reference population itself.

    Args:
        kind: of the dialogues.
        held_out: dialogues of the reference population in whose contexts the users are judged.
        others: dialogues of the same population on other tasks, to borrow turns from.
    """
    dialogues = [user_turns(record, i) for i, record in enumerate(held_out)]
    reference = ScriptedUser()
    likelihood = PopulationMemory(reference, dialogues)
    users = [DegradedUser("the population", "the population", reference, likelihood)]
    for family, fault in (*FAULTS.items(), ("borrowed turns", borrowed(others))):
        users += [DegradedUser(f"{family} {r}", family, reference, likelihood, fault, r) for r in RATES]
    for family, degrees in SHIFTS.items():
        for number, changes in enumerate(degrees, 1):
            shifted = ScriptedUser(replace(reference.populations[kind], **changes))
            memory = PopulationMemory(shifted, dialogues)
            users.append(DegradedUser(f"{family} {number}", family, shifted, memory))
    return users
