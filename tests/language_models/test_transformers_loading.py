"""Models of transformers that were loaded from folders: copies, pickles, and adapters on top of them."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

import torch

from dialogue_gym.language_models.base import LanguageModelError
from dialogue_gym.language_models.transformers_engine import TransformersModel
from tests.language_models.conftest import SAMPLING, assert_same, request

pytestmark = pytest.mark.usefixtures("one_thread")


def test_copies_share_the_model_and_only_a_loaded_one_pickles(
    model: TransformersModel, tmp_path: Path, tokenizer: Any, module: Any
) -> None:
    assert copy.deepcopy({"lm": model})["lm"] is model
    with pytest.raises(TypeError, match="from_pretrained"):
        pickle.dumps(model)
    tokenizer.save_pretrained(tmp_path)
    module.save_pretrained(tmp_path)
    loaded = TransformersModel.from_pretrained(tmp_path, max_context=100)
    loaded.user_prompt = "compact"
    again = pickle.loads(pickle.dumps(loaded))
    assert again.identity() == loaded.identity()
    assert (again.max_context, again.user_prompt) == (100, "compact")
    assert_same(
        loaded.generate([request(0, ["hi"])], SAMPLING), again.generate([request(0, ["hi"])], SAMPLING)
    )


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # inside peft
def test_an_adapter_is_loaded_on_top(tmp_path: Path, build_llama: Any, tokenizer: Any) -> None:
    peft = pytest.importorskip("peft")
    tokenizer.save_pretrained(tmp_path / "base")
    build_llama(len(tokenizer)).save_pretrained(tmp_path / "base")
    lora = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], init_lora_weights=False)
    adapted = peft.get_peft_model(build_llama(len(tokenizer)), lora)
    adapted.save_pretrained(tmp_path / "adapter")
    plain = TransformersModel.from_pretrained(tmp_path / "base")
    loaded = TransformersModel.from_pretrained(tmp_path / "base", adapter=tmp_path / "adapter")
    direct = TransformersModel(adapted, plain.codec)
    for turn in range(2):
        requests = [request(0, ["hi"], turn), request(1, ["hello there"], turn)]
        assert_same(loaded.generate(requests, SAMPLING), direct.generate(requests, SAMPLING))
    assert plain.score(requests, ["a", "b"]) != loaded.score(requests, ["a", "b"])
    assert loaded.identity()["adapter"] == str(tmp_path / "adapter")


@pytest.fixture
def adapters(tmp_path: Path, build_llama: Any, tokenizer: Any) -> list[Path]:
    """Two adapters for q_proj, and one that fits no such model."""
    peft = pytest.importorskip("peft")
    lora = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], init_lora_weights=False)
    folders = []
    for i, sizes in enumerate(({}, {}, {"head_dim": 16})):
        module = build_llama(len(tokenizer), **sizes)
        torch.manual_seed(i)
        folders.append(tmp_path / f"adapter{i}")
        peft.get_peft_model(module, lora).save_pretrained(folders[-1])
    return folders


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # inside peft
def test_adapters_are_exchanged_while_it_runs(
    tmp_path: Path, build_llama: Any, tokenizer: Any, adapters: list[Path]
) -> None:
    tokenizer.save_pretrained(tmp_path / "base")
    build_llama(len(tokenizer)).save_pretrained(tmp_path / "base")
    model = TransformersModel.from_pretrained(tmp_path / "base")
    asked = [request(0, ["hi"]), request(1, ["hello there"])]
    plain = model.score(asked, ["a", "b"])
    with pytest.raises(LanguageModelError, match=r"adapter2' cannot be loaded: RuntimeError"):
        model.load_adapter(adapters[2])  # before there is any
    assert model.score(asked, ["a", "b"]) == plain
    for folder in (*adapters[:2], adapters[0]):
        model.load_adapter(folder)
        fresh = TransformersModel.from_pretrained(tmp_path / "base", adapter=folder)
        assert model.score(asked, ["a", "b"]) == fresh.score(asked, ["a", "b"]) != plain
        assert_same(model.generate(asked, SAMPLING), fresh.generate(asked, SAMPLING))
        assert model.identity() == fresh.identity() == pickle.loads(pickle.dumps(model)).identity()
        for bad in (adapters[2], tmp_path, tmp_path / "nothing"):
            with pytest.raises(LanguageModelError, match="cannot be loaded") as caught:
                model.load_adapter(bad)
            assert "\n" not in str(caught.value)
        assert model.score(asked, ["a", "b"]) == fresh.score(asked, ["a", "b"])
    assert len(model.model.peft_config) == 1
