"""Everything that can be set in a run of the bandit."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dialogue_agents.turn_rewards import reward_spec
from dialogue_gym.cli.arguments import json_object
from dialogue_gym.registry import nearest
from dialogue_gym.tasks.base import check_split

ALGORITHMS = {"linucb": 1.0, "thompson": 0.3}
"""By name, and how much each tries out where it is not told."""
_AT_LEAST = {
    **dict.fromkeys(("dialogues", "batch_size", "max_turns", "max_tokens"), 1),
    **dict.fromkeys(("seed", "eval_dialogues", "exploration", "temperature"), 0),
}


@dataclass(kw_only=True)
class BanditSettings:
    """Learn which of a few ways to lead a dialogue suits its opening; nothing else is learned."""

    algorithm: str = "linucb"
    """"linucb" (Li et al. 2010, arXiv 1003.0146) or "thompson" (Agrawal and Goyal 2013, arXiv 1209.3352)."""
    env: str = "MathChat-v0"
    """Environment id."""
    simulator: str = "scripted"
    """Who plays the user: a registered name."""
    language_model: str | None = None
    """Language model of the user ("tiny", "transformers:PATH"); None where the simulator needs none."""
    env_kwargs: str = "{}"
    """More keywords for the environment, as a JSON object."""
    policy: str = "acts"
    """Who answers, and is not trained: "acts", worded by a program that knows the procedural tasks; "rule";
    or a language model ("tiny", "http://HOST:PORT/v1#MODEL")."""
    arms: str = "{}"
    """What there is to choose from, as a JSON object: by name, a system prompt for a language model, how
    many questions "acts" asks before it answers, or an object of the policy's options; {} for ours."""
    exploration: float | None = None
    """How much is tried out: LinUCB's alpha (1 if None), or Thompson sampling's v (0.3 if None)."""
    reward: str | None = None
    """What is learned from in place of the score: a turn reward, or a JSON object of its name and options;
    a dialogue counts with the sum. None: the score, which figures show in any case."""
    dialogues: int = 1500
    """Training dialogues."""
    batch_size: int = 32
    """Dialogues played together; the bandit learns between batches."""
    max_turns: int = 12
    """Turn limit (evaluation uses the same)."""
    max_tokens: int = 64
    """Tokens per message; only language models."""
    temperature: float = 1.0
    """Sampling temperature; only language models."""
    seed: int = 0
    """Seeds tasks, users and choices."""
    out: Path = Path("runs/bandit")
    """Folder for what was learned, settings, figures and the evaluation."""
    eval_dialogues: int = 300
    """Dialogues before and after training, logged to ``before.jsonl`` and ``after.jsonl``; 0 for none."""
    eval_simulator: str = "scripted"
    """Who plays the user in them: the reference user, whoever the bandit was trained with."""
    eval_split: str = "test"
    """Split of these dialogues: "train", "validation" or "test"."""
    resume: bool = False
    """Go on with the run in ``out``; the other settings must be those of that run."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"unknown algorithm {self.algorithm!r}: {nearest(self.algorithm, ALGORITHMS)}")
        for name in ("env_kwargs", "arms"):
            json_object(getattr(self, name), name)
        for name, least in _AT_LEAST.items():
            if (value := getattr(self, name)) is not None and not value >= least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.reward is not None:
            reward_spec(self.reward)
        check_split(self.eval_split)

    @property
    def explored(self) -> float:
        """``exploration``, or what stands for None."""
        return ALGORITHMS[self.algorithm] if self.exploration is None else self.exploration

    def described(self) -> dict[str, Any]:
        """What a run writes down of its settings, and what one that goes on must have in common with it."""
        data: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return data
