"""verifiers' environment under its own rollout loop: with the real package, and always with a stand-in."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from dialogue_gym.simulators import UserReply, simulators
from dialogue_gym.simulators.scripted import ScriptedUser
from tests.fake_server import FakeServer


class Leaving(ScriptedUser):
    """Fails where the agent has said "fail", and at one opening in three."""

    def reply(self, requests: Any) -> Any:
        replies = super().reply(requests)
        return [self._or_gone(*pair) for pair in zip(requests, replies, strict=True)]

    def _or_gone(self, request: Any, reply: UserReply) -> UserReply:
        opening = not request.conversation and request.key.child("fail").uniform() < 0.34
        told = request.conversation and "fail" in request.conversation[-1]["content"]
        return UserReply("", error="gone") if opening or told else reply


simulators.register("leaving", Leaving)


def says(body: dict[str, Any]) -> str:
    """Asks at first, then answers; what it says follows from how often it spoke."""
    spoken = sum(m["role"] == "assistant" for m in body["messages"])
    return "How many are there?" if spoken == 0 else "The answer is 5."


class StandIn:
    """The loop of ``MultiTurnEnv``, as verifiers 0.3 has it: what is asked when, and what ends a rollout."""

    def __init__(self, dataset: Any, system_prompt: Any, rubric: Any, max_turns: int) -> None:
        self.rows, self.system_prompt, self.rubric, self.max_turns = dataset, system_prompt, rubric, max_turns

    async def rollout(self, row: dict[str, Any]) -> dict[str, Any]:
        prompt = [_Message("system", self.system_prompt)] if self.system_prompt else []
        state: Any = {"info": row["info"], "prompt": prompt, "trajectory": [], "completion": []}
        state |= {"final_env_response": None, "error": None}
        try:
            state = await self.setup_state(state)  # type: ignore[attr-defined]
            while state["final_env_response"] is None:
                if state["trajectory"]:
                    heard = await self.env_response(  # type: ignore[attr-defined]
                        [*state["prompt"], *state["completion"]], state
                    )
                    state["completion"] += heard
                    if state["final_env_response"] is not None:
                        break
                body = {"messages": [{"role": m.role} for m in state["completion"]]}
                state["completion"] = [*state["completion"], _Message("assistant", says(body))]
                state["trajectory"].append(1)
        except Error as error:
            state["error"] = error
        state["reward"] = await self.rubric.funcs[0](state)
        return dict(state)


class Error(Exception):
    pass


class _Message(SimpleNamespace):
    def __init__(self, role: str, content: str) -> None:
        super().__init__(role=role, content=content)


class _Rubric(SimpleNamespace):
    def add_metric(self, function: Any) -> None:
        pass


def stand_in_modules() -> dict[str, dict[str, Any]]:
    of_verifiers = {
        "MultiTurnEnv": StandIn,
        "Rubric": _Rubric,
        "InfraError": Error,
        "UserMessage": lambda content: _Message("user", content),
    }
    of_datasets = {"Dataset": SimpleNamespace(from_list=list)}
    return {"verifiers": of_verifiers, "datasets": of_datasets}


def roll_out(env: Any) -> list[Any]:
    if isinstance(env, StandIn):

        async def all_at_once() -> list[Any]:
            return await asyncio.gather(*(env.rollout(row) for row in env.rows))

        return asyncio.run(all_at_once())
    from verifiers.types import ClientConfig

    with FakeServer(says, extra={"answer": {"created": 1}}) as server:
        client = ClientConfig(api_base_url=server.base_url, api_key_var="OPENAI_API_KEY", max_retries=0)
        outputs = env.evaluate_sync(client, "m", state_columns=["error"], max_concurrent=8)
    return list(outputs["outputs"])


@pytest.fixture(params=["stand-in", "verifiers"])
def bridge(request: Any, standing_in: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    if request.param == "stand-in":
        with standing_in("verifiers_env", stand_in_modules()) as module:
            yield module
        return
    pytest.importorskip("verifiers", reason="verifiers 0.2 or 0.3 is not installed")
    pytest.importorskip("dialogue_gym.bridges.verifiers_env", exc_type=ImportError)
    from dialogue_gym.bridges import verifiers_env

    yield verifiers_env


def contents(messages: Any) -> list[tuple[str, str]]:
    pairs = [(m["role"], m["content"]) if isinstance(m, dict) else (m.role, m.content) for m in messages]
    return [(str(role), str(content)) for role, content in pairs]


def test_the_user_opens_and_replies_and_the_last_message_is_scored(bridge: Any) -> None:
    env = bridge.load_environment("MathChat-v0", 6, seed=3, system_prompt="Be brief.", max_turns=3)
    outputs = roll_out(env)
    assert len(outputs) == 6
    for output in outputs:
        prompt, completion = contents(output["prompt"]), contents(output["completion"])
        assert [role for role, _ in prompt] == ["system", "user"]
        assert prompt[0][1] == "Be brief."
        assert [r for r, _ in completion][:3] == ["assistant", "user", "assistant"]
        assert completion[0][1] == "How many are there?"
        assert output["error"] is None
        assert 0.0 <= output["reward"] <= 1.0
    assert len({contents(output["prompt"])[1][1] for output in outputs}) > 3


def test_a_turn_limit_of_one_scores_the_only_message(bridge: Any) -> None:
    for output in roll_out(bridge.load_environment("MathChat-v0", 2, max_turns=1)):
        assert contents(output["completion"]) == [("assistant", "How many are there?")]
        assert (output["error"], output["reward"]) == (None, 0.0)


def test_a_dialogue_that_fails_is_an_error_and_no_other_notices(bridge: Any) -> None:
    outputs = roll_out(bridge.load_environment("MathChat-v0", 12, simulator="leaving", max_turns=3))
    failed = [output for output in outputs if output["error"] is not None]
    assert 0 < len(failed) < 12
    assert all("gone" in str(output["error"]) for output in failed)
    assert all(output["reward"] == 0.0 for output in failed)


def test_names_that_there_are_not(bridge: Any) -> None:
    with pytest.raises(ValueError, match="simulator"):
        bridge.load_environment("MathChat-v0", 2, simulater="scripted")


def test_without_the_package_it_says_what_to_install(without: Any) -> None:
    without("verifiers_env", "verifiers")
