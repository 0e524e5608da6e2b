"""The models that the benchmark times: true shapes, in the precision asked for, where they have room."""

import math
from dataclasses import replace

import pytest
import torch
from transformers import Qwen3Config

from benchmarks.throughput import models, precision, rollouts, turns
from benchmarks.throughput.__main__ import main
from benchmarks.throughput.measuring import MEMORY
from benchmarks.throughput.settings import Settings
from dialogue_gym.language_models.tiny_model import load_tiny_model

SMALL = Settings(
    rounds=1,
    models=("Qwen3-4B",),
    batches=(2,),
    turn_batches=(2,),
    precision_batches=(1, 3),
    horizon=2,
    dtype="bfloat16",
)


@pytest.fixture(autouse=True)
def thin_qwen(monkeypatch):
    """Qwen3-4B with hardly any weights, and with words that the tokenizer has not."""
    thin = {
        "vocab_size": 3000,
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "head_dim": 16,
    }
    whole = dict(models.SHAPES)
    shapes = whole | {"Qwen3-4B": (Qwen3Config, {**whole["Qwen3-4B"][1], **thin})}
    monkeypatch.setattr(models, "SHAPES", shapes)
    return whole


@pytest.mark.parametrize(
    ("name", "parameters", "bytes_a_token"),
    [("Qwen3-4B", 4_022_468_096, 144 * 1024), ("Qwen2.5-7B", 7_615_616_512, 56 * 1024)],
)
def test_shapes_are_the_true_ones(name, parameters, bytes_a_token, thin_qwen, monkeypatch):
    monkeypatch.setattr(models, "SHAPES", thin_qwen)
    model = models.random_model(name, load_tiny_model().codec.tokenizer, "meta", "bfloat16")
    assert sum(p.numel() for p in model.parameters()) == parameters
    config = model.config
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    assert 2 * 2 * config.num_hidden_layers * config.num_key_value_heads * size == bytes_a_token


@pytest.mark.parametrize("name", ["tiny", "Qwen3-4B"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_have_the_precision_and_positions_stay_exact(name, dtype):
    model = models.load(name, "cpu", dtype).model
    assert {p.dtype for p in model.parameters()} == {getattr(torch, dtype)}
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    assert model.model.rotary_emb.inv_freq.dtype == torch.float32


def test_random_weights_are_made_on_the_device(monkeypatch):
    made = []
    monkeypatch.setattr(
        models.AutoModelForCausalLM,
        "from_config",
        lambda config, dtype: made.append((torch.empty(0).device.type, dtype)) or torch.nn.Linear(1, 1),
    )
    models.random_model("4M", load_tiny_model().codec.tokenizer, "meta", "bfloat16")
    assert made == [("meta", torch.bfloat16)]


def test_what_has_no_room_is_refused_in_one_line(thin_qwen, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(models, "SHAPES", thin_qwen)
    monkeypatch.setattr(models, "free_bytes", lambda device: 6 * 2**30)
    words = ["--models", "tiny", "Qwen3-4B", "--dtype", "bfloat16", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert (
        "Qwen3-4B in bfloat16 takes 7.5 GiB for its weights alone, and 6.0 GiB are free on the CPU" in error
    )
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_machine_has_some_memory():
    assert models.free_bytes("cpu") > 2**20


def test_words_outside_the_tokenizer_are_played_and_measured():
    found = rollouts.measure(SMALL)
    assert [series.unit for series in found.series] == ["dialogues per CPU s", "share inside forward passes"]
    assert found.notes == ["models in bfloat16"]
    assert len(turns.measure(SMALL).series) == 2


def test_peaks_of_memory_are_figures_of_a_gpu(monkeypatch):
    """A CPU in the GPU's clothes: every case starts to count anew."""
    resets, now = [], {"is_available": lambda: True, "synchronize": lambda: None}
    now |= {"reset_peak_memory_stats": lambda: resets.append(1), "max_memory_allocated": lambda: 3 * 2**30}
    for name, stand_in in now.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(models, "free_bytes", lambda device: 2**40)
    for section in (rollouts, turns):
        monkeypatch.setattr(section, "load", lambda name, device, dtype: models.load(name, "cpu", dtype))
    settings = replace(SMALL, device="cuda", models=("tiny", "Qwen3-4B"))
    [peaks, other] = [s for s in rollouts.measure(settings).series if s.unit == MEMORY]
    assert (peaks.name, peaks.at, peaks.samples) == ("tiny", [2.0], [[3.0]])
    assert other.name == "Qwen3-4B"
    assert len(resets) == 4  # two models, and a round to warm up
    units = [s.unit for s in turns.measure(settings).series]
    assert units == ["wall ms a turn"] * 4 + [MEMORY] * 4


def test_precision_tells_bfloat16_from_float32():
    found = precision.measure(replace(SMALL, models=("tiny",)))
    largest = {s.name: s for s in found.series if s.unit.startswith("largest")}
    mean = {s.name: s for s in found.series if s.unit.startswith("mean")}
    assert list(largest) == [
        "tiny, bfloat16",
        "tiny, bfloat16 against a pass in float32",
        "tiny, float32",
    ]
    assert largest["tiny, float32"].at == [1.0, 3.0]
    for place in (0, 1):
        exact, rounded = (largest[name].samples[place][0] for name in list(largest)[::-2])
        assert exact < 1e-5 < rounded < 0.5
        assert all(mean[name].samples[place][0] <= largest[name].samples[place][0] for name in largest)


def test_precision_without_room_for_float32_says_so(monkeypatch):
    monkeypatch.setattr(
        precision, "lacks_memory", lambda name, device, dtype: "no room" if dtype == "float32" else ""
    )
    found = precision.measure(SMALL)
    assert found.notes == ["skipped: no room"]
    assert {s.name for s in found.series} == {"Qwen3-4B, bfloat16"}
    assert all(
        0 < gap < 0.5 and math.isfinite(gap) for s in found.series for rounds in s.samples for gap in rounds
    )


def test_only_sampled_tokens_are_compared():
    engine = models.load("tiny", "cpu")
    [dialogue] = precision._play(engine, replace(SMALL, precision_batches=(1,)))[1.0][0]
    gaps = precision.token_gaps(engine, [dialogue])
    assert len(gaps) == sum(dialogue.loss_mask)
    dialogue.log_probs = [p - 1.0 for p in dialogue.log_probs]
    assert precision.token_gaps(engine, [dialogue]) == pytest.approx([1.0] * len(gaps), abs=1e-4)
