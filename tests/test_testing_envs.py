"""The conformance check passes our environments and names what is wrong with broken ones."""

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import pytest

from dialogue_gym.envs import MathChatEnv, MathChatVectorEnv
from dialogue_gym.simulators import Persona, UserReply
from dialogue_gym.testing import check_env


@pytest.mark.parametrize("env_id", ["MathChat-v0", "DocEditChat-v0"])
@pytest.mark.parametrize("observe", ["all", "new"])
def test_our_environments_conform(env_id: str, observe: str) -> None:
    assert len(check_env(env_id, observe=observe)) == 11


def test_the_fault_that_the_check_makes_alarms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    check_env("MathChat-v0")
    assert not caplog.messages


def test_parts_are_checked_with_their_environment() -> None:
    assert len(check_env("DocEditChat-v0", seed=3, tasks="pieces", max_turns=2, deterministic=False)) == 7


def changed(step: Any = None, reset: Any = None, base: type[Any] = MathChatEnv) -> type[Any]:
    """An environment whose steps and resets are passed through a function."""

    class Changed(base):  # type: ignore[misc]
        def reset(self, **keywords: Any) -> Any:
            result = super().reset(**keywords)
            return reset(self, result) if reset else result

        def step(self, action: Any) -> Any:
            result = super().step(action)
            return step(self, action, result) if step else result

    return Changed


@pytest.fixture
def register() -> Iterator[Any]:
    def made(single: Any = MathChatEnv, vector: Any = MathChatVectorEnv, **keywords: Any) -> str:
        gym.register("Stub-v0", entry_point=single, vector_entry_point=vector, kwargs=keywords)
        return "Stub-v0"

    yield made
    gym.registry.pop("Stub-v0", None)


def with_step(index: int, value: Any) -> Any:
    """A step whose result has another value at an index."""

    def step(env: Any, action: str, result: tuple[Any, ...]) -> tuple[Any, ...]:
        new = value(env, action, result)
        return (*result[:index], new, *result[index + 1 :])

    return step


def info_with(name: str, value: Any) -> Any:
    return with_step(4, lambda env, action, result: {**result[4], name: value})


class Shared(MathChatEnv):
    """Hands out the dialogue itself."""

    def reset(self, **keywords: Any) -> Any:
        self.kept, info = super().reset(**keywords)
        return self.kept, info

    def step(self, action: str) -> Any:
        observation, *rest = super().step(action)
        self.kept = (*self.kept, *observation[len(self.kept) :])
        return (self.kept, *rest)


class GoesOn(MathChatEnv):
    """Has no turn limit."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**{**keywords, "max_turns": 99})


class Random(MathChatEnv):
    """Ignores its seed."""

    played = 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        Random.played += 1
        return super().reset(seed=Random.played, options=options)


class Haunted(MathChatEnv):
    """The number of resets shows in the seed."""

    resets = 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.resets += 1
        return super().reset(seed=(seed or 0) + self.resets, options=options)


class Telltale(MathChatEnv):
    """Its info holds the answer."""

    def step(self, action: str) -> Any:
        *result, info = super().step(action)
        return (*result, {**info, "hint": self.record().task["reference"]["answer"]})  # type: ignore[index]


class Restless(MathChatEnv):
    """Begins anew where it should go on."""

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return super().reset(seed=seed)


class Chatty(MathChatVectorEnv):
    """Asks the user three times a step."""

    def step(self, actions: Any) -> Any:
        for _ in range(3):
            self.simulator.reply([])
        return super().step(actions)


class ResetsAll(MathChatVectorEnv):
    """Reads no mask."""

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return super().reset(seed=seed)


class OtherRows(MathChatVectorEnv):
    """Its rows have seeds of their own."""

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return super().reset(seed=(seed or 0) + 100, options=options)


class SpreadsFaults(MathChatVectorEnv):
    """One user's failure ends every dialogue."""

    def step(self, actions: Any) -> Any:
        result = super().step(actions)
        if "simulator_failure" in list(result[4]["end_reason"]):
            result[4]["end_reason"][:] = "simulator_failure"
        return result


