"""What every learner can be told: where its dialogues are, who plays the user, what it is compared on."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dialogue_gym.cli.arguments import json_object
from dialogue_gym.language_models.shown import shown_settings
from dialogue_gym.tasks.base import check_split


@dataclass(kw_only=True)
class CommonSettings:
    """Settings of all runs that train a policy and evaluate it before and after."""

    env: str = "MathChat-v0"
    """Environment id."""
    simulator: str = "scripted"
    """Who plays the user: a registered name."""
    language_model: str | None = None
    """Language model of the user ("tiny", "transformers:PATH"); None where the simulator needs none."""
    env_kwargs: str = "{}"
    """More keywords for the environment, as a JSON object."""
    max_turns: int = 12
    """Turn limit (evaluation uses the same)."""
    seed: int = 0
    """Seeds tasks, users and whatever the learner draws."""
    out: Path
    """Folder for what was learned, settings, figures and the evaluation."""
    eval_dialogues: int = 300
    """Dialogues before and after training, logged to ``before.jsonl`` and ``after.jsonl``; 0 for none."""
    eval_simulator: str = "scripted"
    """Who plays the user in them: the reference user, whoever the policy was trained with."""
    eval_split: str = "test"
    """Split of these dialogues: "train", "validation" or "test"."""
    resume: bool = False
    """Go on from the last checkpoint in ``out``; the other settings must be those of that run."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        json_object(self.env_kwargs, "env_kwargs")
        check_at_least(self, {"max_turns": 1, "seed": 0, "eval_dialogues": 0})
        check_split(self.eval_split)

    def described(self) -> dict[str, Any]:
        """What a run writes down of its settings, and what one that goes on must have in common with it.

        Texts that are passed on to servers and to vLLM may be keys: a short hash stands for each.
        """
        data: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return {name: _shown(value) for name, value in data.items()}


def _shown(value: Any) -> Any:
    """A setting as it is, unless it is a JSON object with what may be a key."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return value
    try:
        given = json.loads(value)
    except (ValueError, RecursionError):  # a name after all
        return value
    safe = shown_settings(given)
    return value if safe == given else json.dumps(safe)


def check_at_least(settings: object, least: Mapping[str, float]) -> None:
    """Refuse settings below their bound, and those that are no number; None is left alone.

    Args:
        settings: that has them.
        least: the bounds by name.

    Raises:
        ValueError: names the setting, its value and the bound.
    """
    for name, bound in least.items():
        if (value := getattr(settings, name)) is not None and not value >= bound:
            raise ValueError(f"{name} must be at least {bound}, got {value}")
