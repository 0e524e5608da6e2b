"""SkyRL's environment, driven as its generator does: with the real package, and always with a stand-in."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dialogue_gym.rollout import PolicyRequest, RulePolicy
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import UserReply, simulators
from dialogue_gym.simulators.scripted import ScriptedUser


class BaseTextEnv:
    def __init__(self) -> None:
        self.turns, self.max_turns = 0, 1


class Failing(ScriptedUser):
    def reply(self, requests: Any) -> Any:
        return [UserReply("", error="gone") for _ in requests]


simulators.register("failing at once", Failing)


@pytest.fixture(params=["stand-in", "skyrl-gym"])
def bridge(request: Any, standing_in: Any) -> Iterator[Any]:
    if request.param == "skyrl-gym":
        pytest.importorskip("skyrl_gym", reason="skyrl-gym is not installed")
        from dialogue_gym.bridges import skyrl_env

        yield skyrl_env
        return
    registry: dict[str, str] = {}
    gym = {"registry": registry, "register": lambda id, entry_point: registry.update({id: entry_point})}
    base = {"BaseTextEnv": BaseTextEnv, "BaseTextEnvStepOutput": dict}
    modules = {"skyrl_gym": gym, "skyrl_gym.envs": {}, "skyrl_gym.envs.base_text_env": base}
    with standing_in("skyrl_env", modules) as module:
        yield module


def generate(bridge: Any, row: dict[str, Any], max_turns: int = 6) -> dict[str, Any]:
    """What SkyRL's generator does with a row: its columns are the extras, with its turn limit."""
    extras = {name: value for name, value in row.items() if name != "prompt"} | {"max_turns": max_turns}
    env = bridge.DialogueTextEnv(env_config={}, extras=extras)
    chat, _ = env.init(list(row["prompt"]))
    rewards, done, turn = [], False, 0
    while not done:
        assert [m["role"] for m in chat] == ["system", *["user", "assistant"] * turn, "user"]
        key = NoiseKey(("test", row["task_seed"], turn))
        [said] = RulePolicy("math", 0.5).act([PolicyRequest(0, chat[1:], key)])
        step = env.step(said.text)
        chat = [*chat, {"role": "assistant", "content": said.text}, *step["observations"]]
        rewards.append(step["reward"])
        done, turn = step["done"], turn + 1
    env.close()
    return {"chat": chat, "rewards": rewards, "metadata": step["metadata"], "metrics": env.get_metrics()}


def test_dialogues_have_their_turns_and_their_score(bridge: Any) -> None:
    rows = list(bridge.rows("MathChat-v0", 20, seed=3, split="test"))
    with ThreadPoolExecutor(8) as threads:  # as SkyRL calls environments
        done = list(threads.map(lambda row: generate(bridge, row | {"reply_seed": 1}), rows))
    assert done == [generate(bridge, row | {"reply_seed": 1}) for row in rows]
    assert max(len(d["rewards"]) for d in done) > 1
    assert {d["metadata"]["end_reason"] for d in done} <= {"user_stop", "turn_limit"}
    for d in done:
        assert len(d["rewards"]) <= 6
        assert not any(d["rewards"][:-1])
        assert d["chat"][-1]["role"] == "assistant"
        assert d["metrics"]["scored"] == 1.0
        assert d["metrics"]["turns"] == len(d["rewards"])
    assert 0.0 < sum(d["rewards"][-1] for d in done) <= 20


def test_a_row_is_json_and_its_group_differs_in_replies(bridge: Any) -> None:
    [row] = bridge.rows("DocEditChat-v0", 1, simulator="scripted")
    assert json.loads(json.dumps(row)) == row
    group = [generate(bridge, row, 2) for _ in range(4)]
    assert len({d["chat"][1]["content"] for d in group}) == 1
    assert len({d["metadata"]["reply_seed"] for d in group}) == 4


def test_a_user_who_fails_is_told_of_and_pays_nothing(bridge: Any) -> None:
    [row] = bridge.rows("MathChat-v0", 1, simulator="failing at once")
    done = generate(bridge, row)
    assert done["rewards"] == [0.0]
    assert done["metadata"]["end_reason"] == "simulator_failure"
    assert done["metadata"]["failure"] == "gone"
    assert done["metrics"]["scored"] == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_turns": 1}, "generator.max_turns is 1"),
        ({"task_seed": None}, "needs a task_seed"),
        ({"env_id": "MathChat-v9"}, "cannot be used"),
        ({"env_keywords": '{"simulater": 1}'}, "simulator"),
    ],
)
def test_settings_that_cannot_be(bridge: Any, changes: dict[str, Any], message: str) -> None:
    [row] = bridge.rows("MathChat-v0", 1)
    extras = {name: value for name, value in (row | {"max_turns": 4} | changes).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        bridge.DialogueTextEnv(extras=extras)


def test_a_prompt_with_a_user_in_it(bridge: Any) -> None:
    env = bridge.DialogueTextEnv(extras={"task_seed": 1, "max_turns": 4})
    with pytest.raises(ValueError, match="system messages alone"):
        env.init([{"role": "user", "content": "hi"}])


def test_it_can_be_made_by_its_name(bridge: Any) -> None:
    bridge.register()
    bridge.register()
    if not hasattr(bridge.skyrl_gym, "make"):  # the stand-in
        assert bridge.skyrl_gym.registry[bridge.NAME] == "dialogue_gym.bridges.skyrl_env:DialogueTextEnv"
        return
    extras = {"task_seed": 1, "max_turns": 4}
    env = bridge.skyrl_gym.make(bridge.NAME, env_config={}, extras=extras)
    assert env.init([])[0][0]["role"] == "user"
    metrics = [{"turns": 1, "scored": 1.0}, {"turns": 3, "scored": 0.0}]
    assert type(env).aggregate_metrics(metrics)["turns"] == 2


def test_without_the_package_it_says_what_to_install(without: Any) -> None:
    without("skyrl_env", "skyrl_gym")
