"""``dialogue-gym realism-reward``: improve a calibrated user against a discriminator."""

from dataclasses import dataclass, fields
from pathlib import Path

from dialogue_gym.calibration.realism_reward import RewardSettings, improve
from dialogue_gym.cli.reading import read_dialogues


@dataclass
class RealismRewardSettings(RewardSettings):
    r"""Improve a calibrated user: it learns to say what a discriminator takes for people's.

    Give the logs that it was fitted to: the dialogues that the fit held out judge here as well. A round
    that makes people's turns less likely or words less diverse is refused, and the start is kept when no
    round helps. Judge the result by other dialogues: dialogue-gym realism.

    Examples:
      The user of `dialogue-gym calibrate --logs runs/people.jsonl --out runs/user`:
        dialogue-gym realism-reward --user runs/user --logs runs/people.jsonl --out runs/better-user
    """

    logs: tuple[Path, ...] = ()
    """The logs that the user was fitted to."""
    user: Path = Path("runs/user")
    """The calibrated user to start from; it stays as it is."""
    out: Path = Path("runs/better-user")
    """Folder to make; must not hold a calibrated user yet."""
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


def run(settings: RealismRewardSettings) -> int:
    """Read, improve, and say what came of it."""
    values = {field.name: getattr(settings, field.name) for field in fields(RewardSettings)}
    records = read_dialogues(settings.logs, strict=settings.strict, only_people=settings.only_people)
    print(improve(settings.user, records, settings.out, RewardSettings(**values)).summary())
    print(f"calibrated user: {settings.out}")
    return 0
