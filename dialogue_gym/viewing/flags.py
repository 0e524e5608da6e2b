"""What strikes the eye in a dialogue, message by message: leaks, broken roles, repeats, empty messages.

The flags are rules over the text and so may err; each says why it is there. Logs of people get them too:
people repeat themselves and paste their homework.

- *leak* (user): the message says the reference answer before the agent has said it, without it being a
  number of the brief; or quotes a run of eight words of the target text that stands neither in the brief
  nor in what the agent wrote; or pastes at least 80 % of the brief at once, with every fact in it (briefs of
  twelve words or more).
- *role break* (user): signs of the agent's role, see ``calibration.realism.acts``.
- *repeated* (both): the same words as an earlier message of the same side, or as the agent's last one;
  three words or more.
- *empty* (both): nothing but white space.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dialogue_gym.calibration.realism.acts import ROLE_BREAKS
from dialogue_gym.calibration.words import ngrams, words
from dialogue_gym.dialogue import Message
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.simulators.state import says, texts
from dialogue_gym.simulators.user_turns import brief_of
from dialogue_gym.tasks.base import Brief, Reference, Task, task_from_dict

FLAGS = ("leak", "role break", "repeated", "empty")
"""Their names, in the order of tables."""

_QUOTE = 8  # words in a row that make a quotation of the target
_PASTED = 0.8  # share of the brief's runs of four words from which it counts as pasted
_LONG_BRIEF = 12  # words; shorter ones are said whole by anybody
_REPEATED = 3  # words; "yes" may be said twice


@dataclass(frozen=True, slots=True)
class Flag:
    """One sign in one message.

    Attributes:
        name: one of ``FLAGS``.
        why: a clause that says what was seen.
    """

    name: str
    why: str


def turn_of(index: int) -> int:
    """The turn that message ``index`` belongs to; 0 is the opening."""
    return (index + 1) // 2


def task_of(record: DialogueRecord) -> Task | None:
    """The record's task; None where it has none, or one of a form that is not ours."""
    if record.task is None:
        return None
    try:
        return task_from_dict(record.task)
    except ValueError:
        return None


def flags_of(record: DialogueRecord) -> list[list[Flag]]:
    """The flags of each message of a record, in order.

    Example:
        >>> said = ["how many?", "How many what?", "how many?", "Seven."]
        >>> messages = [
        ...     {"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(said)
        ... ]
        >>> people = {"name": "people"}
        >>> record = DialogueRecord(
        ...     "MathChat-v0", "", None, None, 0, 0, people, {}, messages, [{}, {}], "user_stop", None, {}
        ... )
        >>> flags_of(record)
        [[], [], [], []]
        >>> messages[2]["content"] = "Let me help: the answer is 7"
        >>> [flag.why for flag in flags_of(record)[2]]
        ['solves', 'offers help']
    """
    flags: list[list[Flag]] = [[*_both(record, i)] for i in range(len(record.messages))]
    for i in range(0, len(record.messages), 2):
        flags[i] = [*_leaks(record, i), *_role_breaks(record.messages[i]["content"]), *flags[i]]
    return flags


def told_of(record: DialogueRecord) -> list[list[str]]:
    """Names of the brief's facts that each message tells for the first time; none for the agent's."""
    task = task_of(record)
    facts = list(task.brief.facts) if task else []
    told: list[list[str]] = []
    for message in record.messages:
        said = [fact for fact in facts if message["role"] == "user" and says(message["content"], fact.value)]
        facts = [fact for fact in facts if fact not in said]
        told.append([fact.name for fact in said])
    return told


def _both(record: DialogueRecord, i: int) -> Iterator[Flag]:
    """Repeats and empty messages; an empty one may stand for what nobody logged."""
    text = record.messages[i]["content"]
    if not text.strip():
        if i or "beginning" not in record.extra.get("censored", ()):
            yield Flag("empty", "says nothing")
        return
    said = words(text)
    if len(said) < _REPEATED:
        return
    for j in range(i % 2, i, 2):
        if words(record.messages[j]["content"]) == said:
            yield Flag("repeated", "says again what it said in " + _place(j))
            return
    if i >= 2 and i % 2 == 0 and words(record.messages[i - 1]["content"]) == said:
        yield Flag("repeated", "says what the agent has just said")


def _place(index: int) -> str:
    return f"turn {turn_of(index)}" if index else "the opening"


def _role_breaks(text: str) -> Iterator[Flag]:
    for sign, pattern in ROLE_BREAKS.items():
        if pattern.search(text):
            yield Flag("role break", sign)


def _leaks(record: DialogueRecord, i: int) -> Iterator[Flag]:
    task, before = task_of(record), record.messages[:i]
    brief = task.brief if task else brief_of(record) if record.task is None else None
    if brief is None:
        return
    text = record.messages[i]["content"]
    if task and _says_answer(text, before, brief, task.reference):
        yield Flag("leak", f"says the answer, {task.reference.answer}, before the agent does")
    if task and (quote := _quotation(text, before, brief, task.reference)):
        yield Flag("leak", f'quotes the target text: "{" ".join(quote)} ..."')
    if (share := _pasted(text, brief)) >= _PASTED:
        yield Flag("leak", f"pastes {share:.0%} of the brief")


def _says_answer(text: str, before: Sequence[Message], brief: Brief, reference: Reference) -> bool:
    answer = reference.answer
    known = "\n".join((brief.text, brief.goal, *(f"{fact.value}\n{fact.slip}" for fact in brief.facts)))
    heard = "\n".join(message["content"] for message in before)
    return says(text, answer) and not says(known, answer) and not says(heard, answer)


def _quotation(
    text: str, before: Sequence[Message], brief: Brief, reference: Reference
) -> tuple[str, ...] | None:
    target = set(ngrams(words(reference.text), _QUOTE))
    if not target:
        return None
    told = (brief.text, *(fact.text for fact in brief.facts), *texts(before, "assistant"))
    known = {gram for source in told for gram in ngrams(words(source), _QUOTE)}
    return next((gram for gram in ngrams(words(text), _QUOTE) if gram in target - known), None)


def _pasted(text: str, brief: Brief) -> float:
    whole = words(brief.text)
    if len(whole) < _LONG_BRIEF or not all(says(text, fact.value) for fact in brief.facts):
        return 0.0
    spoken = set(ngrams(words(text), 4))
    runs = ngrams(whole, 4)
    return sum(gram in spoken for gram in runs) / len(runs)
