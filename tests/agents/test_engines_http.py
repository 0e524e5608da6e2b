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
from dialogue_agents.grpo.run import run
from dialogue_agents.unscored import NothingScored
from dialogue_gym.language_models import LanguageModelError
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.logs import read_log
from tests.fake_server import FakeServer


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
