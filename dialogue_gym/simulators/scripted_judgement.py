"""What a user can see of an answer without knowing the right one, and how likely it is to accept it."""

import re
from dataclasses import dataclass, field

from dialogue_gym.scoring.drafts import extract_draft
from dialogue_gym.scoring.extraction import extract_answer
from dialogue_gym.simulators.base import UserRequest
from dialogue_gym.simulators.personas import Persona
from dialogue_gym.simulators.questions import Inquiry
from dialogue_gym.simulators.state import Disclosure, says, texts
from dialogue_gym.tasks.base import Fact

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_SIGNS = re.compile(r"[+*/×÷=]|\d\s*-\s*\d|\b(?:plus|minus|times|divided|because|since)\b")


@dataclass(frozen=True, slots=True)
class Reading:
    """How a message looks to the user.

    Attributes:
        answered: it states an answer or holds a draft.
        factors: one factor for each line of ``ScriptedUser``'s table that applies, by name.
        left_out: told facts that the agent did not use.
    """

    answered: bool = False
    factors: dict[str, float] = field(default_factory=dict)
    left_out: tuple[Fact, ...] = ()


def read_message(request: UserRequest, said: Disclosure, message: str, asked: Inquiry) -> Reading:
    """Read the agent's last message as the user would."""
    if asked.facts or asked.generic:
        return Reading()
    read = _read_answer if request.kind == "math" else _read_draft
    return read(request, said, message)


def acceptance(persona: Persona, reading: Reading) -> float:
    """Probability that the user accepts: trust times the factors of the table."""
    probability = persona.trust
    for factor in reading.factors.values():
        probability *= factor
    return probability


def _read_answer(request: UserRequest, said: Disclosure, message: str) -> Reading:
    answer = extract_answer(message)
    if answer is None:
        return Reading()
    factors: dict[str, float] = {}
    if said.held:
        factors["untold"] = 0.85
    if said.slipped:
        factors["slip"] = 0.7
    spoken = "\n".join(texts(request.conversation, "assistant"))
    left_out = tuple(fact for fact in said.told if not says(spoken, fact.value))
    if left_out:
        factors["left out"] = 0.8
    if not _SIGNS.search(message.lower()) or len(_NUMBER.findall(message)) < 2:
        factors["no work"] = 0.8
    if request.brief.unit and request.brief.unit.lower() not in message.lower():
        factors["no unit"] = 0.9
    factors.update(_plausibility(answer, request))
    return Reading(True, factors, left_out)


def _plausibility(answer: str, request: UserRequest) -> dict[str, float]:
    """Sign and range: people know that a number of things is positive, whole and of a sensible size."""
    brief = request.brief
    if not brief.unit and all(fact.value == fact.text for fact in brief.facts):
        return {}  # told in whole sentences: a formula or a puzzle, whose answer can be anything
    number = _NUMBER.search(answer.replace(",", ""))
    if number is None:
        return {"no number": 0.05}
    value = float(number.group())
    known = [float(v) for fact in brief.facts for v in _NUMBER.findall(fact.value)]
    largest = max(known, default=0.0)
    if value <= 0 or (known and value > 100 * max(largest, 1.0)):
        return {"range": 0.05}
    if brief.unit and not value.is_integer():
        return {"not whole": 0.3}
    return {}


def _read_draft(request: UserRequest, said: Disclosure, message: str) -> Reading:
    draft = extract_draft(request.conversation[-1:])
    if not draft:
        return Reading()
    factors: dict[str, float] = {}
    held = tuple(fact for fact in said.held if not says(draft, fact.value))
    left_out = tuple(fact for fact in said.told if not says(draft, fact.value))
    if held:
        factors["untold"] = 0.25
    if left_out:
        factors["left out"] = 0.3
    if said.slipped:
        factors["slip"] = 0.7
    if len(draft.split()) < 8:
        factors["short"] = 0.2
    return Reading(True, factors, left_out)
