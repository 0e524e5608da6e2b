import sys
from pathlib import Path
from typing import Any

import pytest

from dialogue_gym.language_models import load_language_model
from dialogue_gym.language_models.tiny_model import tiny_model_path

TINY = {"name": "transformers", "path": str(tiny_model_path())}


class Parrot:
    def generate(self, requests: Any, sampling: Any) -> list[Any]:
        return []

    def forget(self, dialogue_ids: Any) -> None: ...

    def identity(self) -> dict[str, Any]:
        return {}


def test_objects_pass_through() -> None:
    parrot = Parrot()
    assert load_language_model(parrot) is parrot


def test_a_name_with_an_argument_is_a_path(tmp_path: Path, tokenizer: Any, llama: Any) -> None:
    tokenizer.save_pretrained(tmp_path)
    llama.save_pretrained(tmp_path)
    model = load_language_model(f"transformers:{tmp_path}")
    same = load_language_model({"name": "transformers", "path": str(tmp_path), "dtype": "float32"})
    assert model.identity() == same.identity()
    assert model.identity()["model"] == str(tmp_path)


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("transfomers:x", ValueError, "did you mean 'transformers'"),
        ("transformers", ValueError, "transformers:PATH"),
        ("transformers:", ValueError, "transformers:PATH"),
        ("transformers:/no/such/folder", FileNotFoundError, "at '/no/such/folder': there is no such folder$"),
        ("transformers:./no", FileNotFoundError, "at './no': there is no such folder$"),
        ("transformers:no/such", FileNotFoundError, "no such folder, nor a name of the hub that loads: "),
        ({**TINY, "adapter": "/no"}, FileNotFoundError, "no adapter at '/no'"),
        ('{"name": "transformers", "pth": "x"}', ValueError, "did you mean 'path'"),
        ('{"name": "tiny"', ValueError, "a language model as JSON: .*delimiter"),
        ({"name": "transformers", "pth": "x"}, ValueError, "did you mean 'path'"),
    ],
)
def test_errors_are_one_line(spec: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        load_language_model(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", ["tiny", "transformers:somewhere"])
def test_a_missing_extra_is_named(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"dialogue-gym\[llm\]"):
        load_language_model(spec)
