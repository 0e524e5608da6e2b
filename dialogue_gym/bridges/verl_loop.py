"""verl: our rollout as an ``AgentLoop`` (verl 0.9); this package joins text and token ids, not verl.

In verl's file of agent loops (``actor_rollout_ref.rollout.agent.agent_loop_config_path``):

    - name: dialogue_gym
      _target_: dialogue_gym.bridges.verl_loop.DialogueAgentLoop
      env_id: MathChat-v0
"""

import asyncio
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any
from uuid import uuid4

try:
    from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput
except ImportError as error:
    raise ImportError(f"the bridge to verl needs verl 0.9: pip install verl ({error})") from error

from dialogue_gym.bridges.one_dialogue import THREADS, shared_env, task_seed
from dialogue_gym.bridges.trl_rollout import to_trl
from dialogue_gym.language_models import Completion, GenerationRequest, Sampling
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.rollout import LanguageModelPolicy, play
from dialogue_gym.seeding import NoiseKey


def rows(count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Rows of a data set, one task each. Without ``agent_name`` verl plays a single turn with no user."""
    prompt = [{"role": "user", "content": ""}]  # which is not used
    for info in ({"task_seed": task_seed(seed, index)} for index in range(count)):
        yield {"prompt": prompt, "agent_name": "dialogue_gym", "extra_info": info}


class DialogueAgentLoop(AgentLoopBase):  # type: ignore[misc]
    """One dialogue for each call of ``run``; ``env_keywords``, a JSON object, are those of ``env_id``.

    verl knows no missing reward: a dialogue that was not scored, as one that outgrows ``prompt_length`` or
    ``response_length``, gets 0.0 and a mask of zeros. ``max_tokens`` are those of one message.
    """

    def __init__(
        self, *, env_id: str = "MathChat-v0", env_keywords: str = "{}", max_tokens: int = 512, **of_verl: Any
    ) -> None:
        super().__init__(**of_verl)
        self._env = shared_env(env_id, env_keywords)
        self._codec, self._max_tokens = ChatCodec(self.tokenizer), max_tokens

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> AgentLoopOutput:
        """Play the dialogue of a row in a thread, which asks verl's servers for each message."""
        loop, seed = asyncio.get_running_loop(), int(row["extra_info"]["task_seed"])
        sampling = Sampling(self._max_tokens, sampling_params.get("temperature", 1.0))
        policy = LanguageModelPolicy(_Server(self, loop, sampling_params), sampling)
        reply = NoiseKey((uuid4().hex,)).seed()  # members of a group differ
        [played] = await loop.run_in_executor(THREADS, play, self._env.sibling(1), policy, [seed], [reply])
        columns = {name: column[0] for name, column in to_trl([played], self._codec.end_of_turn_id).items()}
        return AgentLoopOutput(
            prompt_ids=columns["prompt_ids"],
            response_ids=columns["completion_ids"],
            response_mask=columns["env_mask"],
            response_logprobs=columns["logprobs"] if sampling_params.get("logprobs") else None,
            reward_score=columns["reward"] or 0.0,
            num_turns=len(played.record.messages),
            metrics=AgentLoopMetrics(),
            extra_fields={"turn_scores": columns["turn_rewards"], "tool_rewards": []},
        )


class _Server:
    """verl's servers as a language model of ours, for one dialogue."""

    def __init__(
        self, of: DialogueAgentLoop, loop: asyncio.AbstractEventLoop, params: dict[str, Any]
    ) -> None:
        self._of, self._loop, self._params = of, loop, params
        self.codec, self._id, self._prompt = of._codec, uuid4().hex, 0

    def generate(self, requests: Sequence[GenerationRequest], sampling: Sampling) -> list[Completion]:
        return [self._answer(list(request.prompt_ids or ()), sampling) for request in requests]

    def _answer(self, ids: list[int], sampling: Sampling) -> Completion:
        limits = self._of.rollout_config
        self._prompt = self._prompt or len(ids)
        room = self._prompt + limits.response_length - len(ids)
        if self._prompt > limits.prompt_length or room < 1:
            error = "beyond verl's prompt_length or response_length"
            return Completion("", finish_reason="overflow", error=error)
        stop = {"stop_token_ids": [self.codec.end_of_turn_id]}
        params = {**self._params, "max_tokens": min(sampling.max_tokens, room), **stop}
        ask = self._of.server_manager.generate(request_id=self._id, prompt_ids=ids, sampling_params=params)
        said = asyncio.run_coroutine_threadsafe(ask, self._loop).result()
        log_probs = list(said.log_probs or [0.0] * len(said.token_ids))
        return Completion(self.codec.decode(said.token_ids), list(said.token_ids), log_probs)

    def forget(self, _: Iterable[Hashable]) -> None:
        """Servers forget by themselves."""

    def identity(self) -> dict[str, Any]:
        return {"engine": "verl"}
