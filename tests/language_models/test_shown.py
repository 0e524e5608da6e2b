"""Keys among the fields that are passed on to servers: in no log, identity or representation."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")

from dialogue_gym.cli import main
from dialogue_gym.language_models import HttpModel
from dialogue_gym.language_models.shown import shown, shown_settings
from tests.fake_server import FakeServer


def test_names_and_numbers_are_shown_and_texts_are_told_apart() -> None:
    given = {"n": 3, "x": 0.5, "on": True, "no": None, "a": "canary", "b": ["canary", {"c": "other"}]}
    told = shown(given)
    assert "canary" not in json.dumps(told)
    assert {name: told[name] for name in ("n", "x", "on", "no")} == {"n": 3, "x": 0.5, "on": True, "no": None}
    assert told["a"] == told["b"][0] != told["b"][1]["c"]


def test_only_what_is_passed_on_is_hidden_at_any_depth() -> None:
    given: Any = {"model": "m", "parts": [{"name": "vllm", "engine_args": {"hf_token": "canary", "n": 1}}]}
    told = shown_settings(given)
    assert told["model"] == "m"
    assert told["parts"][0]["name"] == "vllm"
    assert told["parts"][0]["engine_args"] == {"hf_token": shown("canary"), "n": 1}


def test_a_model_does_not_show_them() -> None:
    model = HttpModel("http://h/v1", "m", extra_body={"api_key": "canary", "top_k": 5})
    assert model.identity()["extra_body"] == {"api_key": shown("canary"), "top_k": 5}
    assert "canary" not in repr(model) + str(model)
    with pytest.raises(ValueError, match="extra_body must be a dict, got a str") as caught:
        HttpModel("http://h/v1", "m", extra_body="canary")  # type: ignore[arg-type]
    assert "canary" not in str(caught.value)


def test_no_file_and_no_output_of_collect_holds_a_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-1")

    def said(body: dict[str, Any]) -> str:
        return f"Here is message {len(body['messages'])} of number {body['seed']}."

    def collect(key: str, dialogues: int) -> int:
        spec = json.dumps(
            {"name": "http", "base_url": server.base_url, "model": "m", "extra_body": {"api_key": key}}
        )
        sides = ("--policy", spec, "--simulator", "prompted", "--language-model", spec, "--max-turns", "2")
        return main(["collect", *sides, "--dialogues", str(dialogues), "--out", str(tmp_path / "log.jsonl")])

    with FakeServer(said, key="sk-canary-1") as server:
        assert collect("sk-canary-2", 2) == 0
        assert collect("sk-canary-2", 3) == 0
        assert collect("sk-canary-3", 4) != 0  # a log of other settings
    assert {call.body["api_key"] for call in server.calls} == {"sk-canary-2"}
    output = capsys.readouterr()
    assert "extra_body.api_key is" in output.err
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert [text for text in [*written, output.out, output.err] if "canary" in text] == []
