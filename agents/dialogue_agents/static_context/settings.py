"""Everything that can be set in a run on logged contexts."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from dialogue_agents.grpo.settings import LearnerSettings


@dataclass(kw_only=True)
class StaticContextSettings(LearnerSettings):
    """Train replies to logged contexts; defaults are those of the page beside this file."""

    logs: Path
    """A log of dialogues with their tasks, as ``dialogue-gym collect`` writes it."""
    contexts: Literal["final", "all"] = "final"
    """What is a prompt: the dialogue before its last logged reply ("final"), or before every one ("all")."""
    look_ahead: int = 0
    """0: the reward is the score of the dialogue as it stands with the reply. k: the mean over k
    continuations with a simulated user."""
    window: int = 2
    """Only with look_ahead: turns that a continuation may have, within max_turns."""
    out: Path = Path("runs/static_context")
    """Folder for checkpoints, metrics, settings and the evaluation."""
    simulator: str = "scripted"
    """Only with look_ahead: who plays the user in continuations; a registered name."""
    max_turns: int = 6
    """Turn limit of continuations and of the evaluation; contexts may be longer."""
    groups: int = 16
    """Contexts an update (per process)."""
    group_size: int = 8
    """Replies to a context."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        super().__post_init__()
        for name, least in (("look_ahead", 0), ("window", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.look_ahead and self.reward is not None:
            raise ValueError(f"look_ahead is a reward of its own: leave it out with reward {self.reward!r}")

    def described(self) -> dict[str, Any]:
        """The settings, and what stands in the log, so that no run goes on with another one."""
        digest = blake2b(self.logs.read_bytes(), digest_size=8).hexdigest()
        return {**super().described(), "content of logs": digest}
