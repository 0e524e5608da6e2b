"""verl's agent loop on a stand-in for verl 0.9: the names and fields that the bridge uses of it."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed")

from dialogue_gym.language_models import GenerationRequest, Sampling, load_language_model
from dialogue_gym.rollout import LanguageModelPolicy, make_vector_env, play
from dialogue_gym.seeding import NoiseKey

TINY: Any = load_language_model("tiny")
KEYWORDS = {"split": "test", "max_turns": 3}


class AgentLoopBase:
    def __init__(self, trainer_config: Any, server_manager: Any, tokenizer: Any, **_: Any) -> None:
        self.rollout_config, self.server_manager = trainer_config, server_manager
        self.tokenizer = tokenizer


class AgentLoopMetrics:
    pass


@dataclass
class AgentLoopOutput:
    prompt_ids: list[int]
    response_ids: list[int]
    response_mask: list[int]
    metrics: AgentLoopMetrics
    response_logprobs: list[float] | None = None
    reward_score: float | None = None
    num_turns: int = 0
    extra_fields: dict[str, Any] = field(default_factory=dict)


class Servers:
    """The tiny model, greedy, as verl's servers: token ids in, token ids out."""

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken
        self.asked: list[dict[str, Any]] = []

    async def generate(
        self, *, request_id: str, prompt_ids: list[int], sampling_params: dict[str, Any]
    ) -> Any:
        self.asked.append({"id": request_id, "prompt": prompt_ids, **sampling_params})
        await asyncio.sleep(0.001)
        if self.broken:
            raise ConnectionError("no server")
        request = GenerationRequest(request_id, (), NoiseKey((0,)), prompt_ids)
        [said] = TINY.generate([request], Sampling(sampling_params["max_tokens"], temperature=0.0))
        return SimpleNamespace(token_ids=said.token_ids, log_probs=said.log_probs)


@pytest.fixture
def bridge(standing_in: Any) -> Iterator[Any]:
    names = {
        "AgentLoopBase": AgentLoopBase,
        "AgentLoopMetrics": AgentLoopMetrics,
        "AgentLoopOutput": AgentLoopOutput,
    }
    modules = {f"verl{path}": {} for path in ("", ".experimental", ".experimental.agent_loop")}
    with standing_in("verl_loop", {**modules, "verl.experimental.agent_loop.agent_loop": names}) as module:
        yield module


def run(bridge: Any, servers: Servers, count: int = 6, prompt: int = 400, response: int = 400) -> list[Any]:
    loop = bridge.DialogueAgentLoop(
        trainer_config=SimpleNamespace(prompt_length=prompt, response_length=response),
        server_manager=servers,
        tokenizer=TINY.codec.tokenizer,
        env_keywords='{"split": "test", "max_turns": 3}',
        max_tokens=24,
    )
    params = {"temperature": 0.7, "top_p": 0.9, "logprobs": True}

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(loop.run(params, **row) for row in bridge.rows(count, seed=3)))

    return asyncio.run(all_at_once())


def test_it_is_the_dialogue_that_play_plays_token_by_token(bridge: Any) -> None:
    outputs = run(bridge, Servers())
    assert {len(output.extra_fields["turn_scores"]) for output in outputs} != {1}
    env = make_vector_env("MathChat-v0", 1, **KEYWORDS)
    policy = LanguageModelPolicy(TINY, Sampling(24, temperature=0.0))
    for row, output in zip(bridge.rows(6, seed=3), outputs, strict=True):
        # replies are drawn anew, so only the first turn is the same
        [played] = play(env, policy, [row["extra_info"]["task_seed"]], [1], max_turns=[1])
        ids = output.prompt_ids + output.response_ids
        assert ids[: len(played.token_ids)] == played.token_ids
        assert output.prompt_ids == played.token_ids[: played.prompt_length]
        assert len(output.response_ids) == len(output.response_mask) == len(output.response_logprobs)
        assert output.response_mask[0] == 1
        assert output.response_mask.count(0) > 0 or len(output.extra_fields["turn_scores"]) == 1
        assert output.reward_score == sum(output.extra_fields["turn_scores"])


def test_servers_are_asked_for_ids_under_one_name_a_dialogue(bridge: Any) -> None:
    servers = Servers()
    outputs = run(bridge, servers)
    assert len({call["id"] for call in servers.asked}) == 6
    for name in {call["id"] for call in servers.asked}:
        prompts = [call["prompt"] for call in servers.asked if call["id"] == name]
        for before, after in pairwise(prompts):
            assert after[: len(before)] == before  # nothing is ever rendered again
    assert all(call["stop_token_ids"] == [TINY.codec.end_of_turn_id] for call in servers.asked)
    assert {(call["temperature"], call["top_p"], call["max_tokens"]) for call in servers.asked} == {
        (0.7, 0.9, 24)
    }
    assert sum(len(output.extra_fields["turn_scores"]) for output in outputs) == len(servers.asked)


# first replies have 11 or 13 tokens, whatever the users then say
@pytest.mark.parametrize("limits", [{"prompt": 5}, {"response": 12}])
def test_what_is_longer_than_verl_allows_is_masked(bridge: Any, limits: dict[str, int]) -> None:
    outputs = run(bridge, Servers(), **limits)
    lost = [output for output in outputs if not any(output.response_mask)]
    assert lost
    assert all(output.reward_score == 0.0 for output in lost)
    bounds = {"prompt": 400, "response": 400, **limits}
    for output in outputs:
        assert 0 < len(output.response_ids) <= bounds["response"]
        assert 0 < len(output.prompt_ids) <= bounds["prompt"]


def test_a_server_that_fails_costs_its_dialogue_and_nothing_else(bridge: Any) -> None:
    for output in run(bridge, Servers(broken=True)):
        assert (output.response_mask, output.reward_score) == ([0], 0.0)


def test_without_log_probabilities_there_are_none(bridge: Any) -> None:
    loop = bridge.DialogueAgentLoop(
        trainer_config=SimpleNamespace(prompt_length=400, response_length=400),
        server_manager=Servers(),
        tokenizer=TINY.codec.tokenizer,
    )
    [row] = bridge.rows(1)
    output = asyncio.run(loop.run({"temperature": 1.0}, **row))
    assert output.response_logprobs is None


def test_rows_name_the_loop(bridge: Any) -> None:
    """Without the name verl would play a single turn, and say nothing."""
    assert {row["agent_name"] for row in bridge.rows(3)} == {"dialogue_gym"}
    assert len({row["extra_info"]["task_seed"] for row in bridge.rows(3)}) == 3


def test_without_the_package_it_says_what_to_install(without: Any) -> None:
    without("verl_loop", "verl")
