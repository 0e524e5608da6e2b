"""GRPO against servers: adapters go to all, ids and log-probabilities come back, faults take one line."""

import json
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from dialogue_agents.grpo.__main__ import main
from dialogue_agents.grpo.engines import EngineDrift
from dialogue_agents.grpo.run import run
from dialogue_agents.unscored import NothingScored
from dialogue_gym.language_models import LanguageModelError
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.logs import read_log
from tests.fake_server import Call, FakeServer


class TorchEngine:
    """Logits of a policy and of the adapters that a server was told to load; several servers may share it."""

    def __init__(self, path: Path) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(path)
        self.lock = threading.Lock()

    def logits(self, ids: Sequence[int], start: int, adapter: str | None) -> np.ndarray:
        with self.lock, quiet(), torch.no_grad(), self._with(adapter):
            found: np.ndarray = self.model(input_ids=torch.tensor([list(ids)])).logits[0].numpy()
        return found[start:].astype(np.float64)

    def _with(self, adapter: str | None) -> Any:
        if adapter is None:
            return self.model.disable_adapter() if isinstance(self.model, PeftModel) else nullcontext()
        name = adapter.replace(".", "-")  # which no name of a module may have
        if not isinstance(self.model, PeftModel):
            self.model = PeftModel.from_pretrained(self.model, adapter, name)
        elif name not in self.model.peft_config:
            self.model.load_adapter(adapter, name)
        self.model.set_adapter(name)
        return nullcontext()


class Restarting(FakeServer):
    """Is started anew, with another engine, when it is to sample with its first adapter."""

    def __init__(self, then: TorchEngine, **settings: Any) -> None:
        super().__init__(**settings)
        self.then: TorchEngine | None = then

    def _answer(self, call: Call) -> tuple[int, Any]:
        if self.then and call.body.get("return_token_ids") and call.body["model"] in self.adapters:
            self.adapters.clear()
            self.engine, self.then = self.then, None
        return super()._answer(call)


@pytest.fixture
def other_weights(policy_folder: Path, tmp_path: Path) -> TorchEngine:
    """An engine of the policy's shape and of other numbers."""
    model: Any = AutoModelForCausalLM.from_pretrained(policy_folder)
    with quiet(), torch.no_grad():
        for weight in model.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
        model.save_pretrained(tmp_path / "other")
    return TorchEngine(tmp_path / "other")


@pytest.fixture
def servers(policy_folder: Path) -> Any:
    engine = TorchEngine(policy_folder)
    with FakeServer(engine=engine, max_context=512) as one, FakeServer(engine=engine, max_context=512) as two:
        yield one, two


def spec(servers: Sequence[FakeServer], **options: Any) -> str:
    addresses = [server.base_url for server in servers]
    return json.dumps({"name": "http", "base_url": addresses, "model": "m", **options})


def test_a_run_against_two_servers(make_settings: Any, train: Any, servers: Any) -> None:
    settings = make_settings(lora_rank=4, engine=spec(servers), learning_rate=0.05, steps=3, temperature=1.3)
    watch = train(settings)
    drift = [e["engine/drift_max"] for e in watch.trainer.state.log_history if "engine/drift_max" in e]
    assert len(drift) == 3
    assert max(drift) <= 1e-4
    for server in servers:
        asked = [call.body["model"].split("-")[0] for call in server.calls]
        assert set(asked) - {"m"} == {"0", "1", "2"}
        assert asked.count("m") <= 1  # how it means its log-probabilities
        assert [Path(path).name for path in server.adapters.values()] == ["2"]


def test_one_server_of_other_weights_is_found_whoever_is_asked_first(
    make_settings: Any, policy_folder: Path, other_weights: TorchEngine
) -> None:
    right = TorchEngine(policy_folder)
    with (
        FakeServer(engine=right, max_context=512) as one,
        FakeServer(engine=right, max_context=512) as two,
        FakeServer(engine=other_weights, max_context=512) as wrong,
    ):
        settings = make_settings(lora_rank=4, engine=spec([one, two, wrong], concurrency=1))
        with pytest.raises(EngineDrift, match="after update 0"):
            run(settings)
    for server in (one, two, wrong):
        assert len({json.dumps(c.body) for c in server.calls if "prompt_logprobs" in c.body}) >= 6


