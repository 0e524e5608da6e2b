"""A seeded population of scripted users that behaves as people measurably do, for both kinds of task."""

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from dialogue_gym.registry import check_options
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.base import ReplyLogProb, UserReply, UserRequest, simulators
from dialogue_gym.simulators.personas import Persona, Population
from dialogue_gym.simulators.program import Chooser, KeyedChooser, choose, enumerate_paths, flip
from dialogue_gym.simulators.questions import Inquiry, recognise
from dialogue_gym.simulators.scripted_judgement import Reading, acceptance, read_message
from dialogue_gym.simulators.state import Disclosure, disclosure, texts, whole
from dialogue_gym.simulators.style import politely, write
from dialogue_gym.tasks.base import Fact, Kind

_LEAVE = ("never mind", "I'll ask someone else", "forget it")
_ACCEPT = {
    "math": ("thanks", "ok thanks", "great", "ok, that looks right", "got it, that is what I needed"),
    "document": ("thanks", "great", "looks good", "perfect, I'll take it", "ok, that is what I wanted"),
}
_DOUBT = {
    "math": (
        "are you sure?",
        "how did you get that?",
        "hm, can you check that again?",
        "I don't get it, show me how",
    ),
    "document": ("hm, not quite what I wanted", "can you write it again?", "I don't like it yet"),
}
_URGE = {
    "math": ("so what is the answer?", "ok and the answer?", "?", "can you just solve it?"),
    "document": ("can you write it now?", "ok and the notice?", "?", "just write it please"),
}
_UNKNOWN = ("no idea", "I don't know", "not sure, it does not say", "idk")
_ALL_SAID = ("that's all I know", "that's it", "there is nothing else", "I told you everything")

# A document has more facts than a problem: people tell a smaller share of them at once, and name what they
# are about when they do.
_POPULATIONS: dict[Kind, Population] = {
    "math": Population(),
    "document": Population(disclosure=(0.1, 0.5), terseness=(0.1, 0.4)),
}


class ScriptedUser:
    """A user that knows the facts of the brief, holds some back, and does not know the answer.

    It opens with some of the facts, tells others when asked in free English, sometimes says a wrong
    value first and corrects it later, and leaves when its patience ends. A reply depends on the request
    alone. Its log-probability is exact: ``log_prob`` enumerates the very program that ``reply`` runs.

    Whether it accepts an answer depends on ``persona.trust`` and on what can be seen without knowing
    the answer. The probability is trust times a factor for each line that applies:

    ===========================================  =========  ==========
    what the user sees                           math       document
    ===========================================  =========  ==========
    a fact that was never told                   x 0.85     x 0.25
    a told fact that the agent left out          x 0.8      x 0.3
    a wrong value said, not corrected yet        x 0.7      x 0.7
    no work shown (no second number, no sign)    x 0.8      -
    no unit where the question has one           x 0.9      -
    negative, zero, no number, or far too large  x 0.05     -
    not a whole number                           x 0.3      -
    fewer than eight words                       -          x 0.2
    ===========================================  =========  ==========

    The lines on the number of a math answer hold for word problems, not for formulas and puzzles.

    With the default populations about 30 % of its turns have three words or fewer (people: 29 %,
    2603.11245 D1) and the median is five to seven (people: seven, SimulatorArena math chats); the test
    of the population holds these figures.

    Args:
        population: the personas, as a ``Population`` or a dict of its fields; by default each kind of
            task has its own.
    """

    decides_stop_first = True

    def __init__(self, population: Population | dict[str, Any] | None = None) -> None:
        if isinstance(population, dict):
            check_options(Population, population, "population")
        given = Population(**population) if isinstance(population, dict) else population
        self.populations: dict[Kind, Population] = {k: given or p for k, p in _POPULATIONS.items()}

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        """One reply per request."""
        return [run_program(request, KeyedChooser(request.key)) for request in requests]

    def log_prob(self, requests: Sequence[UserRequest], replies: Sequence[UserReply]) -> list[ReplyLogProb]:
        """Exact natural-log probabilities of stopping as each reply does, and of its text given that."""
        return [_log_prob(request, reply) for request, reply in zip(requests, replies, strict=True)]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Nothing to forget: no state is kept."""

    def draw_persona(self, kind: Kind, key: NoiseKey) -> Persona:
        """A persona of the kind's population."""
        return self.populations[kind].draw(key)

    def identity(self) -> dict[str, Any]:
        """Name and populations."""
        return {"name": "scripted", "populations": {k: p.to_dict() for k, p in self.populations.items()}}


def distribution(request: UserRequest) -> dict[tuple[str, bool], float]:
    """Every reply that a scripted user can give, as (text, stop), with its probability; they sum to 1."""
    total: dict[tuple[str, bool], float] = {}
    for reply, probability in enumerate_paths(lambda chooser: run_program(request, chooser)):
        outcome = (reply.text, reply.stop)
        total[outcome] = total.get(outcome, 0.0) + probability
    return total


def _log_prob(request: UserRequest, reply: UserReply) -> ReplyLogProb:
    outcomes = distribution(request)
    stop = sum(p for (_, stops), p in outcomes.items() if stops == reply.stop)
    both = outcomes.get((reply.text, reply.stop), 0.0)
    return ReplyLogProb(
        stop=math.log(stop) if stop else -math.inf,
        text=math.log(both / stop) if both else -math.inf,
    )


