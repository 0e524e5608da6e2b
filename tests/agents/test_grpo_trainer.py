"""What the trainer does with rollouts, and what it relies on in TRL."""

import inspect
from importlib.metadata import version
from typing import Any

import pytest
import torch
import trl
from packaging.version import Version

from dialogue_agents.grpo.trainer import DialogueGRPOTrainer
from dialogue_agents.unscored import NothingScored
from dialogue_gym.dialogue import EndReason


def test_trl_is_the_version_that_this_was_written_for() -> None:
    assert Version("1.16") <= Version(version("trl")) < Version("1.17")


def test_overridden_and_relied_on_parts_of_trl_exist() -> None:
    overridden = [n for n in vars(DialogueGRPOTrainer) if not n.startswith("__")]
    assert overridden == [
        "_generate_and_score_completions",
        "_weighted",
        "_compute_loss",
        "_get_per_token_logps_and_entropies",
        "_set_ratios",
        "_note",
        "_check_drift",
    ]
    scoring = inspect.getsource(trl.GRPOTrainer._generate_and_score_completions)
    assert 'output["sampling_per_token_logps"] = sampling_per_token_logps' in scoring
    loss = inspect.getsource(trl.GRPOTrainer._compute_loss)
    forward, advantages = "self._get_per_token_logps_and_entropies(", 'inputs["advantages"]'
    assert 0 < loss.index(forward) < loss.index(advantages) < loss.index('inputs.get("old_per_token_logps")')
    assert 'extra_fields.pop("env_mask", None)' in inspect.getsource(trl.GRPOTrainer._generate)
    assert "rollout_func" in inspect.signature(trl.GRPOTrainer.__init__).parameters


def test_rollout_log_probabilities_equal_the_training_forward(make_settings: Any, train: Any) -> None:
    watch = train(make_settings(steps=1, fail=0.0, stop=0.1, groups=4, max_turns=4))
    assert max(len(t.rewards) for t in watch.trajectories) == 4
    mask = watch.mask(0)
    gap = (watch.log_probs[0] - watch.inputs[0]["old_per_token_logps"]).abs()[mask]
    assert mask.sum() == sum(sum(t.loss_mask) for t in watch.trajectories)
    assert gap.max() <= 1e-4


def test_after_updates_log_probabilities_are_those_of_the_new_weights(make_settings: Any, train: Any) -> None:
    watch = train(make_settings(steps=3, fail=0.0))
    gaps = [
        (p - i["old_per_token_logps"]).abs()[watch.mask(n)].max()
        for n, (p, i) in enumerate(zip(watch.log_probs, watch.inputs, strict=True))
    ]
    assert len(gaps) == 3
    assert max(gaps) <= 1e-4


def test_gradient_reaches_sampled_tokens_alone(make_settings: Any, train: Any) -> None:
    watch = train(make_settings(steps=1, fail=0.05))
    mask, gradient = watch.mask(0), watch.log_probs[0].grad
    moved = mask & (watch.inputs[0]["advantages"].unsqueeze(1) != 0)
    assert (gradient[~mask] == 0).all()
    assert (gradient[moved] != 0).all()
    assert moved.any()
    assert (~mask & watch.inputs[0]["completion_mask"].bool()).any()


def test_numbers_on_environment_tokens_change_nothing(make_settings: Any, train: Any) -> None:
    def spoil(trajectories: Any) -> None:
        for t in trajectories:
            t.log_probs = [p if m else -50.0 for p, m in zip(t.log_probs, t.loss_mask, strict=True)]

    settings = make_settings(steps=1)
    assert torch.equal(train(settings).gradients[0], train(settings, spoil).gradients[0])


def test_masked_tokens_read_as_the_agents_messages(make_settings: Any, train: Any) -> None:
    watch = train(make_settings(steps=1))
    for t in watch.trajectories:
        spoken = [m["content"] for m in t.record.messages if m["role"] == "assistant"]
        sampled = [
            watch.codec.decode([i for i, turn in zip(t.token_ids, t.turn_index, strict=True) if turn == n])
            for n in range(len(spoken))
        ]
        assert sampled == spoken
        assert [turn >= 0 for turn in t.turn_index] == [bool(m) for m in t.loss_mask]
    inputs, mask = watch.inputs[0], watch.mask(0)
    trained = sorted(inputs["completion_ids"][mask].tolist())
    kept = [t for t in watch.trajectories if t.reward is not None]
    assert trained == sorted(i for t in kept for i, m in zip(t.token_ids, t.loss_mask, strict=True) if m)