@pytest.mark.parametrize("same", [True, False])
def test_one_that_is_started_anew_is_held_against_the_trainer_before_anything_is_learned(
    make_settings: Any, policy_folder: Path, other_weights: TorchEngine, same: bool
) -> None:
    right = TorchEngine(policy_folder)
    then = TorchEngine(policy_folder) if same else other_weights
    with (
        FakeServer(engine=right, max_context=512) as stays,
        Restarting(then, engine=right, max_context=512) as restarts,
    ):
        settings = make_settings(lora_rank=4, engine=spec([stays, restarts]), steps=2)
        if same:
            assert len(run(settings)["curve"]) == 2
        else:
            with pytest.raises(EngineDrift, match=r"after update 0.*Nothing was learned"):
                run(settings)
    assert restarts.then is None


def test_dialogues_go_on_apart_and_are_the_same_in_lockstep(make_settings: Any, servers: Any) -> None:
    told = []
    for concurrency in (3, None):
        name = f"c{concurrency}"
        settings = make_settings(
            name, lora_rank=4, engine=spec(servers), steps=2, concurrency=concurrency, log_dialogues=True
        )
        run(settings)
        told.append([record.messages for record in read_log(settings.out / "dialogues.jsonl")])
    assert told[0] == told[1]
    assert len(told[0]) == 16


def test_raw_log_probabilities_are_refused(make_settings: Any, policy_folder: Path) -> None:
    """A server that gives those of the untempered distribution scores right and samples wrong."""
    with FakeServer(engine=TorchEngine(policy_folder), max_context=512, processed=False) as server:
        settings = make_settings(lora_rank=4, engine=spec([server]), temperature=1.7)
        with pytest.raises(NothingScored, match=r"because of policy_failure: .*processed_logprobs"):
            run(settings)
    assert not (settings.out / "policy").exists()


def test_a_server_that_takes_no_adapters_is_said_in_one_line(
    make_settings: Any, policy_folder: Path, capsys: Any
) -> None:
    scripts = {"load_lora_adapter": ["404"]}
    with FakeServer(engine=TorchEngine(policy_folder), max_context=512, scripts=scripts) as server:
        settings = make_settings(lora_rank=4, engine=spec([server]))
        with pytest.raises(LanguageModelError, match="--enable-lora"):
            run(settings)


def test_no_server_is_noticed_before_anything_is_written(tmp_path: Path, capsys: Any) -> None:
    engine = json.dumps(
        {"name": "http", "base_url": "http://127.0.0.1:9/v1", "model": "m", "max_retries": 0, "deadline_s": 5}
    )
    arguments = ["--lora-rank", "4", "--cpu", "--engine", engine, "--out", str(tmp_path / "run")]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 'm' at http://127.0.0.1:9/v1")
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_no_file_of_a_run_holds_a_key(make_settings: Any, servers: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-1")
    options = {"extra_body": {"api_key": "sk-canary-2", "more": {"token": ["sk-canary-3"]}, "top_k": 0}}
    settings = make_settings(
        lora_rank=4, engine=spec(servers, **options), steps=2, log_dialogues=True, report_to="tensorboard"
    )
    run(settings)
    assert {call.body["api_key"] for server in servers for call in server.calls[1:]} == {"sk-canary-2"}
    written = {path: path.read_bytes() for path in settings.out.rglob("*") if path.is_file()}
    assert [path for path, content in written.items() if b"canary" in content] == []
    assert b'"extra_body\\": {\\"api_key\\": \\"text ' in written[settings.out / "settings.json"]


def test_settings_with_other_keys_differ_and_those_without_are_as_they_were_given(make_settings: Any) -> None:
    def described(**options: Any) -> dict[str, Any]:
        told: dict[str, Any] = make_settings(lora_rank=4, **options).described()
        return told

    plain = '{ "name": "vllm", "path": "p", "engine_args": {"gpu_memory_utilization": 0.4} }'
    assert described(engine=plain)["engine"] == plain
    keyed = [{"name": "vllm", "path": "p", "engine_args": {"hf_token": token}} for token in ("a", "b", "a")]
    told = [described(language_model=json.dumps(model))["language_model"] for model in keyed]
    assert told[0] == told[2] != told[1]
    assert json.loads(told[0])["path"] == "p"
