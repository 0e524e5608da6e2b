"""Weighted imitation: rows and loss by hand, and what stops where a loss is no number."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dialogue_agents.finite import NotFinite, StopWhenNotFinite
from dialogue_agents.grpo.run import load_policy
from dialogue_agents.imitation.logged import Weighted
from dialogue_agents.imitation.trainer import collator, training_row, training_rows, weighted_loss
from dialogue_gym.dialogue import Message
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.logs import PolicyRecord


def talk(*said: str) -> list[Message]:
    """Messages; the user speaks first."""
    return [{"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(said)]


@pytest.fixture(scope="module")
def codec(policy_folder: Path) -> ChatCodec:
    class Settings:
        policy, dtype = policy_folder, "float32"

    return ChatCodec(load_policy(Settings())[1])  # type: ignore[arg-type]


@pytest.mark.parametrize(("replies", "learned"), [("all", ["one", "two"]), ("last", ["two"])])
def test_rows_learn_the_replies_alone(codec: ChatCodec, replies: Any, learned: list[str]) -> None:
    ids, labels, shares = training_row(codec, talk("x?", "one", "y?", "two", "bye"), replies)
    end = [codec.end_of_turn_id]
    assert ids == codec.encode(talk("x?", "one", "y?")) + codec.content_ids("two") + end
    assert [label for label in labels if label >= 0] == [
        i for text in learned for i in codec.content_ids(text) + end
    ]
    assert all(label in (-100, i) for label, i in zip(labels, ids, strict=True))
    assert labels[-1] == codec.end_of_turn_id
    assert sum(shares) == pytest.approx(len(learned))  # a reply counts as one
    assert all((share > 0) == (label >= 0) for share, label in zip(shares, labels, strict=True))


def weighted(text: str, weight: float) -> Weighted:
    return Weighted(PolicyRecord("MathChat-v0", talk("x?", text), None, 1.0), weight)


def test_rows_that_do_not_fit_or_weigh_nothing_are_left_out(codec: ChatCodec) -> None:
    dialogues = [weighted("short", 2.0), weighted("long " * 50, 1.0), weighted("short", 1e-5)]
    [row] = training_rows(codec, dialogues, "all", 100)
    assert sum(row["weights"]) == pytest.approx(2.0)
    with pytest.raises(ValueError, match="none of the 3 dialogues fits into the policy's 3 tokens"):
        training_rows(codec, dialogues, "all", 3)


def test_loss_by_hand() -> None:
    """A row's weighted sum over its learned tokens, rows alike."""
    logits = torch.zeros(2, 4, 5)
    logits[0, 1, 3] = 2.0
    rows = [
        {"input_ids": [1, 2, 3, 4], "labels": [-100, -100, 3, 4], "weights": [0.0, 0.0, 1.5, 0.25]},
        {"input_ids": [1, 2], "labels": [-100, 2], "weights": [0.0, 0.5]},
    ]
    batch = collator(pad_id=0)(rows)
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    uniform = torch.tensor(5.0).log()
    first = (torch.tensor(2.0).exp() + 4).log() - 2.0
    expected = (1.5 * first + 0.25 * uniform + 0.5 * uniform) / 2
    assert weighted_loss(logits, batch["labels"], batch["weights"]) == pytest.approx(float(expected))


def test_a_bad_gradient_stops_with_the_update_and_the_batch_saved(tmp_path: Path) -> None:
    watch, batch = StopWhenNotFinite(tmp_path), {"input_ids": torch.tensor([[1, 2]])}
    model: Any = torch.nn.Linear(2, 1)
    loss = model(torch.ones(2)).sum()
    watch.check_loss(loss, batch, 6)
    loss.backward()
    state = SimpleNamespace(global_step=6)
    watch.on_pre_optimizer_step(None, state, None, model=model)
    assert not watch.path.exists()
    model.weight.grad[0, 0] = float("nan")
    with pytest.raises(
        NotFinite, match=r"the gradient of update 7 is not finite; its batch is in .*bad-batch"
    ):
        watch.on_pre_optimizer_step(None, state, None, model=model)
    assert torch.load(watch.path)["input_ids"].tolist() == [[1, 2]]
    with pytest.raises(NotFinite, match="the loss of update 1 is not finite"):
        watch.check_loss(loss * float("inf"), batch, 0)