@pytest.mark.parametrize(
    ("advantage", "level"), [("episode", "token"), ("turn_return", "turn"), ("turn_baseline", "sequence")]
)
def test_a_group_without_a_score_adds_nothing(
    make_settings: Any, train: Any, advantage: str, level: str
) -> None:
    def lose_second_group(trajectories: Any) -> None:
        for t in trajectories[4:]:
            t.reward = None

    settings = make_settings(fail=0.0, advantage=advantage, ratio_level=level, steps=1)
    watch = train(settings, lose_second_group)
    counted = watch.mask(0).any(1)  # the trainer shuffles the rows
    assert counted.sum() == 4
    assert (watch.inputs[0]["advantages"][~counted] == 0).all()
    assert any(g.abs().sum() > 0 for g in watch.gradients)


def test_a_rollout_without_a_score_ends_the_run(make_settings: Any, train: Any) -> None:
    message = "none of the 8 dialogues of rollout 0 has a reward, .* simulator_failure: in a bad mood"
    with pytest.raises(NothingScored, match=message):
        train(make_settings(fail=1.0))


def test_one_failure_costs_one_dialogue(make_settings: Any, train: Any) -> None:
    watch = train(make_settings(steps=1, fail=0.04, groups=4))
    ends = [t.record.end_reason for t in watch.trajectories]
    assert 0 < ends.count(EndReason.SIMULATOR_FAILURE) < len(ends) / 2
    assert all(t.reward is not None for t in watch.trajectories if t.record.end_reason == "turn_limit")
    assert any(g.abs().sum() > 0 for g in watch.gradients)


def test_second_use_of_a_rollout_is_off_policy(make_settings: Any, train: Any) -> None:
    watch = train(make_settings(steps=2, updates_per_rollout=2, fail=0.0))
    ratios = [
        (p.detach() - i["old_per_token_logps"]).exp()[watch.mask(n)]
        for n, (p, i) in enumerate(zip(watch.log_probs, watch.inputs, strict=True))
    ]
    apart = [float((ratio - 1).abs().max()) for ratio in ratios]
    assert len(watch.trajectories) == 2 * 8
    assert apart[0] < 1e-4 < 1e-2 < apart[1]
    assert apart[2] < 1e-4 < 1e-2 < apart[3]


def test_lora_rollouts_use_the_adapter(make_settings: Any, train: Any) -> None:
    watch = train(make_settings(steps=3, lora_rank=4, learning_rate=0.1, fail=0.0))
    model = watch.trainer.accelerator.unwrap_model(watch.trainer.model)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in n for n in trained)
    last = len(watch.inputs) - 1
    gap = (watch.log_probs[last] - watch.inputs[last]["old_per_token_logps"]).abs()[watch.mask(last)]
    assert gap.max() <= 1e-4
    with torch.no_grad(), model.disable_adapter():
        inputs = watch.inputs[last]
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
        attention = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
        logits = model(input_ids=ids, attention_mask=attention).logits[:, :-1].log_softmax(-1)
        bare = logits.gather(2, ids[:, 1:, None]).squeeze(2)[:, -inputs["completion_ids"].shape[1] :]
    assert (bare - inputs["old_per_token_logps"]).abs()[watch.mask(last)].max() > 1e-2


def test_turn_credit_reaches_the_loss(make_settings: Any, train: Any) -> None:
    def pay(trajectories: Any) -> None:
        for i, t in enumerate(trajectories):
            t.rewards = [float((7 * i + 3 * k) % 5) for k in range(len(t.rewards))]
            t.reward = None if t.reward is None else sum(t.rewards)

    settings = make_settings(
        steps=1, advantage="turn_baseline", fail=0.03, max_grad_norm=1e9, learning_rate=0.0
    )
    watch = train(settings, pay)
    advantages, mask = watch.inputs[0]["advantages"], watch.mask(0)
    assert advantages.shape == mask.shape
    found = sorted(advantages[mask].tolist())
    expected = []
    for start in (0, 4):
        group = [t for t in watch.trajectories[start : start + 4] if t.reward is not None]
        for t in group:
            for turn in (turn for turn in t.turn_index if turn >= 0):
                peers = [sum(p.rewards[turn:]) for p in group if len(p.rewards) > turn]
                expected.append(sum(t.rewards[turn:]) - sum(peers) / len(peers))
    assert found == pytest.approx(sorted(expected), abs=1e-5)
    by_turn = -advantages / mask.sum()  # at ratio 1, the gradient of the loss by the log-probability
    assert torch.allclose(watch.log_probs[0].grad, by_turn * mask, atol=1e-6)


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_activations_computed_again_are_the_same(make_settings: Any, train: Any, lora_rank: int) -> None:
    changes = {"steps": 2, "lora_rank": lora_rank, "fail": 0.0}
    kept, again = train(make_settings(**changes)), train(make_settings(recompute=True, **changes))
    assert again.trainer.model.is_activation_checkpointing
    for left, right in zip(kept.gradients, again.gradients, strict=True):
        assert left.norm() > 0
        assert (left - right).norm() <= 1e-5 * left.norm()