def run_program(request: UserRequest, chooser: Chooser) -> UserReply:
    """The program of one reply: its text and stop are what the chooser's decisions make of the request."""
    said = disclosure(request.brief, request.conversation)
    if not request.conversation:
        return _opening(request, said, chooser)
    message = request.conversation[-1]["content"]
    asked = recognise(message, request.brief, [fact.name for fact in said.held])
    reading = read_message(request, said, message, asked)
    turn = len(texts(request.conversation, "assistant"))
    persona = request.persona
    meta = {"asked": list(asked.facts), "generic": asked.generic, "held": [f.name for f in said.held]}
    text, stop = _react(chooser, request, said, asked, reading, turn > persona.patience)
    told = disclosure(request.brief, ({"role": "user", "content": text},)).told
    meta["told"] = [f.name for f in told if f not in said.told]
    return UserReply(write(persona, text), stop, meta)


def _react(
    chooser: Chooser, request: UserRequest, said: Disclosure, asked: Inquiry, reading: Reading, tired: bool
) -> tuple[str, bool]:
    """What is said, and whether the user stops."""
    persona, kind = request.persona, request.kind
    if tired and flip(chooser, "leave", 0.4):
        return choose(chooser, "leaving", _LEAVE), True
    if said.slipped and flip(chooser, "correct", persona.correction):
        return _correction(chooser, said.slipped[0]), False
    if asked.facts or asked.generic:
        return _answer(chooser, persona, said, asked), False
    if reading.answered:
        if flip(chooser, "accept", acceptance(persona, reading)):
            return choose(chooser, "closing", _ACCEPT[kind]), True
        return _objection(chooser, request, said, reading), False
    if asked.other:
        return choose(chooser, "unknown", _UNKNOWN), False
    if said.held and flip(chooser, "volunteer", 0.3):
        return _tell(chooser, persona, said.held[0], "volunteered"), False
    return choose(chooser, "urge", _URGE[kind]), False


def _opening(request: UserRequest, said: Disclosure, chooser: Chooser) -> UserReply:
    """The request, with each fact told, told vaguely or left out."""
    persona, brief = request.persona, request.brief
    told: list[Fact] = []
    clauses: list[str] = []
    for fact in brief.facts:
        if flip(chooser, "disclose", persona.disclosure):
            told.append(fact)
            clauses.append(fact.text)
        elif fact.vague:
            clauses.append(fact.vague)
    greeting = "hi, " if flip(chooser, "greet", persona.politeness) else ""
    if request.kind == "math":
        text = ". ".join([*clauses, brief.goal])
    else:
        wish = choose(chooser, "wish", ("I need {}", "please write {}", "can you write {}"))
        text = ". ".join([wish.format(brief.goal), *clauses])
    held = [f.name for f in brief.facts if f not in told]
    return UserReply(write(persona, greeting + text), False, {"told": [f.name for f in told], "held": held})


def _answer(chooser: Chooser, persona: Persona, said: Disclosure, asked: Inquiry) -> str:
    """Answer a question for facts; a generic one is about what was held back."""
    if asked.generic:
        wanted = said.held[:1] if flip(chooser, "one at a time", persona.terseness) else said.held
        if not wanted:
            return choose(chooser, "all said", _ALL_SAID)
    else:
        known = (*said.told, *said.slipped, *said.held)
        wanted = tuple(f for name in asked.facts for f in known if f.name == name)
    if len(wanted) == 1:
        return _tell(chooser, persona, wanted[0], "asked", slip=wanted[0] in said.held)
    return politely(chooser, persona, " and ".join(fact.text for fact in wanted))


def _tell(chooser: Chooser, persona: Persona, fact: Fact, why: str, slip: bool = True) -> str:
    """Say one fact; the value may be a slip where the fact is new."""
    wrong = slip and bool(fact.slip) and flip(chooser, "slip", persona.slip)
    value = fact.slip if wrong else fact.value
    clause = _with_value(fact, value)
    if why == "asked" and flip(chooser, "terse", persona.terseness):
        return politely(chooser, persona, choose(chooser, "short form", (value, f"it's {value}")))
    forms = (
        (clause, f"oh right, {clause}", f"I think {clause}")
        if why == "asked"
        else (clause, f"by the way, {clause}")
    )
    return politely(chooser, persona, choose(chooser, "form", forms))


def _correction(chooser: Chooser, fact: Fact) -> str:
    return choose(
        chooser,
        "correction",
        (f"wait, it's {fact.value}, not {fact.slip}", f"sorry, I meant {fact.value}", f"no, {fact.text}"),
    )


def _objection(chooser: Chooser, request: UserRequest, said: Disclosure, reading: Reading) -> str:
    """Say what is wrong where the user can see it, else doubt."""
    missing = (*said.held, *reading.left_out)
    if missing and flip(chooser, "object", 0.6):
        fact = missing[0]
        return choose(
            chooser,
            "objection",
            (f"no, {fact.text}", f"but {fact.text}", f"that can't be right, {fact.text}"),
        )
    return choose(chooser, "doubt", _DOUBT[request.kind])


def _with_value(fact: Fact, value: str) -> str:
    """The fact's clause with another value in it; whole words, since "1" also stands in "10"."""
    return fact.text if value == fact.value else whole(fact.value).sub(lambda _: value, fact.text, count=1)


simulators.register("scripted", ScriptedUser)
