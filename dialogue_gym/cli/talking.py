"""What ``play`` and ``serve`` share: a person in one seat of a dialogue, and their log."""

import secrets
import sys
import tempfile
import threading
from collections.abc import Hashable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from tyro.conf import Positional, arg  # noqa: TID253 - opened only by those who ask for these commands

from dialogue_gym.cli.arguments import json_object
from dialogue_gym.cli.reading import mend_log
from dialogue_gym.dialogue import EndReason
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.logs import DialogueRecord, append, read_log
from dialogue_gym.rollout import Policy, PolicyReply, PolicyRequest, load_policy, make_vector_env, play
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import HumanUser, Persona, UserReply, UserRequest, UserSimulator
from dialogue_gym.simulators.human import PEOPLE
from dialogue_gym.tasks.base import Kind, task_sources

Role = Literal["user", "agent"]
RATINGS = range(1, 6)
AGENT_BRIEF: dict[Kind, str] = {
    "math": "You are the agent: find out what the user wants to know, and say the answer plainly, "
    'such as "The answer is 7."',
    "document": "You are the agent: find out what the user wants written, and send it after the word "
    '"Draft:", as often as you like; the last one counts.',
}
"""What a person must know to be the agent."""

_OWN_WORDS = (
    "Own words need a language model, such as --policy transformers:PATH or http://HOST:PORT/v1#MODEL."
)
_POLICY_NOTES = {
    "rule": "The rules understand one wording, that of the brief: copy its lines into the first message. "
    + _OWN_WORDS,
    "tiny": "The tiny model is a toy: it knows short sentences like those of the brief, and errs. "
    + _OWN_WORDS,
}


class Person(Protocol):
    """Somebody to talk with, wherever they sit; both methods wait, and raise ``PersonLeft``."""

    def reply(self, request: UserRequest) -> UserReply:
        """What they say as the user."""
        ...

    def act(self, request: PolicyRequest) -> PolicyReply:
        """What they say as the agent."""
        ...


