"""``dialogue-gym calibrate``: fit a user simulator to the users of logs."""

from dataclasses import dataclass, fields
from pathlib import Path

from dialogue_gym.calibration.fit import FitSettings, fit
from dialogue_gym.cli.reading import read_dialogues


@dataclass
class CalibrateSettings(FitSettings):
    r"""Fit a user simulator to the users of logs.

    Only the user's turns are learned, and when users leave. Logs may be in any form that `dialogue-gym
    import` reads; rows that cannot be read are named and left out. The folder holds safetensors, tokenizer
    and a manifest with the hash of the data, the settings and the held-out loss.

    Examples:
      The tiny model, a toy, on a log of the scripted user:
        dialogue-gym collect --dialogues 500 --out runs/people.jsonl
        dialogue-gym calibrate --logs runs/people.jsonl --out runs/user
      A larger model with an adapter, told only what people want:
        dialogue-gym calibrate --logs people.jsonl --model transformers:MODEL --condition intent \
          --lora-rank 16 --learning-rate 2e-4 --agent-tokens 128 --out runs/user
      Several GPUs:
        accelerate launch -m dialogue_gym.cli calibrate --logs ... --out ...
    """

    logs: tuple[Path, ...] = ()
    """Logs, or files in any format that `dialogue-gym import` knows."""
    out: Path = Path("runs/user")
    """Folder to make; must not hold a calibrated user yet. A killed run goes on when started again."""
    only_people: bool = False
    """Leave out dialogues whose user was a simulation."""
    strict: bool = False
    """Stop at the first row of the logs that cannot be read."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        super().__post_init__()
        if not self.logs:
            raise ValueError("no logs were given; --logs FILE would be right")


def run(settings: CalibrateSettings) -> int:
    """Read, fit, and say what came of it."""
    records = read_dialogues(settings.logs, strict=settings.strict, only_people=settings.only_people)
    values = {field.name: getattr(settings, field.name) for field in fields(FitSettings)}
    print(fit(records, settings.out, FitSettings(**values)).summary())
    print(f"calibrated user: {settings.out}")
    return 0
