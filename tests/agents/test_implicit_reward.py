"""The fit of an implicit reward model: its loss by hand, what it learns, what it refuses."""

import json
from math import log
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

import torch

from dialogue_agents.finite import NotFinite
from dialogue_agents.implicit_reward.__main__ import main
from dialogue_agents.implicit_reward.fit import fit, outcome_loss
from dialogue_agents.implicit_reward.settings import ImplicitRewardSettings
from dialogue_gym.logs import DialogueRecord, append
from dialogue_gym.rewards import ImplicitTurnReward
from dialogue_gym.rewards.implicit import MANIFEST
from dialogue_gym.seeding import NoiseKey

GOOD, BAD = "yes", "no"


def record(task: int, member: int, outcome: float | None = None) -> DialogueRecord:
    """Two turns, one of which matters: with "yes" the dialogue succeeds."""
    key = NoiseKey((task, member))
    good, place = key.child("good").uniform() < 0.5, key.child("place").integer(0, 1)
    said = ["ok", "ok"]
    said[place] = GOOD if good else BAD
    texts = [f"{task}?", said[0], "go on", said[1], "bye"]
    messages: Any = [
        {"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(texts)
    ]
    score = float(good) if outcome is None else outcome
    return DialogueRecord(
        "MathChat-v0", "train", None, None, task, member, {}, {}, messages, [{}] * 3, "user_stop", score, {}
    )


def settings_of(tmp_path: Path, policy_folder: Path, records: Any, **changes: Any) -> ImplicitRewardSettings:
    append(tmp_path / "log.jsonl", records)
    given: dict[str, Any] = {
        "logs": tmp_path / "log.jsonl",
        "out": tmp_path / "fitted",
        "model": f"transformers:{policy_folder}",
        "learning_rate": 1e-2,
        "beta": 0.2,
    }
    return ImplicitRewardSettings(**{**given, **changes})


def test_loss_by_hand() -> None:
    """Two labels among four tokens; the first column is context."""
    logits = torch.zeros(1, 3, 4)
    logits[0, 0, 2] = 1.0
    labels = torch.tensor([[-100, 2, 3]])
    total = torch.tensor(1.0).exp() + 3
    log_p = float(1.0 - total.log()) - log(4)
    odds = 0.5 * (log_p + 3.0)
    expected = -0.3 * log(1 / (1 + torch.tensor(-odds).exp())) - 0.7 * log(1 / (1 + torch.tensor(odds).exp()))
    found = outcome_loss(logits, labels, torch.tensor([-3.0]), torch.tensor([0.3]), beta=0.5)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_it_learns_which_turn_matters(tmp_path: Path, policy_folder: Path) -> None:
    records = [record(task, member) for task in range(16) for member in range(6)]
    found = fit(settings_of(tmp_path, policy_folder, records, epochs=6))
    assert found["before"] == pytest.approx(log(2))  # it begins as its own reference
    assert found["after"] < 0.5 * found["base_rate"]
    assert found["dialogues"] == {"trained": 72, "held_out": 24, "too_long": 0}
    reward = ImplicitTurnReward.from_folder(tmp_path / "fitted")
    assert reward.beta == 0.2
    fresh = [record(task, 0) for task in range(50, 70)]
    good = [r for r in fresh if r.reward]
    assert good
    for made, paid in zip(good, reward.rewards(good), strict=True):
        assert paid is not None
        right = 0 if made.messages[1]["content"] == GOOD else 1
        assert paid[right] > 0.6
        assert sum(paid) == pytest.approx(1.0)


def test_the_same_fit_gives_the_same_model(tmp_path: Path, policy_folder: Path) -> None:
    records = [record(task, member) for task in range(4) for member in range(2)]
    found = [
        fit(settings_of(tmp_path / out, policy_folder, records, epochs=1))
        for out in ("one", "two")
        if not (tmp_path / out).mkdir()  # type: ignore[func-returns-value]
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (
            [record(0, 0, 1.0), record(1, 0, 1.0)],
            "all scores are 1.0, so that there is nothing to tell apart",
        ),
        ([record(0, 0, 1.5), record(1, 0, 0.0)], "scores must be from 0 to 1 to be outcomes, got 1.5"),
        (
            [record(0, 0, 1.0), record(0, 1, 0.0)],
            "2 dialogues that fit into the model, of 1 prompts, are too few",
        ),
    ],
)
def test_logs_that_cannot_be_used(tmp_path: Path, policy_folder: Path, records: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(settings_of(tmp_path, policy_folder, records))


def test_a_loss_that_is_no_number(tmp_path: Path, policy_folder: Path) -> None:
    records = [record(task, member) for task in range(6) for member in range(3)]
    settings = settings_of(tmp_path, policy_folder, records, learning_rate=1e30, batch_size=4)
    with pytest.raises(
        NotFinite, match=r"the loss of update [2-4] is not finite; its batch is in .*bad-batch\.pt"
    ):
        fit(settings)
    batch = torch.load(settings.out / "bad-batch.pt")
    assert batch["input_ids"].shape == batch["labels"].shape
    assert len(batch["input_ids"]) == len(batch["reference"]) == len(batch["outcomes"]) == 4
    assert not (settings.out / MANIFEST).exists()


def test_a_gradient_that_is_no_number_where_the_loss_is_one(
    tmp_path: Path, policy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slope of a root is infinite at 0."""

    def steep(logits: torch.Tensor, *rest: Any) -> torch.Tensor:
        return outcome_loss(logits, *rest) + (0 * logits.sum()).sqrt()

    monkeypatch.setattr("dialogue_agents.implicit_reward.fit.outcome_loss", steep)
    records = [record(task, member) for task in range(6) for member in range(3)]
    settings = settings_of(tmp_path, policy_folder, records, batch_size=4)
    with pytest.raises(NotFinite, match="the gradient of update 1 is not finite; its batch is in"):
        fit(settings)
    assert (settings.out / "bad-batch.pt").exists()
    assert not (settings.out / MANIFEST).exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beta": 0.0}, "beta must be above 0, got 0.0"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"held_out": 1.0}, "held_out must be a share between 0 and 1, got 1.0"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImplicitRewardSettings(logs=tmp_path, **changes)


@pytest.mark.parametrize("learned", [True, False])
def test_the_command(
    tmp_path: Path,
    policy_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    learned: bool,
) -> None:
    records = [record(task, member) for task in range(4) for member in range(2)]
    settings = settings_of(tmp_path, policy_folder, records)
    after = 0.0 if learned else 9.0
    monkeypatch.setattr("dialogue_agents.implicit_reward.fit._evaluate", lambda *_: after)
    words = ["--logs", str(settings.logs), "--out", str(settings.out), "--model", settings.model]
    words += ["--epochs", "1"]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert f"held-out cross-entropy {after:.3f}" in captured.out
    assert ("use it with --reward" in captured.out) is learned
    assert ("warning: on held-out dialogues" in captured.err) is not learned
    manifest = json.loads((settings.out / "implicit_reward.json").read_text())
    assert manifest["reference"] == f"transformers:{policy_folder.resolve()}"
    assert main(words) == 2
    assert "holds a model already; choose another --out" in capsys.readouterr().err
