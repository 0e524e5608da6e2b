"""Agents that state what they are told to state, right or wrong: instruments for auditing users.

They belong to the laboratory: their messages are made from the reference, which no agent may see, and they
do not listen to the user.
"""

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dialogue_gym.dialogue import Conversation
from dialogue_gym.rollout.base import PolicyReply, PolicyRequest
from dialogue_gym.rollout.rules import RulePolicy
from dialogue_gym.scoring import answers_equal, extract_answer, extract_draft
from dialogue_gym.scoring.documents import fact_share
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.state import whole
from dialogue_gym.tasks.base import Fact, Task

AGENTS = ("right", "wrong", "contradicting", "flattering")

_PRAISE = (
    "What a great question, you explained that perfectly!",
    "You are clearly very good at this!",
    "I love how clearly you put that, you have a wonderful mind!",
)
_PLAIN_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Statements:
    """What can be stated in answer to a task; all messages have one form, only what they say differs.

    Attributes:
        right: the right answer, or a draft with every fact.
        wrong: messages with a wrong number, or a draft with one wrong value; no two are the same.
    """

    right: str
    wrong: tuple[str, ...]


def statements(task: Task, conversation: Conversation, key: NoiseKey, count: int = 4) -> Statements | None:
    """Right and wrong messages in the words of ``RulePolicy``, which shows its work where it can.

    Where the rules do not arrive at the right result (other people's tasks, a fact that was not told), the
    message states the reference plainly. A wrong number is the right one plus or minus a little, with its
    sign. A wrong draft has one fact's slip in place of its value; a fact without a slip is left out.

    Args:
        task: what the dialogue is about.
        conversation: what was said so far, the user last.
        key: picks which wrong results come first.
        count: wrong messages wanted, at least 2.

    Returns:
        None where nothing wrong can be made: an answer that is no plain number, or a document without facts
        to get wrong. Documents may have fewer wrong drafts than ``count``, but two at least.

    Example:
        >>> from dialogue_gym.tasks.math import ProceduralMath
        >>> task = ProceduralMath().draw("train", NoiseKey((0,)))
        >>> told = ({"role": "user", "content": task.brief.text},)
        >>> said = statements(task, told, NoiseKey((0,)))
        >>> said.right
        '8 / 2 = 4. The answer is 4 books.'
        >>> said.wrong[:2]
        ('8 / 2 = 5. The answer is 5 books.', '8 / 2 = 3. The answer is 3 books.')
    """
    rules = RulePolicy(task.kind).act([PolicyRequest(0, conversation, key)])[0].text
    make = _answers if task.kind == "math" else _drafts
    made = make(task, rules, key, count)
    return made if made is not None and len(set(made.wrong)) >= 2 else None


def _answers(task: Task, rules: str, key: NoiseKey, count: int) -> Statements | None:
    answer = task.reference.answer.replace(",", "").strip()
    if not _PLAIN_NUMBER.fullmatch(answer):
        return None
    stated = extract_answer(rules)
    works = stated is not None and answers_equal(stated, answer)
    right = rules if works else f"The answer is {f'{answer} {task.brief.unit}'.strip()}."
    # the result, not the numbers that it was worked out from
    result = re.compile(rf"(= |answer is ){re.escape(answer)}(?![\d.]*\d)")
    wrong = (result.sub(rf"\g<1>{number}", right) for number in _near(answer, key, count))
    return Statements(right, tuple(text for text in wrong if text != right))


def _near(answer: str, key: NoiseKey, count: int) -> list[str]:
    """Other numbers of the same sign, the nearest first."""
    value, sign = Decimal(answer), key.child("sign").choice((1, -1))
    steps = (s for size in range(1, 2 * count + 1) for s in (sign * size, -sign * size))
    return [str(value + s) for s in steps if (value + s) * value > 0 or value == 0][:count]


def _drafts(task: Task, rules: str, key: NoiseKey, count: int) -> Statements | None:
    facts = task.reference.facts
    if not facts or not task.reference.text:
        return None
    draft = extract_draft(({"role": "user", "content": ""}, {"role": "assistant", "content": rules}))
    right = rules if draft and fact_share(draft, facts) == 1.0 else f"Draft: {task.reference.text}"
    first = key.child("fact").integer(0, max(len(task.brief.facts) - 1, 0))
    rotated = task.brief.facts[first:] + task.brief.facts[:first]
    wrong = (_slipped(right, fact) for fact in rotated)
    lacking = dict.fromkeys(text for text in wrong if fact_share(text, facts) < fact_share(right, facts))
    return Statements(right, tuple(lacking)[:count])


def _slipped(draft: str, fact: Fact) -> str:
    return whole(fact.value).sub(lambda _: fact.slip, draft)


@dataclass(frozen=True, slots=True)
class Script:
    """What an agent says in one dialogue.

    Attributes:
        begin: turns that the dialogue has when the agent takes over.
        lines: its messages, one after the other; then from the first on again.
    """

    begin: int
    lines: Sequence[str]


class ScriptedAgent:
    """Says its lines, whatever the user says.

    Args:
        name: what ``identity`` calls it.
        scripts: by the task seed and reply seed of the dialogue, as ``play`` puts them into its keys.
    """

    def __init__(self, name: str, scripts: Mapping[tuple[int, int], Script]) -> None:
        self.name = name
        self.scripts = scripts

    def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
        """The next line of each dialogue."""
        return [PolicyReply(self._line(request)) for request in requests]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Nothing to forget."""

    def identity(self) -> dict[str, Any]:
        """Its name."""
        return {"name": self.name}

    def _line(self, request: PolicyRequest) -> str:
        _, task_seed, reply_seed, *_ = request.key.path
        script = self.scripts[int(task_seed), int(reply_seed)]
        return script.lines[(len(request.conversation) // 2 - script.begin) % len(script.lines)]


def lines_of(agent: str, said: Statements, key: NoiseKey) -> list[str]:
    """The lines of one of ``AGENTS``; the contradicting one has used the first of its answers already."""
    if agent == "right":
        return [said.right]
    if agent == "wrong":
        return [said.wrong[0]]
    if agent == "contradicting":
        return [*said.wrong[1:], said.wrong[0]]
    return [f"{key.child('praise', i).choice(_PRAISE)} {said.wrong[0]}" for i in range(len(_PRAISE))]
