"""The script that trains the tiny model: it learns, repeats, and the shipped model came from it."""

import json
from pathlib import Path

import pytest

from benchmarks.tiny_model.__main__ import SHIPPED, Settings, record_dialogues, train
from benchmarks.tiny_model.examples import agent_messages, batches, encode_row, user_messages
from dialogue_gym.language_models import load_language_model
from dialogue_gym.language_models.codec import ChatCodec

SMALL = Settings(
    hidden_size=32,
    layers=1,
    vocab_size=400,
    steps=60,
    learning_rate=2e-2,
    math_dialogues=200,
    document_dialogues=60,
)


@pytest.fixture(scope="module")
def codec() -> ChatCodec:
    model = load_language_model("tiny")
    return model.codec  # type: ignore[attr-defined, no-any-return]


def test_both_sides_are_learned_and_nothing_else(codec):
    (record,) = record_dialogues("math", 1, 1.0, seed=3)
    for side, speaker in ((agent_messages, "assistant"), (user_messages, "user")):
        ids, mask = encode_row(codec, side(record))
        learned = codec.decode([i for i, m in zip(ids, mask, strict=True) if m])
        spoken = [m["content"] for m in record.messages if m["role"] == speaker]
        assert learned.replace(" [STOP]", "") == "".join(spoken)
        assert sum(1 for i, m in zip(ids, mask, strict=True) if m and i == codec.end_of_turn_id) == len(
            spoken
        )


def test_batches_hold_every_row_once_an_epoch():
    rows = [([i] * (1 + i % 7), [1] * (1 + i % 7)) for i in range(64)]
    stream = batches(rows, 4, seed=0)
    seen = sorted(ids[0] for _ in range(16) for ids, _ in next(stream))
    assert seen == list(range(64))


def test_training_learns_and_repeats(tmp_path: Path, capsys):
    first, second = (train(SMALL, tmp_path / name) for name in ("a", "b"))
    assert first["held_out_loss"] == second["held_out_loss"]
    assert first["held_out_loss"]["validation"] < 5.0  # an untrained model has ln 400 = 5.99
    for name in ("model.safetensors", "tokenizer.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_shipped_model_is_small_and_says_how_it_was_made():
    report = json.loads((SHIPPED / "training.json").read_text())
    assert 500_000 <= report["parameters"] <= 1_000_000
    assert report["cpu_minutes"] <= 30
    assert report["settings"] == json.loads(json.dumps(vars(Settings())))


@pytest.mark.slow
def test_a_retrain_gives_the_shipped_model_again(tmp_path: Path):
    report = train(Settings(), tmp_path)
    shipped = json.loads((SHIPPED / "training.json").read_text())
    assert (tmp_path / "tokenizer.json").read_text() == (SHIPPED / "tokenizer.json").read_text()
    for split, loss in shipped["held_out_loss"].items():
        assert report["held_out_loss"][split] == pytest.approx(loss, rel=0.02)