@dataclass
class TalkSettings:
    """Who talks with the person, about what."""

    env: Positional[str] = "MathChat-v0"
    """Environment id."""
    role: Annotated[Role, arg(name="as")] = "user"
    """Whom the person plays."""
    policy: str | None = None
    """Who plays the agent: "rule", "tiny" (a toy; the default), "transformers:PATH"."""
    policy_options: str = "{}"
    """More options of the policy, a JSON object, such as {"temperature": 0.7, "max_tokens": 200}."""
    simulator: str | None = None
    """With --as agent: who plays the user, such as "scripted" (the default) or "prompted"."""
    language_model: str | None = None
    """The user's language model: "tiny", "transformers:PATH"; not for simulators without one."""
    simulator_options: str = "{}"
    """More options of the simulator, a JSON object."""
    env_options: str = "{}"
    """More keywords of the environment, a JSON object, such as {"tasks": {"name": "procedural"}}."""
    split: Literal["train", "validation", "test"] = "train"
    """Split of the tasks."""
    max_turns: int = 12
    """Turn limit: messages of the agent."""
    seed: int | None = None
    """Names the tasks and the other side's noise; by default others each time."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        if self.max_turns < 1:
            raise ValueError(f"max_turns must be at least 1, got {self.max_turns}")
        if self.seed is not None and self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")
        for name in ("simulator", "language_model") if self.role == "user" else ("policy",):
            if getattr(self, name) is not None:
                option = name.replace("_", "-")
                raise ValueError(f"--as {self.role}: the person plays the {self.role}; leave out --{option}")
        json_object(self.policy_options, "policy_options")
        json_object(self.simulator_options, "simulator_options")
        for name in json_object(self.env_options, "env_options"):
            if name in ("split", "max_turns", "simulator", "language_model"):
                raise ValueError(f"{name} has an option of its own; leave it out of env_options")


class Table:
    """Everything loaded and checked, one seat free: people sit down at it one after the other, or at once.

    Models are asked by one dialogue at a time; the others wait.

    Args:
        settings: who plays the other side.

    Raises:
        ValueError: a name or option that there is not.
        ImportError: a package is missing.
    """

    def __init__(self, settings: TalkSettings) -> None:
        self.env_id, self.role = settings.env, settings.role
        self.seed = secrets.randbits(32) if settings.seed is None else settings.seed
        self._keywords: dict[str, Any] = {
            **json_object(settings.env_options, "env_options"),
            "split": settings.split,
            "max_turns": settings.max_turns,
        }
        self.turn = threading.Lock()
        self._policy: Policy | None = None
        user: Any = "human"
        if self.role == "agent":
            user = {
                **json_object(settings.simulator_options, "simulator_options"),
                "name": settings.simulator or "scripted",
            }
        with closing(
            make_vector_env(
                self.env_id, 1, simulator=user, language_model=settings.language_model, **self._keywords
            )
        ) as env:
            self.kind: Kind = env.kind
            self._simulator = env.simulator
        # once, not once for each person: files and data sets are read when a source is built
        self._keywords["tasks"] = task_sources[self.kind].build(self._keywords.get("tasks", "procedural"))
        self.note = ""
        """What whoever begins must know of the other side; "" where that is nothing."""
        if self.role == "user":
            options = json_object(settings.policy_options, "policy_options")
            self._policy = load_policy(settings.policy or "tiny", self.kind, **options)
            self.note = _POLICY_NOTES.get(settings.policy or "tiny", "")

    def seat(self, person: Person, number: int = 0) -> "Sitting":
        """A dialogue for this person.

        Args:
            person: who sits down.
            number: of the dialogue; equal seeds and numbers meet equal tasks.
        """
        user: UserSimulator
        policy: Policy
        if self._policy is not None:
            user, policy = HumanUser(person.reply), _SharedPolicy(self._policy, self.turn, number)
        else:
            user, policy = _SharedUser(self._simulator, self.turn), _PersonAsPolicy(person)
        env = make_vector_env(self.env_id, 1, simulator=user, **self._keywords)
        return Sitting(self.role, env, policy, NoiseKey((self.seed, "talk", number)))


@dataclass
class Sitting:
    """One dialogue between a person and the other side."""

    role: Role
    env: DialogueVectorEnv
    policy: Policy
    key: NoiseKey

    def play(self) -> DialogueRecord:
        """Play it to its end.

        Raises:
            PersonLeft: the person has; ``left`` then has the record. Ctrl-C comes through likewise.
        """
        seeds = [[self.key.child(what).seed()] for what in ("task", "reply")]
        with closing(self.env):
            [trajectory] = play(self.env, self.policy, *seeds, policy_seed=self.key.child("policy").seed())
        return self._finish(trajectory.record)

    def left(self, detail: str = "the person left") -> DialogueRecord:
        """The dialogue broken off where it stands, unscored; one that is over stays as it ended.

        May be called while another thread plays: nothing but the record says that it is over.
        """
        record = self.env.record()
        if record.end_reason is None:
            record.end_reason, record.extra["failure"] = EndReason.ABORTED.value, detail
        record.policy = self.policy.identity()
        return self._finish(record)

    def _finish(self, record: DialogueRecord) -> DialogueRecord:
        record.extra["person"] = {"as": self.role, "consent": True}
        if self.role == "user":
            record.persona = None
            last = record.messages[-1:]
            # who leaves without a word has said none: see simulators/user_turns.py
            if record.end_reason == EndReason.USER_STOP and last and not last[0]["content"]:
                record.messages.pop()
                record.turns_metadata.pop()
        return record


def open_log(log: Path) -> None:
    """Make sure that dialogues can be kept in this log, before anybody has said anything; it makes no file.

    Raises:
        OSError: it cannot be written.
        ValueError: it is no log.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.is_file():
            for _ in read_log(log, half_line="ignore"):
                pass
            if removed := mend_log(log):
                print(f"{log}: its last line was half written, {removed} bytes removed", file=sys.stderr)
        if log.exists():
            append(log, [])
        else:  # the first dialogue makes it
            tempfile.TemporaryFile(dir=log.parent).close()
    except OSError as error:
        raise OSError(f"{log} cannot be written: {error}") from None


