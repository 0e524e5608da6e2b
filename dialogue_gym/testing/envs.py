"""Does an environment keep what Gymnasium and dialogues ask for?"""

import json
import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np

from dialogue_gym.dialogue import EndReason, clean_text
from dialogue_gym.envs import DialogueEnv, DialogueVectorEnv
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import Persona, UserReply, UserRequest, UserSimulator
from dialogue_gym.tasks import Kind, Reference, Task, TaskSource, task_sources
from dialogue_gym.testing.common import ODD_TEXTS, check_number, no_error, run_checks, shown

_SCRIPT = ("What is missing?", "Could you tell me more?", "The answer is 7.", "Draft: Come on Friday.")
_ROWS = 3
_FAULT = "the check's fault"
_ORDINARY = 100
"""Characters of odd texts that are said in every check; the megabyte is said once."""

Step = tuple[Any, float, bool, bool, dict[str, Any]]


def check_env(env_id: str, seed: int = 0, *, deterministic: bool = True, **keywords: Any) -> list[str]:
    """Check a registered dialogue environment, single and vector. The first fault ends the check.

    Args:
        env_id: of yours, or of ours with parts of yours in the keywords.
        seed: the first of the seeds that are played.
        deterministic: False relaxes the checks that compare dialogues, for users that are servers or
            models that compute differently in batches of other shapes.
        **keywords: for ``gym.make`` and ``gym.make_vec``.

    Returns:
        What was checked, one line each.

    Raises:
        AssertionError: the first thing that is wrong, in one line.
        gymnasium.error.Error: no such environment.

    Example:
        >>> check_env("DocEditChat-v0", max_turns=2)[-1]
        'stopping and going on is never having stopped'
    """
    checks: list[tuple[str, Callable[[_Checker], None]]] = [
        ("makes dialogue environments, single and vector", _check_made),
        ("observations are in their space; nothing mutable is shared", _check_observations),
        ("roles alternate and the agent's words are shown as they were said", _check_roles),
        ("dialogues end, and the reward comes with a scored end", _check_ends),
        ("nothing changes after the end", _check_after_end),
        ("at most two simulator calls a step, and masked resets touch masked rows", _check_calls),
        ("a fault ends the dialogue that it belongs to", _check_faults),
    ]
    if deterministic:
        checks += [
            ("the same seed gives the same dialogue", _check_repeats),
            ("each row is the single environment", _check_rows),
            ("the reference shows nowhere before the score", _check_reference),
            ("stopping and going on is never having stopped", _check_restoring),
        ]
    return run_checks(checks, _Checker(env_id, seed, keywords))


class _Checker:
    """An environment under check: how to make it, and how to play it."""

    def __init__(self, env_id: str, seed: int, keywords: dict[str, Any]) -> None:
        self.env_id, self.seed, self.keywords = env_id, seed, keywords

    def single(self, **more: Any) -> DialogueEnv:
        """A fresh environment, without Gymnasium's wrappers."""
        env: Any = gym.make(self.env_id, disable_env_checker=True, **{**self.keywords, **more}).unwrapped
        assert isinstance(env, DialogueEnv), f"{self.env_id} must be a DialogueEnv, got {type(env).__name__}"
        return env

    def vector(self, **more: Any) -> DialogueVectorEnv:
        """A fresh vector environment that does not reset itself."""
        options = {**self.keywords, "autoreset_mode": "Disabled", **more}
        env: Any = gym.make_vec(self.env_id, num_envs=_ROWS, **options).unwrapped
        assert isinstance(env, DialogueVectorEnv), (
            f"{self.env_id} needs a vector_entry_point that is a DialogueVectorEnv, got {type(env).__name__}"
        )
        return env

    def play(self, env: DialogueEnv, script: Sequence[str] = _SCRIPT, offset: int = 0) -> list[Step]:
        """Reset, then talk until the dialogue or the script ends; what reset gave comes first."""
        with no_error("reset()", f"seed {self.seed + offset}"):
            observation, info = env.reset(seed=self.seed + offset)
        steps: list[Step] = [(observation, 0.0, False, False, info)]
        for text in script:
            if steps[-1][2] or steps[-1][3]:
                break
            with no_error("step()", f"the agent said {shown(text)}"):
                steps.append(env.step(text))
        return steps

    def task_source(self) -> TaskSource:
        """The tasks that the environment is made with."""
        registered = gym.spec(self.env_id).kwargs
        spec = {**registered, **self.keywords}.get("tasks", "procedural")
        return task_sources[self.single().kind].build(spec)


