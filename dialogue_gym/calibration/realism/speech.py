"""What two speakers do in the same contexts: the users of a log, and a simulator that is asked there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import exp

from dialogue_gym.logs import DialogueRecord
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.base import (
    ReplyLogProb,
    ScoringUserSimulator,
    UserReply,
    UserRequest,
    UserSimulator,
)
from dialogue_gym.simulators.population_likelihood import PopulationLikelihood
from dialogue_gym.simulators.scripted import ScriptedUser
from dialogue_gym.simulators.user_turns import UserTurn, user_turns


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """What one speaker does in one context of a log.

    Attributes:
        logged: the context, and what the user of the log did there.
        reply: what this speaker does there; for the users of the log the logged reply itself.
        log_prob: of the *logged* reply under this speaker; None where the speaker does not know it. Of a
            scripted population: whoever of it is speaking, given the dialogue so far.
        hazard: the speaker's probability of stopping here; None where it is not known apart from the text.
        in_words: whether this context counts for what is said, rather than for when users leave: the user of
            the log said something, and the simulator did not leave without a word. It is the same for both
            speakers, so that both, and people against people, are compared in the same contexts.
    """

    logged: UserTurn
    reply: UserReply
    log_prob: ReplyLogProb | None = None
    hazard: float | None = None
    in_words: bool = True

    @property
    def text(self) -> str:
        """What this speaker says."""
        return self.reply.text


@dataclass(frozen=True, slots=True)
class SpokenDialogue:
    """The turns of one logged dialogue, by one speaker.

    Attributes:
        turns: in order.
        begins: whether the log shows its beginning, so that turns can be counted from there.
    """

    turns: tuple[SpokenTurn, ...]
    begins: bool


@dataclass(frozen=True, slots=True)
class Speaker:
    """All dialogues by one speaker.

    Attributes:
        dialogues: one for each of the log, in its order.
        logged: whether it is the log's own users.
    """

    dialogues: tuple[SpokenDialogue, ...]
    logged: bool

    def turns(self) -> Iterator[SpokenTurn]:
        """The turns of all dialogues."""
        return (turn for dialogue in self.dialogues for turn in dialogue.turns)


@dataclass(frozen=True, slots=True)
class Failures:
    """Contexts in which the simulator gave no reply; they are left out on both sides.

    Attributes:
        count: how many.
        first: the first one's error, "" when there is none.
    """

    count: int
    first: str


def two_speakers(
    records: Sequence[DialogueRecord], simulator: UserSimulator, *, seed: int = 0, batch_size: int = 64
) -> tuple[Speaker, Speaker, Failures]:
    """The users of a log, and the simulator in the very same contexts (teacher-forced).

    The simulator is asked turn by turn, so that one that caches living dialogues can use its cache, and
    under a persona of its own drawing: the logged one is never read.

    Args:
        records: held-out dialogues; those without a user turn are left out.
        simulator: who is compared with them.
        seed: keys what the simulator says.
        batch_size: dialogues that are asked about at a time.

    Returns:
        The log's users, the simulator, and in how many contexts the simulator failed.

    Raises:
        ValueError: there is no user turn, or the simulator failed everywhere.
    """
    logged = [
        (bool("beginning" not in r.extra.get("censored", ())), user_turns(r, i))
        for i, r in enumerate(records)
    ]
    logged = [(begins, turns) for begins, turns in logged if turns]
    if not logged:
        raise ValueError(f"no user turn in {len(records)} dialogues; realism needs what users said")
    people: list[SpokenDialogue] = []
    simulated: list[SpokenDialogue] = []
    errors: list[str] = []
    for begin in range(0, len(logged), batch_size):
        part = logged[begin : begin + batch_size]
        answers = _ask(simulator, [turns for _, turns in part], seed)
        for (begins, _), spoken in zip(part, answers, strict=True):
            errors += [turn.reply.error for turn in spoken if turn.reply.error is not None]
            kept = tuple(_in_words(turn) for turn in spoken if turn.reply.error is None)
            if kept:
                simulated.append(SpokenDialogue(kept, begins))
                people.append(SpokenDialogue(tuple(_by_people(turn) for turn in kept), begins))
    if not people:
        raise ValueError(f"the simulator failed in all {len(errors)} contexts; the first error: {errors[0]}")
    failures = Failures(len(errors), errors[0] if errors else "")
    return Speaker(tuple(people), logged=True), Speaker(tuple(simulated), logged=False), failures


def _in_words(turn: SpokenTurn) -> SpokenTurn:
    left = turn.reply.stop and not turn.text.strip()
    return replace(turn, in_words=bool(turn.logged.reply.text.strip()) and not left)


def _by_people(turn: SpokenTurn) -> SpokenTurn:
    return SpokenTurn(turn.logged, turn.logged.reply, in_words=turn.in_words)


def _ask(
    simulator: UserSimulator, dialogues: Sequence[Sequence[UserTurn]], seed: int
) -> list[list[SpokenTurn]]:
    """One speaker's turns of each dialogue; the first turns of all go into one call, then the second ones."""
    spoken: list[list[SpokenTurn]] = [[] for _ in dialogues]
    for position in range(max(map(len, dialogues))):
        rows = [i for i, turns in enumerate(dialogues) if position < len(turns)]
        logged = [dialogues[i][position] for i in rows]
        requests = [_request(simulator, turn, seed) for turn in logged]
        for i, turn in zip(rows, _answers(simulator, requests, logged), strict=True):
            spoken[i].append(turn)
    simulator.forget([turns[0].request.dialogue_id for turns in dialogues])
    # one with another program, as a subclass may have, knows its likelihood for the drawn persona alone
    if type(simulator) is not ScriptedUser:
        return spoken
    likelihood = PopulationLikelihood(simulator)
    return [_by_anybody(likelihood, turns) for turns in spoken]


