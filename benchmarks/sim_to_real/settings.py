"""Settings of the study, and presets: files of settings."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from dialogue_gym.cli.arguments import json_object
from dialogue_gym.registry import nearest

PRESETS = Path(__file__).parent / "presets"
ARMS = (
    "base",
    "static final",
    "static all",
    "static look-ahead",
    "naive",
    "calibrated",
    "recalibrated",
    "oracle",
)


PARTS = ("learner", "static", "look_ahead", "fit")


@dataclass
class StudySettings:
    """Five ways to train, and ours, judged by users that four of them never met."""

    preset: str = "tiny"
    """Where settings begin: a name of a preset, or a JSON file of these settings; options here go first."""
    env: str = "MathChat-v0"
    """Environment id."""
    seeds: int = 3
    """Repetitions, each with a reference population of its own."""
    first_seed: int = 0
    """Where to begin counting them."""
    arms: tuple[str, ...] = ARMS
    """Which ways to train."""
    strength: float = 1.0
    """How far naive users are from the reference: 0 not at all, 1 as cooperative as prompted users are."""
    policy: str = "tiny"
    """The base policy: "tiny" or what transformers can load."""
    user: str = "tiny"
    """Where fits of users begin: likewise."""
    logs: int = 500
    """Dialogues of the base policy with the reference; static contexts and calibration have these alone."""
    eval_dialogues: int = 300
    """Held-out dialogues that judge each policy, for each user that judges."""
    eval_split: str = "test"
    """Split of their tasks."""
    learner: str = "{}"
    """Settings that all learners share, as a JSON object such as '{"steps": 60}'."""
    static: str = "{}"
    """Settings of learners on static contexts besides."""
    look_ahead: str = "{}"
    """Settings of the learner with look-ahead besides."""
    fit: str = "{}"
    """Settings of all fits."""
    workers: int = 2
    """Processes; stages that need nothing of each other run side by side."""
    out: Path = Path("runs/sim_to_real")
    """Folder of stages and the report; finished stages found there are used again."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        for arm in self.arms:
            if arm not in ARMS:
                raise ValueError(f"unknown arm {arm!r}: {nearest(arm, ARMS)}")
        for name in ("seeds", "logs", "eval_dialogues", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must be a share from 0 to 1, got {self.strength}")

        for name in PARTS:
            self.part(name)

    def part(self, name: str) -> dict[str, Any]:
        """One of the settings that are JSON objects.

        Raises:
            ValueError: it is none.
        """
        return json_object(getattr(self, name), name)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; without what changes no figure."""
        plain = {k: v for k, v in asdict(self).items() if k not in ("workers", "out", "preset")}
        return {**plain, **{name: self.part(name) for name in PARTS}}


def read_preset(name: str) -> dict[str, Any]:
    """The settings of a preset.

    Raises:
        ValueError: no such preset, no JSON object, or a key that is no setting.
    """
    path = Path(name) if name.endswith(".json") else PRESETS / f"{name}.json"
    if not path.is_file():
        known = sorted(p.stem for p in PRESETS.glob("*.json"))
        raise ValueError(f"unknown preset {name!r}: {nearest(name, known)}, or a JSON file of settings")
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    if not isinstance(given, dict):
        raise ValueError(f"{path}: a JSON object of settings would be right")
    known = [f.name for f in fields(StudySettings) if f.name != "preset"]
    for key in given:
        if key not in known:
            raise ValueError(f"{path}: unknown setting {key!r}: {nearest(key, known)}")
    if "arms" in given:
        given["arms"] = tuple(given["arms"])
    return {key: json.dumps(value) if key in PARTS else value for key, value in given.items()}
