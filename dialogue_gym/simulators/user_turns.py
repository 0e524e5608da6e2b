"""A logged dialogue from the user's side: what a simulator would have been asked, and what the user did.

Everything that learns or judges users reads logs through ``user_turns``: calibration, realism metrics,
discriminators. Conventions of logs that matter here:

- A user who ends the dialogue with a message stops with it: ``end_reason`` is "user_stop" and the last
  message is the user's. One who leaves without a word stops after the agent's last message:
  ``end_reason`` is "user_stop" and the last message is the agent's. So K turns (an agent's message and the
  user's reply to it) give K + 1 user turns, the last of which ends the dialogue.
- ``extra["censored"]`` lists "beginning" or "end" where an excerpt does not show it. Without a beginning
  the first user message is context only (an empty one stands for messages that nobody logged).
- ``extra["intent"]`` says in one line what the user wants, where there is no task.
- ``simulator["name"]`` is "people" where people spoke, and for nobody else.
"""

from dataclasses import dataclass

from dialogue_gym.logs import DialogueRecord
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.base import UserReply, UserRequest
from dialogue_gym.simulators.personas import Persona
from dialogue_gym.tasks.base import Brief, Kind, task_from_dict


@dataclass(frozen=True, slots=True)
class UserTurn:
    """One thing that a logged user did: said something, ended the dialogue, or both.

    Attributes:
        request: what a simulator is asked at this point. Its key is a function of the dialogue and the
            index, its persona a default: logs of people have none, and nothing may read it.
        reply: what the user did; the text is empty where the user left without a word.
        index: 0 for the opening, else the number of agent messages so far.
        stop_counts: whether it is known if the dialogue went on here; False in excerpts without an end.
    """

    request: UserRequest
    reply: UserReply
    index: int
    stop_counts: bool

    @property
    def is_opening(self) -> bool:
        """Whether it is the first message of the dialogue."""
        return not self.request.conversation


def user_turns(record: DialogueRecord, number: int = 0) -> list[UserTurn]:
    """The user's turns of a record, in order; none where a beginning is missing and nothing follows.

    Args:
        record: any record; see the module for what excerpts and silent ends look like.
        number: tells this record from others of the log: dialogue ids and keys are made from it.

    Raises:
        ValueError: the record's task is none, or its environment is of no known kind.
    """
    brief, kind = brief_of(record), kind_of(record)
    censored = record.extra.get("censored", ())
    stopped = record.end_reason == "user_stop"
    messages = tuple(record.messages)
    said = [(i, m["content"]) for i, m in enumerate(messages) if m["role"] == "user"]
    if stopped and messages and messages[-1]["role"] == "assistant":
        said.append((len(messages), ""))
    return [
        UserTurn(
            UserRequest(number, kind, brief, Persona(), messages[:i], NoiseKey(("log", number, i // 2))),
            UserReply(text, stop=stopped and i >= len(messages) - 1),
            i // 2,
            "end" not in censored,
        )
        for i, text in said
        if i > 0 or "beginning" not in censored
    ]


def brief_of(record: DialogueRecord) -> Brief:
    """The brief of the record's task; without a task, its intent as the goal, with no facts."""
    if record.task is not None:
        return task_from_dict(record.task).brief
    intent = str(record.extra.get("intent", ""))
    return Brief(goal=intent, facts=(), text=intent)


def kind_of(record: DialogueRecord) -> Kind:
    """The kind of the record's dialogue: its task's, else by its environment's id.

    Raises:
        ValueError: neither says.
    """
    kinds: dict[str, Kind] = {"MathChat-v0": "math", "DocEditChat-v0": "document"}
    if record.task is not None:
        return task_from_dict(record.task).kind
    if record.env_id not in kinds:
        raise ValueError(f"environment {record.env_id!r} of a record without a task is none of {[*kinds]}")
    return kinds[record.env_id]


def by_people(record: DialogueRecord) -> bool:
    """Whether people, not a simulation, spoke as the user."""
    return record.simulator.get("name") == "people"
