"""What the suite needs: a vLLM, named in the environment by ``run.py``; without it nothing is collected."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

VLLM = os.environ.get("DIALOGUE_GYM_VLLM", "")
IN_PROCESS = VLLM == "process"

collect_ignore_glob = [] if VLLM else ["test_*.py"]


@pytest.fixture(scope="session")
def engine(folder: Path) -> Iterator[Any]:
    """The tiny model in vLLM: on a server, or in this process."""
    if IN_PROCESS:
        from dialogue_gym.language_models.vllm_engine import VllmModel

        model: Any = VllmModel(folder, cache_gib=0.5, lora_rank=16)
    else:
        from dialogue_gym.language_models import HttpModel

        # the first request of a server takes as long as its start
        model = HttpModel(VLLM, "tiny", tokenizer=str(folder), timeout_s=300, deadline_s=600)
    yield model
    model.close()


@pytest.fixture(scope="session")
def folder() -> Path:
    from dialogue_gym.language_models.tiny_model import tiny_model_path

    return tiny_model_path()


@pytest.fixture(scope="session")
def reference() -> Any:
    """The same weights in transformers."""
    from dialogue_gym.language_models.tiny_model import load_tiny_model

    return load_tiny_model()


@pytest.fixture(scope="session")
def figure() -> Iterator[Callable[..., None]]:
    """``figure(name, **values)`` prints what was measured and keeps it in ``figures-*.json``."""
    kept: dict[str, Any] = {}

    def keep(name: str, **values: Any) -> None:
        kept[name] = values
        print(f"\n{name}: {json.dumps(values)}")

    yield keep
    name = "process" if IN_PROCESS else "server"
    path = Path(os.environ["DIALOGUE_GYM_VLLM_LOGS"]) / f"figures-{name}.json"
    path.write_text(json.dumps(kept, indent=1) + "\n")
