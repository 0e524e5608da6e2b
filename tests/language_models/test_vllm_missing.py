"""What is said of vLLM where it is not installed; with it, ``make test-vllm`` runs ``tests/vllm``."""

import sys

import pytest

from dialogue_gym.language_models import load_language_model


def test_a_path_is_asked_for() -> None:
    with pytest.raises(ValueError, match="vllm:PATH"):
        load_language_model("vllm")


def test_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ImportError, match=r"dialogue-gym\[vllm\]"):
        load_language_model("vllm:somewhere")


def test_options_are_checked_before_anything_is_imported() -> None:
    with pytest.raises(ValueError, match="did you mean 'lora_rank'"):
        load_language_model({"name": "vllm", "path": "x", "lora_ranks": 8})
