"""Where learners compute: what a machine without a GPU is told, and spared."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

import torch

from dialogue_agents import device
from dialogue_agents.drift.settings import DriftSettings
from dialogue_agents.grpo.__main__ import main
from dialogue_agents.grpo.run import load_policy, trl_config
from dialogue_agents.imitation.trainer import training_arguments


def test_bfloat16_without_a_gpu_is_one_line_that_names_our_option(
    tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setattr(device, "is_torch_bf16_gpu_available", lambda: False)
    out = tmp_path / "run"
    assert main(["--dtype", "bfloat16", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: dtype bfloat16 needs a GPU")
    assert "--cpu" in error
    assert "use_cpu" not in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_bfloat16_may_stay_on_the_cpu(make_settings: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(device, "is_torch_bf16_gpu_available", lambda: False)
    assert trl_config(make_settings(dtype="bfloat16", cpu=True)).bf16


@pytest.mark.parametrize(
    ("gpu", "cpu", "pinned"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_memory_is_pinned_for_a_gpu_alone(
    make_settings: Any, tmp_path: Path, monkeypatch: Any, gpu: bool, cpu: bool, pinned: bool
) -> None:
    settings = make_settings(cpu=cpu)
    imitation = DriftSettings(logs=tmp_path / "log.jsonl", cpu=cpu)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: gpu)
    assert device.device_arguments(settings)["dataloader_pin_memory"] is pinned
    assert device.device_arguments(imitation)["dataloader_pin_memory"] is pinned
    monkeypatch.undo()
    for config in (trl_config(settings), training_arguments(imitation)):
        assert config.dataloader_pin_memory is (not cpu and torch.accelerator.is_available())


@pytest.mark.parametrize(
    ("dtype", "lora_rank", "lines"), [("bfloat16", 0, 1), ("bfloat16", 4, 0), ("float32", 0, 0)]
)
def test_all_weights_in_bfloat16_are_warned_of(
    make_settings: Any, caplog: Any, dtype: str, lora_rank: int, lines: int
) -> None:
    load_policy(make_settings(dtype=dtype, lora_rank=lora_rank))
    warned = [r.getMessage() for r in caplog.records if r.name.startswith("dialogue_agents")]
    assert len(warned) == lines
    assert all("no float32 copy of the weights" in line and "lora_rank" in line for line in warned)