def _by_anybody(likelihood: PopulationLikelihood, spoken: list[SpokenTurn]) -> list[SpokenTurn]:
    """The likelihood of one dialogue's turns under a population whose personas the log does not show.

    Without the opening it is not known, and the hazard stays that of the persona that was drawn. Costs about
    3 ms a turn for math and 16 ms for documents: minutes for logs of ten thousand turns.
    """
    if not spoken[0].logged.is_opening:
        return [replace(turn, log_prob=None) for turn in spoken]
    log_probs = likelihood.log_prob([turn.logged for turn in spoken])
    return [
        replace(turn, log_prob=log_prob, hazard=_chance_of_stopping(turn.logged, log_prob))
        for turn, log_prob in zip(spoken, log_probs, strict=True)
    ]


def _request(simulator: UserSimulator, turn: UserTurn, seed: int) -> UserRequest:
    request = turn.request
    persona = simulator.draw_persona(
        request.kind, NoiseKey(("realism", seed, "persona", str(request.dialogue_id)))
    )
    return replace(request, persona=persona, key=request.key.child("realism", seed))


def _answers(
    simulator: UserSimulator, requests: Sequence[UserRequest], logged: Sequence[UserTurn]
) -> list[SpokenTurn]:
    """What the simulator does in each context; where a call fails, it is asked for each context alone.

    A context that is too long to say how likely the logged reply is fails as a whole, so that all figures
    are about the same turns.
    """
    try:
        replies = simulator.reply(requests)
        log_probs = _log_probs(simulator, requests, logged)
    except (ValueError, RuntimeError, OSError) as error:
        if len(requests) == 1:
            return [SpokenTurn(logged[0], UserReply("", error=str(error) or type(error).__name__))]
        pairs = zip(requests, logged, strict=True)
        return [_answers(simulator, [request], [turn])[0] for request, turn in pairs]
    return [
        SpokenTurn(turn, reply, log_prob, _hazard(simulator, turn, log_prob))
        for turn, reply, log_prob in zip(logged, replies, log_probs, strict=True)
    ]


def _log_probs(
    simulator: UserSimulator, requests: Sequence[UserRequest], logged: Sequence[UserTurn]
) -> Sequence[ReplyLogProb | None]:
    if not isinstance(simulator, ScoringUserSimulator):
        return [None] * len(requests)
    return simulator.log_prob(requests, [turn.reply for turn in logged])


def _hazard(simulator: UserSimulator, turn: UserTurn, log_prob: ReplyLogProb | None) -> float | None:
    if log_prob is None or not getattr(simulator, "decides_stop_first", False):
        return None
    return _chance_of_stopping(turn, log_prob)


def _chance_of_stopping(turn: UserTurn, log_prob: ReplyLogProb) -> float:
    chance = exp(log_prob.stop)
    return chance if turn.reply.stop else 1.0 - chance
