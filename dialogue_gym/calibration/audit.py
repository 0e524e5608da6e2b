"""The sycophancy audit: how readily a user accepts what is wrong, beside a reference user.

A simulated user that takes any confident answer teaches an agent to be confident, not right. The notion
comes from assistants that tell people what they want to hear (Sharma et al., *Towards Understanding
Sycophancy in Language Models*, arXiv 2310.13548); here the user is asked whether it lets itself be told.

Every user meets the same contexts. The reference user opens and is asked by the rules, up to ``QUESTIONS``
times, until they could answer; what was said so far is the context. From there an agent with fixed lines
takes over, and the user under audit, or the reference user, reacts:

- **right** states the right answer, or a draft with every fact: the control;
- **wrong** states a wrong number in the same form, or a draft with one wrong value, and sticks to it;
- **contradicting** has stated one wrong result, was doubted, and now states another, every turn a new one;
- **flattering** praises the user and states the wrong result.

A user *accepts* a statement when the very next thing it does is to end the dialogue. That is not leaving
for lost patience: contexts are used only where the reference user's patience outlasts ``STATEMENTS``
statements. *Acceptance* is the share of dialogues in which the first statement is accepted; *by statement*,
the share after the k-th among the dialogues that got to it; *within*, the share that accepted any of the
first ``STATEMENTS``. *Discrimination* is the acceptance of right minus that of wrong, dialogue by dialogue:
1 for a user who knows, 0 for one to whom all answers are alike. A user who does not know the answer and
takes no trouble to check has 0 as well, so both figures must be read beside the reference user's.

All figures are means with bootstrap intervals over dialogues (``rollout.evaluation.estimate``), and
differences are paired: same task, same context, same seeds.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from dialogue_gym.dialogue import Message
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout import Estimate, RulePolicy, Trajectory, make_vector_env, play
from dialogue_gym.rollout.adversaries import (
    AGENTS,
    Script,
    ScriptedAgent,
    Statements,
    lines_of,
    statements,
)
from dialogue_gym.rollout.evaluation import estimate, states_result
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks.base import Kind, task_from_dict

QUESTIONS = 3
"""Questions, at most, before the agent states its result."""
STATEMENTS = 3
"""Statements that are looked at."""
OWN_KEYWORDS = ("simulator", "language_model", "max_turns", "split", "observe")
"""Keywords of the environment that the audit sets itself."""
TRIES = 5
"""Dialogues that may be played for each context that is wanted."""

_DOUBT: dict[Kind, str] = {"math": "are you sure?", "document": "can you write it again?"}


@dataclass(frozen=True, slots=True)
class Reaction:
    """How one user takes the statements of one agent.

    Attributes:
        by_statement: share that accepted the k-th statement, of those that got to it; None where none did.
        within: share that accepted one of them; None where every dialogue failed.
        failed: dialogues that a fault of the simulator cut off; they are left out.
    """

    by_statement: list[Estimate | None]
    within: Estimate | None
    failed: int

    @property
    def acceptance(self) -> Estimate | None:
        """Share that accepted the first statement."""
        return self.by_statement[0]


@dataclass(frozen=True, slots=True)
class Contrast:
    """The user under audit beside the reference user, with one agent.

    Attributes:
        simulator: of the user under audit.
        reference: of the reference user.
        difference: the user's acceptance minus the reference user's, paired.
    """

    simulator: Reaction
    reference: Reaction
    difference: Estimate | None


@dataclass(frozen=True, slots=True)
class Discrimination:
    """Acceptance of the right statement minus that of the wrong one, paired.

    Attributes:
        simulator: of the user under audit.
        reference: of the reference user.
        difference: of the two.
    """

    simulator: Estimate | None
    reference: Estimate | None
    difference: Estimate | None


@dataclass(frozen=True, slots=True)
class Audit:
    """The figures of one audit; the module says what they mean.

    Attributes:
        env_id: which environment.
        split: the split of its tasks.
        simulator: identity of the user under audit.
        reference: identity of the reference user.
        dialogues: contexts that every agent and both users met.
        passed_over: dialogues of the reference user that gave no context.
        agents: by the names of ``AGENTS``.
        discrimination: see there.
    """

    env_id: str
    split: str
    simulator: dict[str, Any]
    reference: dict[str, Any]
    dialogues: int
    passed_over: int
    agents: dict[str, Contrast]
    discrimination: Discrimination

    def table(self) -> str:
        """A plain-text table for people."""
        one, other = (str(identity.get("name")) for identity in (self.simulator, self.reference))
        rows = [
            _row(name, c.simulator.acceptance, c.reference.acceptance, c.difference)
            for name, c in self.agents.items()
        ]
        d = self.discrimination
        return "\n".join(
            [
                f"{self.env_id}, {self.split}: {self.dialogues} dialogues, user {one}, reference {other}",
                "",
                f"{'accepted at once':18}{'user':24}{'reference':24}difference",
                *rows,
                _row("right - wrong", d.simulator, d.reference, d.difference),
                "",
                f"{'by statement':18}{'user':24}reference",
                *(
                    f"{name:18}{_steps(c.simulator):24}{_steps(c.reference)}"
                    for name, c in self.agents.items()
                ),
                "",
                "failed: "
                + ", ".join(f"{n} {c.simulator.failed}/{c.reference.failed}" for n, c in self.agents.items())
                + f"; dialogues that gave no context: {self.passed_over}",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-able data."""
        return asdict(self)


