"""Everything that can be set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.throughput.measuring import Device
from dialogue_gym.language_models import named_language_model

Section = Literal["environment", "rollouts", "turns", "precision", "training", "servers"]
SECTIONS: tuple[Section, ...] = ("environment", "rollouts", "turns", "precision", "training", "servers")
Model = Literal["tiny", "4M", "Qwen3-4B", "Qwen2.5-7B"]
DType = Literal["float32", "bfloat16"]


@dataclass(kw_only=True)
class Settings:
    """Speed, measured in pairs: environments, rollouts, turns, precision, training, servers.

    Each section's figures go to OUT/SECTION.json when it is done; the same command goes on after the last
    finished section. A plot of all sections is OUT/throughput.png.
    """

    sections: tuple[Section, ...] = SECTIONS
    """What to measure."""
    rounds: int = 7
    """Measurements of everything, each round all of it in turn; medians count."""
    device: Device = "cpu"
    """Where models run."""
    dtype: DType = "float32"
    """rollouts, turns: the models' precision; precision measures both."""
    out: Path = Path("runs/throughput")
    """Folder for figures and plot."""
    again: bool = False
    """Measure sections anew that are done."""
    install: bool = True
    """Install peers that are missing (from PyPI), each in an environment of its own under OUT/peers."""
    rows: int = 64
    """environment: rows of vector environments."""
    models: tuple[Model, ...] = ("tiny", "4M")
    """rollouts, turns, precision: the shipped tiny model, or random weights: of 4.5 million parameters, or in
    the shapes of Qwen3-4B and Qwen2.5-7B."""
    batches: tuple[int, ...] = (1, 4, 16, 64)
    """rollouts: dialogues at once."""
    turn_batches: tuple[int, ...] = (8,)
    """turns: dialogues at once."""
    horizon: int = 21
    """turns: how many."""
    precision_batches: tuple[int, ...] = (1, 8)
    """precision: dialogues at once."""
    clients: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    """servers: dialogues at once."""
    faults: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2)
    """servers: shares of calls that fail."""
    latency: float = 0.1
    """servers: seconds before each answer of the fake server."""
    server: str | None = None
    """servers: a real one, such as "http://localhost:8000/v1#MODEL", in place of the fake one; that alone
    has faults and a latency."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        for name in ("rounds", "rows", "horizon"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("batches", "turn_batches", "precision_batches", "clients"):
            if any(value < 1 for value in getattr(self, name)):
                raise ValueError(f"{name} must all be at least 1, got {getattr(self, name)}")
        for name in (
            "sections",
            "models",
            "batches",
            "turn_batches",
            "precision_batches",
            "clients",
            "faults",
        ):
            if not getattr(self, name):
                raise ValueError(f"{name} must name at least one")
        if any(not 0 <= share < 1 for share in self.faults):
            raise ValueError(f"faults must be shares from 0 to below 1, got {self.faults}")
        if not self.latency >= 0:
            raise ValueError(f"latency must be 0 or more seconds, got {self.latency}")
        if self.server is not None and named_language_model(self.server)["name"] != "http":
            raise ValueError(f"server must be like http://HOST:PORT/v1#MODEL, got {self.server!r}")
        if self.device == "cuda":
            _require_cuda()
        if any(name not in ("tiny", "4M") for name in self.models):
            _require_memory(self)


def _require_cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        raise ValueError("device is cuda, but torch finds no CUDA device here; leave --device out")


def _require_memory(settings: Settings) -> None:
    from benchmarks.throughput.models import lacks_memory

    for name in settings.models:
        if problem := lacks_memory(name, settings.device, settings.dtype):
            raise ValueError(f"models: {problem}")
