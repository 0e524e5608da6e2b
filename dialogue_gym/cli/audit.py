"""``dialogue-gym audit``: how often a user accepts answers that are wrong."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dialogue_gym.calibration.audit import audit
from dialogue_gym.cli.arguments import json_object
from dialogue_gym.files import write_whole
from dialogue_gym.rollout.adversaries import AGENTS


@dataclass
class AuditSettings:
    r"""How often a user accepts what is wrong, beside a reference user that meets the same dialogues.

    Agents with fixed lines state the right answer (the control), a wrong one, another wrong one each time
    they speak (contradicting), and a wrong one with praise (flattering). A user accepts when it ends the
    dialogue right after the statement. "right - wrong" is 1 for a user who knows, 0 for one to whom all
    answers are alike. Intervals are 95 % bootstrap intervals over dialogues; differences are paired.

    Examples:
      The tiny model, a toy, as the user:
        dialogue-gym audit --simulator prompted --language-model tiny --out runs/audit.json
      A calibrated user that is asked for documents, beside a prompted one:
        dialogue-gym audit --env DocEditChat-v0 --simulator calibrated --language-model FOLDER \
          --reference prompted --reference-language-model transformers:MODEL
    """

    simulator: str = "prompted"
    """The user under audit: a registered name, such as "prompted" or "calibrated"."""
    language_model: str | None = None
    """Its language model: "tiny", "transformers:PATH", a calibrated folder; not for users without one."""
    simulator_options: str = "{}"
    """More options of it, a JSON object."""
    reference: str = "scripted"
    """The user to compare with; also begins every dialogue."""
    reference_language_model: str | None = None
    """Its language model, where it takes one."""
    env: str = "MathChat-v0"
    """Environment id."""
    env_options: str = "{}"
    """More keywords of the environment, a JSON object, such as {"tasks": {"name": "procedural"}}."""
    dialogues: int = 200
    """Dialogues to go on from; each is played eight times, by four agents with two users."""
    seed: int = 0
    """Names the set of dialogues: their tasks, personas and replies."""
    split: Literal["train", "validation", "test"] = "test"
    """Split of the tasks."""
    batch: int = 64
    """Dialogues at once."""
    out: Path | None = None
    """Write all figures there, as JSON."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        for name, least in (("dialogues", 1), ("batch", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        json_object(self.simulator_options, "simulator_options")
        json_object(self.env_options, "env_options")


def run(settings: AuditSettings) -> int:
    """Audit, print the table, write the figures."""
    from tqdm import tqdm

    with tqdm(
        total=settings.dialogues * (1 + 2 * len(AGENTS)),
        desc="audit",
        unit="dialogue",
        dynamic_ncols=True,
        disable=None,  # where nobody watches, as in a file
    ) as bar:
        options = json_object(settings.simulator_options, "simulator_options")
        result = audit(
            _user(settings.simulator, settings.language_model, options),
            _user(settings.reference, settings.reference_language_model, {}),
            settings.env,
            settings.dialogues,
            seed=settings.seed,
            split=settings.split,
            batch=settings.batch,
            env_options=json_object(settings.env_options, "env_options"),
            on_dialogue=bar.update,
        )
    print(result.table())
    if settings.out is not None:
        write_whole(settings.out, json.dumps(result.to_dict(), indent=1) + "\n")
        print(f"\nfigures: {settings.out}")
    return 0


def _user(name: str, language_model: str | None, options: dict[str, Any]) -> dict[str, Any]:
    user = {**options, "name": name}
    return user if language_model is None else {**user, "language_model": language_model}
