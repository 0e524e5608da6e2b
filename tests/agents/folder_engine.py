"""An engine in this process that knows the trainer by the adapters that it saves, and faults to give it."""

from pathlib import Path
from typing import Any

from dialogue_gym.language_models import Completion, language_models
from dialogue_gym.language_models.transformers_engine import TransformersModel


class FolderEngine(TransformersModel):
    """A second model, whose adapter comes from a folder.

    Attributes:
        stale: whether it says that it has loaded an adapter, and goes on with the one before.
        shift: what it adds to the log-probabilities of what it samples.
        loaded: the folders, in order; those that it was given.
    """

    stale = False
    shift = 0.0

    def load_adapter(self, path: str | Path) -> None:
        before = getattr(self, "loaded", [])
        self.loaded = [*before, Path(path)]
        if not (self.stale and before):
            super().load_adapter(path)

    def generate(self, *arguments: Any) -> list[Completion]:
        completions = super().generate(*arguments)
        for completion in completions:
            completion.log_probs = [p + self.shift for p in completion.log_probs]
        return completions


made: list[FolderEngine] = []


def folder_engine(path: str, stale: bool = False, shift: float = 0.0) -> FolderEngine:
    engine: Any = FolderEngine.from_pretrained(path)
    engine.stale, engine.shift = stale, shift
    made.append(engine)
    return engine


language_models.register("folder", folder_engine)