class HidesFaults(MathChatVectorEnv):
    """A user's failure counts as an end of the task."""

    def step(self, actions: Any) -> Any:
        observations, rewards, terminated, truncated, infos = super().step(actions)
        return observations, rewards, terminated | truncated, truncated & False, infos


class StillHere(MathChatEnv):
    """Goes on talking after the end."""

    def step(self, action: str) -> Any:
        over = self.record().end_reason is not None
        observation, *rest = super().step(action)
        return (observation + ({"role": "user", "content": "still here"},) * over, *rest)


def all_agents(env: Any, action: str, result: Any) -> Any:
    """What users reply is shown as the agent's."""
    first, *others = result[0]
    return ((first, *({**message, "role": "assistant"} for message in others)), *result[1:])


BROKEN = [
    ({"single": lambda **_: gym.Env()}, "must be a DialogueEnv, got Env"),
    ({"single": changed(with_step(0, lambda env, action, result: result[0][-1]))}, "observation_space"),
    ({"single": Shared}, "observations must be fresh"),
    (
        {"single": changed(with_step(0, lambda env, action, result: result[0][-1:]))},
        "must not change the dialogue",
    ),
    ({"single": changed(all_agents)}, "roles must alternate"),
    (
        {"single": changed(with_step(1, lambda env, action, result: 0.1))},
        "only a scored end pays; another step paid 0.1",
    ),
    ({"single": changed(with_step(1, lambda env, action, result: float("nan")))}, "a reward must be finite"),
    ({"single": changed(with_step(3, lambda env, action, result: result[2]))}, "not both|cut off"),
    ({"single": changed(info_with("scored", False))}, r"info\['scored'\] must be True"),
    ({"single": changed(info_with("end_reason", "done"))}, "end_reason must be one of user_stop, turn_limit"),
    ({"single": changed(info_with("turns_left", 3))}, "turns_left must count the agent's messages: 2, got 3"),
    (
        {"single": changed(with_step(4, lambda env, action, result: {}))},
        "info must have 'turns_left'",
    ),
    ({"single": GoesOn}, "turns_left|must end at max_turns=3"),
    ({"single": StillHere}, "a step after the end must not change the conversation"),
    ({"vector": Chatty}, "at most twice, it called 4 times"),
    ({"vector": ResetsAll}, "must not touch row 1"),
    ({"vector": SpreadsFaults}, "the fault of row 1 must not end row 0"),
    ({"vector": HidesFaults}, "must be truncated with end_reason"),
    ({"single": Random}, "the same seed must give the same dialogue"),
    ({"single": Haunted}, "must not depend on those that were played before it"),
    ({"vector": OtherRows}, r"row 0 of reset\(seed=s\) must be"),
    ({"single": Telltale}, "exchanging the reference must change nothing"),
    ({"single": Restless}, "must go on as if it had not been"),
]


@pytest.mark.parametrize(("stub", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_each_fault_is_found_and_said_in_one_line(register: Any, stub: dict[str, Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message) as caught:
        check_env(register(**stub))
    assert "\n" not in str(caught.value)


def test_an_error_in_the_middle_is_said_in_one_line(register: Any) -> None:
    class Fragile(MathChatEnv):
        def step(self, action: str) -> Any:
            action.split()[0]
            return super().step(action)

    with pytest.raises(AssertionError, match=r"step\(\) raised IndexError.*the agent said ''") as caught:
        check_env(register(Fragile))
    assert "\n" not in str(caught.value)


def test_users_that_are_noisy_are_allowed_where_it_is_asked_for(register: Any) -> None:
    class Noisy:
        said = 0

        def reply(self, requests: Any) -> list[UserReply]:
            Noisy.said += 1
            return [UserReply(f"I said {Noisy.said}") for _ in requests]

        def forget(self, dialogue_ids: Any) -> None:
            pass

        def draw_persona(self, kind: Any, key: Any) -> Persona:
            return Persona()

        def identity(self) -> dict[str, Any]:
            return {"name": "noisy"}

    check_env(register(simulator=Noisy()), deterministic=False)
    with pytest.raises(AssertionError, match="the same seed must give the same dialogue"):
        check_env("Stub-v0")