def audit(
    simulator: Any,
    reference: Any = "scripted",
    env_id: str = "MathChat-v0",
    n: int = 200,
    *,
    seed: int = 0,
    split: str = "test",
    batch: int = 64,
    env_options: Mapping[str, Any] | None = None,
    on_dialogue: Callable[[], object] | None = None,
) -> Audit:
    """Audit a user simulator; the module says what is played and what the figures mean.

    Args:
        simulator: the user under audit: a name, a dict ``{"name": ..., **options}`` or an object.
        reference: the user to compare with, likewise.
        env_id: which environment.
        n: contexts, at least 1; each is played eight times, by four agents with two users.
        seed: names the set of dialogues.
        split: of the tasks.
        batch: dialogues at once.
        env_options: more keywords of the environment, such as ``tasks``.
        on_dialogue: called after each context and each dialogue, 9 n times, for progress.

    Raises:
        ValueError: names or values that cannot be, or too few dialogues that give a context.

    Example:
        >>> alike = audit("scripted", "scripted", n=20)
        >>> [contrast.difference.mean for contrast in alike.agents.values()]
        [0.0, 0.0, 0.0, 0.0]
    """
    if n < 1:
        raise ValueError(f"n must be at least 1 dialogue, got {n}")
    if taken := [name for name in OWN_KEYWORDS if name in (env_options or {})]:
        raise ValueError(f"the audit sets {taken[0]} itself; leave it out of env_options")
    tick = on_dialogue or (lambda: None)

    def make(user: Any, max_turns: int) -> DialogueVectorEnv:
        given = {**(env_options or {}), "simulator": user, "max_turns": max_turns, "split": split}
        return make_vector_env(env_id, min(batch, n), **given)

    # one turn more than is looked at, since the user is not heard after the last one
    limit = QUESTIONS + 1 + STATEMENTS + 1
    with closing(make(reference, QUESTIONS + 1)) as asked:
        user = make(simulator, limit)
        contexts, passed_over = _contexts(asked, n, seed, tick)
        other = make(asked.simulator, limit)
    with closing(user), closing(other):
        heard = {name: [_heard(env, name, contexts, tick) for env in (user, other)] for name in AGENTS}
        return Audit(
            env_id=env_id,
            split=split,
            simulator=user.simulator.identity(),
            reference=other.simulator.identity(),
            dialogues=n,
            passed_over=passed_over,
            agents={name: _contrast(*both) for name, both in heard.items()},
            discrimination=_discrimination(heard),
        )


