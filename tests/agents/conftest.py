"""A policy of random weights, a user who fails and stops at times, a scorer that pays for random text."""

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback

from dialogue_agents.grpo.rollouts import DialogueRollout
from dialogue_agents.grpo.run import load_policy, make_trainer
from dialogue_agents.grpo.settings import GRPOSettings, LearnerSettings
from dialogue_agents.static_context.settings import StaticContextSettings
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.rollout import Trajectory
from dialogue_gym.scoring import Score, scorers
from dialogue_gym.simulators import ScriptedUser, UserReply, simulators

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class LettersScorer:
    """Pays for letters of the first half of the alphabet."""

    def score(self, task: Any, conversation: Any) -> Score:
        text = "".join(m["content"] for m in conversation if m["role"] == "assistant")
        return Score(sum("a" <= c < "n" for c in text) / (len(text) + 1))

    def identity(self) -> dict[str, Any]:
        return {"name": "letters"}


class MoodyUser:
    """Says a number; stops or fails with these probabilities, also at the opening."""

    def __init__(self, stop: float = 0.3, fail: float = 0.1) -> None:
        self.stop, self.fail = stop, fail

    def reply(self, requests: Any) -> list[UserReply]:
        return [self._answer(r) for r in requests]

    def _answer(self, request: Any) -> UserReply:
        if request.key.child("fail").uniform() < self.fail:
            return UserReply("", error="in a bad mood")
        stop = bool(request.conversation) and request.key.child("stop").uniform() < self.stop
        return UserReply(str(request.key.child("say").integer(0, 10**6)), stop)

    def forget(self, dialogue_ids: Any) -> None:
        pass

    def draw_persona(self, kind: Any, key: Any) -> Any:
        return ScriptedUser().draw_persona(kind, key)

    def identity(self) -> dict[str, Any]:
        return {"name": "moody"}


for kind in ("math", "document"):
    scorers[kind].register("letters", LettersScorer)
simulators.register("moody", MoodyUser)


def save_policy(folder: Path) -> None:
    alphabet = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    backend = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        extra_special_tokens=["<|im_start|>"],
        chat_template=TEMPLATE,
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,
        eos_token_id=tokenizer.eos_token_id,
    )
    with quiet():
        LlamaForCausalLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@pytest.fixture(scope="session")
def policy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    save_policy(folder)
    return folder


@pytest.fixture
def make_settings(policy_folder: Path, tmp_path: Path) -> Callable[..., GRPOSettings]:
    """``make_settings(out="run", **settings)``: a run of seconds; ``fail`` and ``stop`` go to the user."""

    def make(out: str = "run", fail: float = 0.1, stop: float = 0.3, **changes: Any) -> GRPOSettings:
        simulator = {"name": "moody", "fail": fail, "stop": stop}
        defaults: dict[str, Any] = {
            "env_kwargs": json.dumps({"scorer": "letters", "simulator": simulator}),
            "policy": str(policy_folder),
            "out": tmp_path / out,
            "steps": 2,
            "groups": 2,
            "group_size": 4,
            "max_turns": 3,
            "max_tokens": 6,
            "learning_rate": 1e-2,
            "cpu": True,
            "save_steps": 2,
            "report_to": "none",
            "eval_dialogues": 0,
        }
        return GRPOSettings(**(defaults | changes))

    return make


@pytest.fixture
def make_static(
    make_settings: Callable[..., GRPOSettings], log: Path
) -> Callable[..., StaticContextSettings]:
    """``make_static(out="run", **settings)``: as ``make_settings``, on contexts of the test's ``log``."""

    def make(out: str = "run", **changes: Any) -> StaticContextSettings:
        base = make_settings(out, fail=0.02)
        given = {f.name: getattr(base, f.name) for f in fields(LearnerSettings)}
        return StaticContextSettings(**{**given, "contexts": "all", "logs": log, **changes})

    return make


class Watch(TrainerCallback):
    """Gradients before each optimizer step, and the inputs and log-probabilities of each loss."""

    def __init__(self) -> None:
        self.gradients: list[torch.Tensor] = []
        self.trajectories: list[Trajectory] = []
        self.inputs: list[dict[str, Any]] = []
        self.log_probs: list[torch.Tensor] = []
        self.trainer: Any = None
        self.codec: Any = None

    def on_pre_optimizer_step(self, *args: Any, model: Any, **kwargs: Any) -> None:
        self.gradients.append(flat_gradient(model))

    def mask(self, i: int) -> torch.Tensor:
        """The loss mask of the i-th loss."""
        return (self.inputs[i]["completion_mask"] * self.inputs[i]["tool_mask"]).bool()


def flat_gradient(model: Any) -> torch.Tensor:
    return torch.cat([p.grad.flatten().clone() for p in model.parameters() if p.grad is not None])


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Watch]:
    """``train(settings, change)`` trains and returns what was seen; ``change`` may edit the trajectories."""

    def run(settings: GRPOSettings, change: Callable[[list[Trajectory]], None] | None = None) -> Watch:
        watch = Watch()

        def on_batch(trajectories: list[Trajectory]) -> None:
            if change is not None:
                change(trajectories)
            watch.trajectories += trajectories

        with quiet():
            model, tokenizer = load_policy(settings)
            watch.codec = ChatCodec(tokenizer)
            rollout = DialogueRollout(settings, watch.codec, on_batch=on_batch)
            trainer = make_trainer(settings, model, tokenizer, rollout)
            watch.trainer = trainer
            trainer.add_callback(watch)
            forward, loss = trainer._get_per_token_logps_and_entropies, trainer._compute_loss

            def watched_forward(*args: Any, **kwargs: Any) -> Any:
                output = forward(*args, **kwargs)
                if output[0].requires_grad:
                    output[0].retain_grad()
                    watch.log_probs.append(output[0])
                return output

            def watched_loss(model: Any, inputs: Any) -> Any:
                watch.inputs.append(inputs)
                return loss(model, inputs)

            monkeypatch.setattr(trainer, "_get_per_token_logps_and_entropies", watched_forward)
            monkeypatch.setattr(trainer, "_compute_loss", watched_loss)
            trainer.train()
        return watch

    return run
