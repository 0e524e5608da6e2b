"""Trains the tiny model: ``python -m benchmarks.tiny_model [--out FOLDER] [--steps N]``.

The tokenizer and the model are trained on dialogues between ``RulePolicy`` and ``ScriptedUser`` on
training tasks, each seen from both sides, so that one model can play the agent and the user. First the
agent nearly always asks for what is missing, until copying and arithmetic work; then it mostly guesses,
which sets a starting policy from which reinforcement learning has something to do.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

from benchmarks.tiny_model.examples import Row, agent_messages, batches, encode_row, token_loss, user_messages
from benchmarks.tiny_model.tokenizer import train_tokenizer
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout.play import play
from dialogue_gym.rollout.rules import RulePolicy
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks.base import Kind

SHIPPED = Path(__file__).parents[2] / "dialogue_gym" / "language_models" / "tiny"


@dataclass
class Settings:
    """What the shipped model was trained with."""

    hidden_size: int = 160
    """Width; attention heads are 32 wide."""
    layers: int = 2
    """Transformer blocks."""
    vocab_size: int = 1000
    """Tokenizer size, bytes and special tokens included."""
    steps: int = 5000
    """Updates."""
    batch_size: int = 32
    """Rows an update; a dialogue gives two rows, one for each side."""
    learning_rate: float = 3e-3
    """Peak of a cosine schedule with 100 steps of warm-up."""
    hasty_from: float = 0.75
    """Share of the updates after which the agents in the dialogues mostly guess."""
    math_dialogues: int = 24_000
    """Math dialogues of the first part; the second part has half as many."""
    document_dialogues: int = 12_000
    """Document dialogues of the first part; the second part has half as many."""
    patient_ask_rate: float = 0.9
    """How often the first part's agents ask when a fact is missing."""
    hasty_ask_rate: float = 0.2
    """The same for the second part."""
    seed: int = 0
    """Seeds everything."""


def record_dialogues(
    kind: Kind, count: int, ask_rate: float, seed: int, split: str = "train"
) -> list[DialogueRecord]:
    """Dialogues between rules and scripted users; a slip of the agent now and then is part of it."""
    env = DialogueVectorEnv(kind, num_envs=256, autoreset_mode="Disabled", max_turns=12, split=split)
    task_seeds = [NoiseKey((seed, kind, ask_rate, split, i)).seed() for i in range(count)]  # type: ignore[arg-type]
    trajectories = play(env, RulePolicy(kind, ask_rate), task_seeds, task_seeds)
    return [trajectory.record for trajectory in trajectories]


def build_model(settings: Settings, vocabulary: int, pad: int, end: int) -> Any:
    """A Llama with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(settings.seed)
    heads = settings.hidden_size // 32
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=settings.hidden_size,
        intermediate_size=3 * settings.hidden_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    return LlamaForCausalLM(config)


def held_out_loss(model: Any, rows: Sequence[Row], pad: int) -> float:
    """Mean nats per learned token."""
    total, count = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(rows), 64):
            loss, tokens = token_loss(model, rows[start : start + 64], pad)
            total, count = total + loss.item(), count + tokens
    return total / count


def both_sides(codec: ChatCodec, records: Sequence[DialogueRecord]) -> list[Row]:
    """Two rows for each dialogue."""
    return [encode_row(codec, side(record)) for record in records for side in (agent_messages, user_messages)]


def train(settings: Settings, out: Path) -> dict[str, Any]:
    """Train tokenizer and model, save both to ``out``, return what the run measured."""
    torch.set_num_threads(1)
    started = time.process_time()
    patient, hasty, held_out = (_records(settings, part) for part in ("patient", "hasty", "held out"))
    texts = [m["content"] for r in patient[::4] for m in (*user_messages(r), *agent_messages(r))]
    tokenizer = train_tokenizer(texts, settings.vocab_size)
    codec = ChatCodec(tokenizer)
    parts = [both_sides(codec, records) for records in (patient, hasty)]
    checks = {
        name: both_sides(codec, [r for r in held_out if r.split == name]) for name in ("validation", "test")
    }
    model = build_model(settings, len(tokenizer), codec.pad_id, codec.end_of_turn_id)
    size = sum(p.numel() for p in model.parameters())
    print(
        f"{size} parameters, {sum(map(len, parts))} rows, {time.process_time() - started:.0f} CPU s",
        flush=True,
    )
    _fit(model, parts, settings, codec.pad_id, checks["validation"][:256], started)
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    report = {
        "settings": asdict(settings),
        "parameters": size,
        "held_out_loss": {
            name: round(held_out_loss(model, rows, codec.pad_id), 4) for name, rows in checks.items()
        },
        "cpu_minutes": round((time.process_time() - started) / 60, 1),
        "torch": torch.__version__.partition("+")[0],
    }
    (out / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def _records(settings: Settings, part: str) -> list[DialogueRecord]:
    if part == "held out":
        sizes = [("math", 400), ("document", 200)]
        return [
            record
            for split in ("validation", "test")
            for kind, count in sizes
            for record in record_dialogues(kind, count, settings.hasty_ask_rate, settings.seed + 1, split)  # type: ignore[arg-type]
        ]
    rate, share = (settings.patient_ask_rate, 1.0) if part == "patient" else (settings.hasty_ask_rate, 0.5)
    math_count, document_count = (
        int(settings.math_dialogues * share),
        int(settings.document_dialogues * share),
    )
    return [
        *record_dialogues("math", math_count, rate, settings.seed),
        *record_dialogues("document", document_count, rate, settings.seed),
    ]


def _fit(
    model: Any, parts: Sequence[list[Row]], settings: Settings, pad: int, check: list[Row], started: float
) -> None:
    optimizer = torch.optim.AdamW(
        model.parameters(), settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    streams = [batches(rows, settings.batch_size, settings.seed) for rows in parts]
    for step in range(settings.steps):
        done = step / settings.steps
        rate = min(1.0, (step + 1) / 100) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate
        loss, tokens = token_loss(model, next(streams[done >= settings.hasty_from]), pad)
        torch.autograd.backward(loss / tokens)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % 100 == 0:
            print(
                f"step {step + 1}/{settings.steps} loss {loss.item() / tokens:.3f} "
                f"held-out {held_out_loss(model, check, pad):.3f} {time.process_time() - started:.0f} CPU s",
                flush=True,
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tiny_model", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--out", type=Path, default=SHIPPED, help="folder to write; the package's own by default"
    )
    for name, value in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args(arguments))
    out = options.pop("out")
    print(json.dumps(train(Settings(**options), out), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