class _Counting:
    """Another simulator, and how many calls of it there were; can fail for chosen dialogues."""

    def __init__(
        self, inner: UserSimulator, failing: Callable[[UserRequest], bool] = lambda _: False
    ) -> None:
        self.inner, self.failing, self.calls = inner, failing, 0

    def __deepcopy__(self, memo: Any) -> "_Counting":
        return self

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        self.calls += 1
        replies = self.inner.reply(requests)
        return [
            UserReply("", error=_FAULT) if self.failing(request) else reply
            for request, reply in zip(requests, replies, strict=True)
        ]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        self.inner.forget(dialogue_ids)

    def draw_persona(self, kind: Kind, key: NoiseKey) -> Persona:
        return self.inner.draw_persona(kind, key)

    def identity(self) -> dict[str, Any]:
        return self.inner.identity()


@contextmanager
def _unlogged(words: str) -> Iterator[None]:
    """Inside, nothing with these words is logged of users: it would alarm people, and is meant to happen."""
    log = logging.getLogger("dialogue_gym.envs.asking")

    def other(record: logging.LogRecord) -> bool:
        return words not in record.getMessage()

    log.addFilter(other)
    try:
        yield
    finally:
        log.removeFilter(other)


@dataclass
class _Swapped:
    """The tasks of another source with another reference."""

    inner: TaskSource
    word: str

    @property
    def kind(self) -> Kind:
        return self.inner.kind

    def draw(self, split: str, key: NoiseKey) -> Task:
        return replace(self.inner.draw(split, key), reference=Reference(self.word, self.word, (self.word,)))

    def identity(self) -> dict[str, object]:
        return self.inner.identity()


def _check_made(checker: _Checker) -> None:
    checker.single()
    checker.vector()


def _check_observations(checker: _Checker) -> None:
    env = checker.single()
    for script in (*([text] for text in ODD_TEXTS), _SCRIPT):
        for observation, *_ in checker.play(env, script):
            assert observation in env.observation_space, (
                f"an observation must be in observation_space (the agent said {shown(script[0])})"
            )
    _check_handed_out(checker.single(observe="all"), checker.seed)


def _check_handed_out(env: DialogueEnv, seed: int) -> None:
    observation, info = env.reset(seed=seed)
    for text in _SCRIPT[:2]:
        said = [dict(message) for message in observation]
        for message in observation:
            message["content"] = "forged"
        info.clear()
        observation, *_, info = env.step(text)
        assert list(observation[: len(said)]) == said, (
            "changing what was handed out must not change the dialogue: observations must be fresh"
        )


def _check_roles(checker: _Checker) -> None:
    env = checker.single(observe="all", max_turns=2)
    for text in (t for t in ODD_TEXTS if len(t) < _ORDINARY):
        steps = checker.play(env, [text, *_SCRIPT])
        for (before, *_), (after, *_), said in zip(steps, steps[1:], [text, *_SCRIPT], strict=False):
            kept = after[: len(before)] == before
            assert kept, f"a step must add to the conversation, not change it (the agent said {shown(said)})"
            shows = after[len(before)] == {"role": "assistant", "content": clean_text(said)}
            assert shows, f"the agent's message must be shown as it was said (the agent said {shown(said)})"
        roles = [message["role"] for message in steps[-1][0]]
        alternate = roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)
        assert alternate, f"roles must alternate, the user first, got {roles} (the agent said {shown(text)})"


def _check_ends(checker: _Checker) -> None:
    env = checker.single(max_turns=3, observe="all")
    for offset in range(_ROWS):
        steps = checker.play(env, _SCRIPT, offset)
        for observation, reward, terminated, truncated, info in steps:
            _check_step(reward, bool(terminated), bool(truncated), info)
            left, right = info["turns_left"], 3 - len(observation) // 2
            assert left == right, f"turns_left must count the agent's messages: {right}, got {left!r}"
        over = steps[-1][2] or steps[-1][3]
        assert over, "a dialogue must end at max_turns=3, it went on"