def keep(log: Path, record: DialogueRecord) -> bool:
    """Add a dialogue to the log, on the disk when this returns; False where the person said nothing.

    Raises:
        OSError: the log cannot be written any more; the message says where the dialogue is instead.
    """
    if len(record.messages) < (1 if record.extra["person"]["as"] == "user" else 2):
        return False
    try:
        append(log, [record], fsync=True)
    except (OSError, ValueError) as error:
        with tempfile.NamedTemporaryFile(prefix="dialogue-", suffix=".jsonl", delete=False) as spare:
            append(spare.name, [record])
        raise OSError(f"{error}; the dialogue is in {spare.name} instead") from error
    return True


def rate(record: DialogueRecord, rating: int) -> None:
    """Put the person's rating into the record.

    Raises:
        ValueError: it is not from 1 to 5.
    """
    if rating not in RATINGS:
        raise ValueError(f"a rating is a number from 1 to 5, got {rating}")
    record.extra["ratings"] = {"rating": rating}


def ending(record: DialogueRecord) -> str:
    """How the dialogue ended, in one line; without the score, which would sway the person's rating."""
    turns = len(record.messages) // 2
    you = record.extra["person"]["as"]
    how = {
        EndReason.USER_STOP: "you ended it" if you == "user" else "the user ended it",
        EndReason.TURN_LIMIT: "the turn limit was reached",
        EndReason.ABORTED: "broken off",
        EndReason.POLICY_FAILURE: "the agent failed",
        EndReason.CONTEXT_OVERFLOW: "it became too long for the model",
    }.get(EndReason(record.end_reason or EndReason.ABORTED), "the user failed")
    failure = record.extra.get("failure", "")
    why = f" ({failure})" if failure and record.end_reason != EndReason.ABORTED else ""
    score = "; not scored" if record.reward is None else ""
    return f"{how}{why} after {turns} turn{'s' * (turns != 1)}{score}"


def verdict(record: DialogueRecord) -> str:
    """The score, for a person who has rated; "" where there is none."""
    return "" if record.reward is None else f"The score was {record.reward:.2f}."


class _SharedPolicy:
    """A policy among several dialogues: its own ids, and one call at a time."""

    def __init__(self, policy: Policy, turn: threading.Lock, name: Hashable) -> None:
        self._policy, self._turn, self._name = policy, turn, name

    def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
        own = [replace(request, dialogue_id=(self._name, request.dialogue_id)) for request in requests]
        with self._turn:
            return self._policy.act(own)

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        with self._turn:
            self._policy.forget([(self._name, dialogue_id) for dialogue_id in dialogue_ids])

    def identity(self) -> dict[str, Any]:
        return self._policy.identity()


class _SharedUser:
    """A user simulator among several dialogues: one call at a time."""

    def __init__(self, simulator: UserSimulator, turn: threading.Lock) -> None:
        self._simulator, self._turn = simulator, turn

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        with self._turn:
            return self._simulator.reply(requests)

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        with self._turn:
            self._simulator.forget(dialogue_ids)

    def draw_persona(self, kind: Kind, key: NoiseKey) -> Persona:
        with self._turn:
            return self._simulator.draw_persona(kind, key)

    def identity(self) -> dict[str, Any]:
        return self._simulator.identity()

    def __deepcopy__(self, memo: dict[int, Any]) -> "_SharedUser":
        return self


class _PersonAsPolicy:
    """A person as the agent."""

    def __init__(self, person: Person) -> None:
        self._person = person

    def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
        return [self._person.act(request) for request in requests]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Nothing to forget."""

    def identity(self) -> dict[str, Any]:
        return dict(PEOPLE)
