"""What was trained, as a policy that can be played, evaluated and logged like any other."""

import json
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dialogue_agents.sb3.models import CLASSES
from dialogue_agents.sb3.settings import SB3Settings
from dialogue_gym.language_models import Completion
from dialogue_gym.rollout import PolicyReply, PolicyRequest
from dialogue_gym.tasks.base import Kind
from dialogue_gym.wrappers import FeatureReader
from dialogue_gym.wrappers.acts import Acts, build_acts


class ActsPolicy:
    """Reads the features of a dialogue, takes the act that the model prefers, and words it.

    Args:
        model: a learner of Stable-Baselines3 whose actions are the numbers of ``acts``.
        acts: as in training.
        read: the features, as in training.
        max_turns: the turn limit of the dialogues, from which the turns left are counted.
    """

    def __init__(self, model: Any, acts: Acts, read: FeatureReader, max_turns: int) -> None:
        self.model, self.acts, self.read, self.max_turns = model, acts, read, max_turns

    def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
        """One call of the network, and one of the language model where one words the acts."""
        conversations = [request.conversation for request in requests]
        features = np.stack([self.read(c, self.max_turns - len(c) // 2) for c in conversations])
        chosen, _ = self.model.predict(features, deterministic=True)
        return [_reply(said) for said in self.acts.render(conversations, chosen.tolist())]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Nothing to forget."""

    def identity(self) -> dict[str, Any]:
        """Algorithm, acts and features."""
        return {
            "name": "sb3",
            "algorithm": type(self.model).__name__,
            "acts": self.acts.identity(),
            "features": list(self.read.features),
        }


def load_policy(folder: Path) -> ActsPolicy:
    """The policy that a run has left in its folder.

    Raises:
        FileNotFoundError: there is none.
    """
    for name in ("settings.json", "policy.zip"):
        if not (folder / name).exists():
            raise FileNotFoundError(f"no policy of dialogue_agents.sb3 at {str(folder)!r}: {name} is missing")
    settings = SB3Settings(**json.loads((folder / "settings.json").read_text()))
    model = CLASSES[settings.algorithm].load(folder / "policy.zip", device="cpu")
    kind: Kind = json.loads((folder / "result.json").read_text())["kind"]
    return ActsPolicy(model, build_acts(None, kind, settings.acts_model), FeatureReader(), settings.max_turns)


def _reply(said: Completion) -> PolicyReply:
    failed = said.finish_reason in ("error", "overflow")
    return PolicyReply(
        said.text,
        error=(said.error or said.finish_reason) if failed else None,
        overflow=said.finish_reason == "overflow",
    )