def _check_step(reward: Any, terminated: bool, truncated: bool, info: dict[str, Any]) -> None:
    for name in ("turns_left", "end_reason", "scored"):
        assert name in info, f"info must have {name!r}, got {sorted(info)}"
    check_number(reward, "a reward")
    assert terminated or reward == 0.0, f"only a scored end pays; another step paid {reward}"
    if not (terminated or truncated):
        return
    assert terminated != truncated, "an end is terminated (scored) or truncated (cut off), not both"
    scored = info["scored"]
    assert scored == terminated, f"info['scored'] must be {terminated} with this end, got {scored!r}"
    reasons = [reason.value for reason in EndReason if reason.scored == terminated]
    reason = info["end_reason"]
    assert reason in reasons, f"end_reason must be one of {', '.join(reasons)} with this end, got {reason!r}"


def _check_after_end(checker: _Checker) -> None:
    env = checker.single(max_turns=1)
    last = checker.play(env, _SCRIPT[:1])[-1]
    with no_error("step()", "after the end"):
        again = env.step("One more thing.")
    assert again[0] == last[0], "a step after the end must not change the conversation"


def _check_calls(checker: _Checker) -> None:
    env = checker.vector(max_turns=3)
    env.simulator = user = _Counting(env.simulator)
    env.reset(seed=checker.seed)
    assert user.calls <= 1, f"a reset must call the simulator once for all rows, it called {user.calls} times"
    for text in _SCRIPT:
        user.calls = 0
        env.step([text] * _ROWS)
        assert user.calls <= 2, f"a step must call the simulator at most twice, it called {user.calls} times"
    before = [env.record(row) for row in range(_ROWS)]
    env.reset(options={"reset_mask": np.array([True] + [False] * (_ROWS - 1))})
    for row in range(1, _ROWS):
        assert env.record(row) == before[row], f"a masked reset must not touch row {row}, which it leaves out"


def _check_faults(checker: _Checker) -> None:
    env = checker.vector(max_turns=3)
    env.reset(seed=checker.seed)
    chosen = env.record(1)
    if chosen.end_reason is not None:  # the user left at once
        return
    env.simulator = _Counting(env.simulator, lambda request: request.key.path[0] == chosen.reply_seed)
    with _unlogged(_FAULT):
        *_, terminated, truncated, infos = env.step([_SCRIPT[0]] * _ROWS)
    cut_off = bool(truncated[1]) and not terminated[1] and infos["end_reason"][1] == "simulator_failure"
    assert cut_off, "a dialogue whose user fails must be truncated with end_reason 'simulator_failure'"
    for row in (0, 2):
        reason = infos["end_reason"][row]
        assert reason != "simulator_failure", f"the fault of row 1 must not end row {row}"


def _check_repeats(checker: _Checker) -> None:
    first = checker.play(checker.single())
    assert first == checker.play(checker.single()), "the same seed must give the same dialogue"
    env = checker.single()
    checker.play(env, offset=1)
    assert first == checker.play(env), "a dialogue must not depend on those that were played before it"


def _check_rows(checker: _Checker) -> None:
    vector = checker.vector()
    vector.reset(seed=checker.seed)
    for text in _SCRIPT:
        vector.step([text] * _ROWS)
    for row in range(_ROWS):
        env = checker.single()
        checker.play(env, offset=row)
        equal = _comparable(vector.record(row)) == _comparable(env.record())
        assert equal, f"row {row} of reset(seed=s) must be the single environment's reset(seed=s + {row})"


def _comparable(record: DialogueRecord) -> dict[str, Any]:
    return {name: value for name, value in asdict(record).items() if name != "simulator"}


def _check_reference(checker: _Checker) -> None:
    seen = []
    for word in ("zq7-canary-91", "17"):
        env = checker.single(tasks=_Swapped(checker.task_source(), word), max_turns=2)
        steps = checker.play(env)
        for *_, info in steps:
            info.pop("metrics", None)  # the score
        seen.append(repr([(step[0], *step[2:]) for step in steps]) + str(env))
    same = seen[0] == seen[1]
    assert same, "exchanging the reference must change nothing that the agent sees before the score"


def _check_restoring(checker: _Checker) -> None:
    env = checker.single()
    last = checker.play(env, _SCRIPT[:1])[-1]
    if last[2] or last[3]:
        return
    saved = json.loads(json.dumps(asdict(env.record())))
    later = checker.single()
    with no_error("reset()", "options={'dialogue': a record}"):
        later.reset(seed=checker.seed + 1, options={"dialogue": saved})
    for text in _SCRIPT[1:3]:
        same = env.step(text) == later.step(text)
        assert same, "a dialogue that was stopped and restored must go on as if it had not been"
