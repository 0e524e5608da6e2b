"""The realism reward: pairs, labels, bounds, and the folder that it writes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid

from dialogue_gym.calibration.fit import FitSettings, fit
from dialogue_gym.calibration.realism_reward import RewardSettings, Standing, improve, pairs
from dialogue_gym.calibration.realism_reward.improving import _why_refused
from dialogue_gym.calibration.realism_reward.learning import learn, preference_trainer
from dialogue_gym.calibration.realism_reward.pairs import _cross_fitted, preference_rows
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.language_models import Sampling
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout import RulePolicy, play
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import CalibratedUser, ScriptedUser
from dialogue_gym.simulators.base import UserReply
from dialogue_gym.simulators.calibrated_folder import MANIFEST, file_hash, read_manifest
from dialogue_gym.simulators.user_turns import user_turns

SETTINGS = RewardSettings(rounds=1, samples=2, folds=2, cpu=True)


@pytest.fixture(scope="module")
def records() -> list[DialogueRecord]:
    simulator = ScriptedUser({"lowercase": 1.0, "punctuation": 0.0})
    env = DialogueVectorEnv("math", num_envs=16, autoreset_mode="Disabled", max_turns=3, simulator=simulator)
    seeds = list(range(30))
    return [trajectory.record for trajectory in play(env, RulePolicy("math", 0.5), seeds, seeds)]


@pytest.fixture(scope="module")
def folder(records: list[DialogueRecord], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("calibrated") / "user"
    return fit(records, out, FitSettings(epochs=0.5, evaluations=1, held_out=0.3, cpu=True)).folder


@pytest.fixture
def user(folder: Path) -> CalibratedUser:
    return CalibratedUser(folder, sampling=Sampling(max_tokens=24))


def test_trainer_gets_the_ids_of_the_user_side(
    user: CalibratedUser, records: list[DialogueRecord], tmp_path: Path
) -> None:
    rows, counts = preference_rows(user, records[:6], SETTINGS)
    assert counts["pairs"] == len(rows) > 0
    contexts = [
        user.side.context_ids(user.codec, turn.request)
        for i, record in enumerate(records[:6])
        for turn in user_turns(record, i)
    ]
    with quiet():
        trainer = preference_trainer(user.language_model, rows, SETTINGS, str(tmp_path), NoiseKey((0,)))
    for row, given in zip(rows, trainer.train_dataset, strict=True):
        assert given == row
        assert row["prompt_ids"] in contexts
    batch = trainer.data_collator([trainer.train_dataset[0]])
    for place, name in enumerate(("chosen_ids", "rejected_ids")):
        ids = batch["input_ids"][place][batch["attention_mask"][place].bool()].tolist()
        assert ids == rows[0]["prompt_ids"] + rows[0][name]
        learned = batch["input_ids"][place][batch["completion_mask"][place].bool()].tolist()
        assert learned == rows[0][name]
        assert learned[-1] == user.codec.end_of_turn_id


def test_better_reply_is_preferred_with_the_bradley_terry_probability(
    user: CalibratedUser, records: list[DialogueRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = user_turns(records[0])
    said = [UserReply("no"), UserReply("yes"), UserReply("yes"), UserReply("no")]
    monkeypatch.setattr(pairs, "_sample", lambda *_: [said for _ in turns])
    rewards = np.tile([0.0, np.log(3.0), np.log(3.0), 0.0], (len(turns), 1))  # 3 : 1 for "yes"
    monkeypatch.setattr(pairs, "_cross_fitted", lambda *_: rewards)
    rows, _ = preference_rows(user, records[:1], replace(SETTINGS, samples=4))
    yes = user.side.reply_ids(user.codec, "yes", False)
    assert len(rows) == 2 * len(turns)
    assert all(row["chosen_ids"] == yes for row in rows)
    np.testing.assert_allclose([row["preference"] for row in rows], 0.75)


def test_loss_counts_each_pair_both_ways(
    user: CalibratedUser, records: list[DialogueRecord], tmp_path: Path
) -> None:
    rows, _ = preference_rows(user, records[:6], SETTINGS)
    rows = [{**row, "preference": p} for row, p in zip(rows[:3], (0.5, 0.7, 0.99), strict=True)]
    with quiet():
        trainer = preference_trainer(user.language_model, rows, SETTINGS, str(tmp_path), NoiseKey((0,)))
    with torch.no_grad():  # away from the reference, where all losses are ln 2
        for parameter in trainer.model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    batch = trainer.data_collator(rows)
    expected = []
    for row in rows:
        gain = [
            total_log_prob(trainer.model, row["prompt_ids"], row[name])
            - total_log_prob(trainer.ref_model, row["prompt_ids"], row[name])
            for name in ("chosen_ids", "rejected_ids")
        ]
        x, p = torch.tensor(gain[0] - gain[1]), row["preference"]
        expected.append(-p * logsigmoid(x) - (1 - p) * logsigmoid(-x))
    with quiet(), torch.no_grad():
        loss = trainer.compute_loss(trainer.model.eval(), batch)
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), abs=1e-3)


def total_log_prob(model: Any, context: list[int], reply: list[int]) -> float:
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.tensor([context + reply])).logits[0]
    each = torch.log_softmax(logits[len(context) - 1 : -1].double(), dim=-1)
    return float(each.gather(1, torch.tensor(reply)[:, None]).sum())


def test_reward_of_a_dialogue_does_not_depend_on_what_its_people_said(
    user: CalibratedUser, records: list[DialogueRecord]
) -> None:
    turns = [turn for i, record in enumerate(records) for turn in user_turns(record, i)]
    own = [[UserReply("Hello, I need help!"), UserReply("It is 12.")] for _ in turns]
    changed = [
        replace(turn, reply=UserReply("zebra")) if turn.request.dialogue_id == 0 else turn for turn in turns
    ]
    first = [turn.request.dialogue_id == 0 for turn in turns]
    before = _cross_fitted(user, turns, own, SETTINGS, NoiseKey((1,)))
    after = _cross_fitted(user, changed, own, SETTINGS, NoiseKey((1,)))
    np.testing.assert_array_equal(before[first], after[first])
    assert not np.array_equal(before, after)


def test_learning_makes_the_preferred_reply_likelier(
    user: CalibratedUser, records: list[DialogueRecord], tmp_path: Path
) -> None:
    turn = user_turns(records[0])[0]
    context = user.side.context_ids(user.codec, turn.request)
    good, bad = (UserReply(text) for text in ("what is it?", "I have a question."))
    ids = [user.side.reply_ids(user.codec, reply.text, False) for reply in (good, bad)]
    row = {"prompt_ids": context, "chosen_ids": ids[0], "rejected_ids": ids[1], "preference": 0.9}

    def margin(user: CalibratedUser) -> float:
        a, b = user.log_prob([turn.request] * 2, [good, bad])
        return a.total - b.total

    before = margin(user)
    learn(user, [row] * 64, tmp_path / "learned", replace(SETTINGS, batch_size=4), NoiseKey((0,)))
    from dialogue_gym.language_models import load_language_model

    learned = load_language_model({"name": "transformers", "path": str(tmp_path / "learned")})
    assert margin(CalibratedUser(learned, side=user.side)) > before + 0.1


def test_folder_loads_and_names_its_parent(
    folder: Path, records: list[DialogueRecord], tmp_path: Path
) -> None:
    result = improve(folder, records, tmp_path / "better", replace(SETTINGS, learning_rate=1e-6))
    manifest = read_manifest(tmp_path / "better")
    assert manifest["realism_reward"]["parent_sha256"] == file_hash(folder / MANIFEST)
    assert len(manifest["metrics"]["rounds"]) == 1
    assert "fresh AUC" in result.summary()
    CalibratedUser(tmp_path / "better")
    with pytest.raises(ValueError, match="another folder"):
        improve(folder, records, tmp_path / "better", SETTINGS)
    with pytest.raises(ValueError, match="fitted to other dialogues"):
        improve(folder, records[1:], tmp_path / "others", SETTINGS)


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"nats": 2.1}, "nats"), ({"distinct_2": 0.2}, "distinct_2"), ({"auc": 0.9}, None)],
)
def test_a_step_that_loses_likelihood_or_diversity_is_refused(
    change: dict[str, float], reason: str | None
) -> None:
    before = Standing(auc=0.8, nats=2.0, first_turn_distinct_2=0.5, distinct_2=0.4)
    people = {"first_turn_distinct_2": 0.5, "distinct_2": 0.3}
    said = _why_refused(replace(before, **change), before, people, SETTINGS)
    assert (said is None) if reason is None else (said is not None and reason in said)


@pytest.mark.parametrize(
    "wrong", [{"samples": 3}, {"beta": 0.0}, {"features": "words"}, {"keep": "first"}, {"folds": 1}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RewardSettings(**wrong)