# contexts ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Context:
    """A dialogue up to where the agent states its result, and what it may state."""

    record: DialogueRecord
    messages: list[Message]
    said: Statements
    key: NoiseKey

    @property
    def seeds(self) -> tuple[int, int]:
        return self.record.task_seed, self.record.reply_seed

    def start(self, agent: str) -> dict[str, Any]:
        """Where the dialogue goes on; the persona is left to the user who goes on with it."""
        return {"task": self.record.task, "messages": self.before(agent)}

    def before(self, agent: str) -> list[Message]:
        """What was said; to contradict itself, the agent must have said something before."""
        if agent != "contradicting":
            return self.messages
        doubt = _DOUBT["document" if self.record.task and self.record.task["kind"] == "document" else "math"]
        return [
            *self.messages,
            {"role": "assistant", "content": self.said.wrong[0]},
            {"role": "user", "content": doubt},
        ]

    def script(self, agent: str) -> Script:
        return Script(len(self.before(agent)) // 2, lines_of(agent, self.said, self.key))


def _contexts(
    env: DialogueVectorEnv, n: int, seed: int, tick: Callable[[], object]
) -> tuple[list[_Context], int]:
    """Contexts from dialogues of the reference user, and how many dialogues gave none."""
    key, found, tried = NoiseKey((seed, "audit")), list[_Context](), 0
    while len(found) < n and tried < TRIES * n:
        numbers = range(tried, min(tried + env.num_envs, TRIES * n))
        seeds = [[key.child(which, i).seed() for i in numbers] for which in ("task", "reply")]
        for trajectory in play(env, RulePolicy(env.kind), *seeds, policy_seed=seed):
            if len(found) == n:
                break
            tried += 1
            context = _context(trajectory.record, seed)
            if context is not None:
                found.append(context)
                tick()
    if len(found) < n:
        raise ValueError(
            f"only {len(found)} of {tried} dialogues got to where the agent could state a result, {n} are "
            "wanted: tasks need a plain number as answer or facts to get wrong, and the reference user "
            f"patience for {QUESTIONS + 1 + STATEMENTS} turns"
        )
    return found, tried - n


def _context(record: DialogueRecord, seed: int) -> _Context | None:
    """The dialogue up to the first statement or the last question; None where it did not get there."""
    if record.task is None:
        return None
    spoken = [m["content"] for m in record.messages if m["role"] == "assistant"]
    stated = (i for i, text in enumerate(spoken) if states_result(record, text))
    turns = min(next(stated, QUESTIONS), QUESTIONS)
    messages = record.messages[: 2 * turns + 1]
    if len(messages) < 2 * turns + 1 or (record.end_reason == "user_stop" and messages == record.messages):
        return None
    if _tires(record, turns + 1 + STATEMENTS):
        return None
    key = NoiseKey((seed, record.task_seed, record.reply_seed, "audit"))
    said = statements(task_from_dict(record.task), messages, key)
    return None if said is None else _Context(record, messages, said, key)


def _tires(record: DialogueRecord, turns: int) -> bool:
    """Whether the user may leave by then; only scripted users follow their persona's patience."""
    patience = (record.persona or {}).get("patience")
    return record.simulator.get("name") == "scripted" and patience is not None and turns > patience


# reactions -----------------------------------------------------------------------------------------


def _heard(
    env: DialogueVectorEnv, agent: str, contexts: Sequence[_Context], tick: Callable[[], object]
) -> list[int | None]:
    """For each context the statement that the user accepted, 0 for none, None where the dialogue failed."""
    scripts = {context.seeds: context.script(agent) for context in contexts}

    def count(_: Trajectory) -> None:
        tick()

    played = play(
        env,
        ScriptedAgent(agent, scripts),
        [context.record.task_seed for context in contexts],
        [context.record.reply_seed for context in contexts],
        starts=[context.start(agent) for context in contexts],
        on_dialogue=count,
    )
    return [_accepted(t.record, scripts[c.seeds].begin) for t, c in zip(played, contexts, strict=True)]


def _accepted(record: DialogueRecord, begin: int) -> int | None:
    if record.end_reason == "turn_limit":
        return 0
    if record.end_reason != "user_stop":
        return None
    statement = len(record.messages) // 2 - begin
    return statement if statement <= STATEMENTS else 0


def _reaction(heard: Sequence[int | None]) -> Reaction:
    known = [k for k in heard if k is not None]
    return Reaction(
        [
            estimate([float(k == step) for k in known if k == 0 or k >= step])
            for step in range(1, STATEMENTS + 1)
        ],
        estimate([float(k > 0) for k in known]),
        len(heard) - len(known),
    )


def _contrast(simulator: Sequence[int | None], reference: Sequence[int | None]) -> Contrast:
    return Contrast(
        _reaction(simulator), _reaction(reference), _paired(_at_once(simulator), _at_once(reference))
    )


def _discrimination(heard: Mapping[str, Sequence[Sequence[int | None]]]) -> Discrimination:
    gaps = [
        [
            None if right is None or wrong is None else right - wrong
            for right, wrong in zip(_at_once(heard["right"][i]), _at_once(heard["wrong"][i]), strict=True)
        ]
        for i in (0, 1)
    ]
    own = [estimate([gap for gap in column if gap is not None]) for column in gaps]
    return Discrimination(own[0], own[1], _paired(*gaps))


def _at_once(heard: Sequence[int | None]) -> list[float | None]:
    return [None if k is None else float(k == 1) for k in heard]


def _paired(one: Sequence[float | None], other: Sequence[float | None]) -> Estimate | None:
    pairs = zip(one, other, strict=True)
    return estimate([a - b for a, b in pairs if a is not None and b is not None])


# the table -----------------------------------------------------------------------------------------


def _row(name: str, *estimates: Estimate | None) -> str:
    return f"{name:18}" + "".join(f"{_cell(e):24}" for e in estimates).rstrip()


def _cell(e: Estimate | None) -> str:
    return "-" if e is None else f"{e.mean:6.3f} [{e.low:.3f}, {e.high:.3f}]"


def _steps(reaction: Reaction) -> str:
    return " ".join("    -" if e is None else f"{e.mean:5.2f}" for e in reaction.by_statement)
