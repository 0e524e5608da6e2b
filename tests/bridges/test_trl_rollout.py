"""TRL's stock trainer on our dialogues: the real package, a tiny model, a few updates."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="TRL is not installed")

import torch
from datasets import Dataset

import dialogue_gym.language_models.quiet  # noqa: F401  before TRL is imported
from dialogue_gym.bridges.trl_rollout import DialogueRollout, rows, to_trl, trained_mask
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.language_models.tiny_model import tiny_model_path
from dialogue_gym.rollout import RulePolicy, make_vector_env, play
from dialogue_gym.simulators import UserReply
from dialogue_gym.simulators.scripted import ScriptedUser

with quiet():
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer


class MoodyUser(ScriptedUser):
    """Some openings and replies fail."""

    def reply(self, requests: Any) -> list[UserReply]:
        failed = [r.key.child("fail").uniform() < 0.15 for r in requests]
        replies = super().reply(requests)
        return [UserReply("", error="gone") if f else r for f, r in zip(failed, replies, strict=True)]


def trainer(folder: Path, rollout: DialogueRollout | None, reward: Any, **keywords: Any) -> Any:
    with quiet():
        config = GRPOConfig(
            output_dir=str(folder),
            per_device_train_batch_size=8,
            num_generations=4,
            max_steps=2,
            learning_rate=1e-3,
            max_completion_length=16,
            temperature=0.8,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            **keywords,
        )
        model = AutoModelForCausalLM.from_pretrained(tiny_model_path())
        return GRPOTrainer(
            model,
            reward,
            config,
            Dataset.from_list(list(rows(8))),
            processing_class=AutoTokenizer.from_pretrained(tiny_model_path()),
            rollout_func=rollout,
        )


@pytest.fixture(autouse=True)
def _experimental(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")


class Watching(DialogueRollout):
    """Keeps all that was played."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.columns: list[dict[str, Any]] = []
        self.played: list[Any] = []

    def __call__(self, prompts: Any, trainer: Any) -> Any:
        self.columns.append(super().__call__(prompts, trainer))
        self.played.append(self.trajectories)
        return self.columns[-1]


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Watching, Any, dict[str, torch.Tensor], list[Any]]:
    """Two updates, the start's weights, and the batches that the loss saw."""
    env = make_vector_env("MathChat-v0", 8, simulator=MoodyUser(), max_turns=3)
    rollout, seen = Watching(env, 24), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
        it = trainer(tmp_path_factory.mktemp("trl"), rollout, rollout.reward)
        before = {name: value.detach().clone() for name, value in it.model.named_parameters()}
        whole = it._compute_loss
        it._compute_loss = lambda model, inputs: (seen.append(inputs), whole(model, inputs))[1]
        with quiet():
            it.train()
    return rollout, it, before, seen


def test_dialogues_of_several_turns_are_what_it_trains_on(trained: Any) -> None:
    rollout, it, before, _ = trained
    assert len(rollout.played) == 2
    assert any((value != before[name]).any() for name, value in it.model.named_parameters())
    trajectories = [t for batch in rollout.played for t in batch]
    assert max(len(t.rewards) for t in trajectories) > 1  # users did reply
    assert 0 < sum(t.reward is None for t in trajectories) < len(trajectories)
    assert not any(torch.isnan(value).any() for _, value in it.model.named_parameters())


def test_the_loss_counts_what_the_policy_sampled_and_nothing_else(trained: Any) -> None:
    rollout, _, _, seen = trained
    first = seen[0]
    mask = first["completion_mask"] * first["tool_mask"]
    rows_seen = [(ids[keep.bool()].tolist()) for ids, keep in zip(first["completion_ids"], mask, strict=True)]
    expected = [
        [i for i, m in zip(t.token_ids, trained_mask(t), strict=True) if m] for t in rollout.played[0]
    ]
    assert sorted(rows_seen) == sorted(expected)
    assert sum(map(len, expected)) > 0


def test_groups_share_their_opening_and_differ_in_replies(trained: Any) -> None:
    rollout, *_ = trained
    for batch in rollout.played:
        for group in (batch[:4], batch[4:]):
            assert len({t.record.task_seed for t in group}) == 1
            assert len({t.record.reply_seed for t in group}) == 4
    first, second = ({t.record.reply_seed for t in batch} for batch in rollout.played)
    assert not first & second


def test_it_samples_at_the_trainers_temperature(trained: Any) -> None:
    rollout, *_ = trained
    assert rollout.played[0][0].record.policy["temperature"] == 0.8


def test_a_trainer_that_generates_by_itself_is_found_out(tmp_path: Path) -> None:
    """The environment would go unused in silence, as it has elsewhere."""
    rollout = DialogueRollout(make_vector_env("MathChat-v0", 8))
    it = trainer(tmp_path, None, rollout.reward)
    with quiet(), pytest.raises(ValueError, match="give rollout_func="):
        it.train()


def test_prompts_that_are_no_seeds() -> None:
    rollout = DialogueRollout(make_vector_env("MathChat-v0", 8))
    with pytest.raises(ValueError, match="prompts are seeds of tasks"):
        rollout(["What is 2 + 2?"], None)


def test_a_dialogue_without_a_token_is_one_masked_token() -> None:
    class Gone(ScriptedUser):
        def reply(self, requests: Any) -> list[UserReply]:
            return [UserReply("", error="gone") for _ in requests]

    env = make_vector_env("MathChat-v0", 1, simulator=Gone())
    columns = to_trl(play(env, RulePolicy("math"), [1], [1]), 7)
    assert columns["completion_ids"] == columns["prompt_ids"] == [[7]]
    assert (columns["env_mask"], columns["reward"], columns["turn_index"]) == ([[0]], [None], [[-1]])
