"""``dialogue-gym realism``: how far a simulator is from the users of a log."""

import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dialogue_gym.calibration.realism import Realism, measure_realism
from dialogue_gym.calibration.samples import fingerprint
from dialogue_gym.cli.arguments import json_object
from dialogue_gym.cli.reading import read_dialogues
from dialogue_gym.files import write_whole
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout import load_policy, make_vector_env, play
from dialogue_gym.simulators import CalibratedUser, UserSimulator, simulators
from dialogue_gym.simulators.calibrated_folder import MANIFEST
from dialogue_gym.simulators.user_turns import kind_of


@dataclass
class RealismSettings:
    r"""Measure how far a user simulator is from the users of held-out dialogues.

    The simulator answers in the very contexts of the log. Every figure comes with an interval over dialogues
    and with the same figure for people against people. The folder gets realism.json and realism.html.

    Examples:
      The scripted user against the users of a log:
        dialogue-gym realism --simulator scripted --logs runs/held_out.jsonl --out runs/realism
      A calibrated user against people, read from SimulatorArena's own file:
        dialogue-gym realism --simulator calibrated --language-model FOLDER \
          --logs simulatorarena_math.json --out runs/realism
      With turn counts and outcomes: the simulator also plays the log's tasks with the log's policy:
        dialogue-gym realism --simulator prompted --language-model tiny --logs runs/rules.jsonl \
          --policy rule --out runs/realism
    """

    logs: tuple[Path, ...]
    """Held-out dialogues: logs, or files in any format that `dialogue-gym import` knows."""
    simulator: str = "scripted"
    """Who is measured: a registered name, such as "scripted", "prompted" or "calibrated"."""
    language_model: str | None = None
    """Its language model: "tiny", "transformers:PATH", a calibrated folder."""
    simulator_options: str = "{}"
    """More options of the simulator, a JSON object."""
    out: Path = Path("runs/realism")
    """Folder for realism.json and realism.html; made when it does not exist."""
    dialogues: tuple[Path, ...] = ()
    """What the simulator played with the same policy on the same tasks, for turn counts and outcomes."""
    policy: str | None = None
    """Instead of --dialogues: play the log's tasks with this policy ("rule", "tiny", "transformers:PATH")."""
    ask_rate: float | None = None
    """Only --policy rule: probability of asking, rather than guessing, while a fact is missing."""
    max_turns: int = 12
    """Only --policy: turn limit; that of the log."""
    resamples: int = 200
    """Bootstrap resamples of the dialogues."""
    splits: int = 16
    """Random halves that distances are averaged over."""
    batch: int = 64
    """Dialogues that the simulator is asked about at once."""
    seed: int = 0
    """Of the simulator's noise, the halves and the resamples."""
    strict: bool = False
    """Fail at the first bad row of a log instead of leaving it out."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        for name, least in (("resamples", 20), ("splits", 2), ("batch", 1), ("max_turns", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not self.logs:
            raise ValueError("no logs to compare with; give --logs FILE")
        if self.policy is not None and self.dialogues:
            raise ValueError("--dialogues and --policy are two ways to the same; give one of them")
        if self.ask_rate is not None and self.policy != "rule":
            raise ValueError("ask_rate is for --policy rule")
        json_object(self.simulator_options, "simulator_options")


def run(settings: RealismSettings) -> int:
    """Measure, print the table, and write both files.

    Raises:
        OSError: a file is missing, or the folder cannot be written.
        ValueError: a log without user turns, a bad name or option.
        ImportError: an extra is missing.
    """
    if (settings.out / MANIFEST).exists():  # another file in it would make the user unloadable
        raise ValueError(f"{settings.out}: holds a calibrated user; another folder would be right")
    records = read_dialogues(settings.logs, strict=settings.strict)
    simulator = _simulator(settings)
    if isinstance(simulator, CalibratedUser) and _fitted_to(simulator) == fingerprint(records):
        print("warning: the user was fitted to this very log; judge it by other dialogues", file=sys.stderr)
    settings.out.mkdir(parents=True, exist_ok=True)
    # in any language: a simulator that speaks another than people do must not be spared its dialogues
    free = read_dialogues(settings.dialogues, strict=settings.strict, languages="any")
    if settings.policy is not None:
        free = _play(settings, records, simulator)
    realism = _measure(settings, records, simulator, free)
    figures = json.dumps(realism.to_dict(), indent=2, ensure_ascii=False)
    write_whole(settings.out / "realism.json", figures + "\n")
    write_whole(settings.out / "realism.html", realism.to_html())
    print(realism.table())
    print(f"{settings.out / 'realism.html'}")
    return 0


def _fitted_to(user: CalibratedUser) -> str | None:
    found: str | None = user.manifest.get("data", {}).get("sha256")
    return found


def _simulator(settings: RealismSettings) -> UserSimulator:
    options = json_object(settings.simulator_options, "simulator_options")
    if settings.language_model is not None:
        options["language_model"] = settings.language_model
    return simulators.build({**options, "name": settings.simulator})


def _measure(
    settings: RealismSettings,
    records: Sequence[DialogueRecord],
    simulator: UserSimulator,
    free: Sequence[DialogueRecord],
) -> Realism:
    from tqdm import tqdm

    with tqdm(desc="realism", bar_format="{desc}: {postfix} [{elapsed}]", disable=None) as bar:
        return measure_realism(
            records,
            simulator,
            dialogues=free,
            resamples=settings.resamples,
            splits=settings.splits,
            seed=settings.seed,
            batch_size=settings.batch,
            progress=bar.set_postfix_str,
        )


def _play(
    settings: RealismSettings, records: Sequence[DialogueRecord], simulator: UserSimulator
) -> list[DialogueRecord]:
    """The log's tasks, played by the simulator and the policy.

    Raises:
        ValueError: the log has no tasks, or dialogues of several environments.
    """
    with_task = [record for record in records if record.task is not None]
    if not with_task:
        raise ValueError("--policy plays the log's tasks, but no dialogue of the log has one")
    environments = {record.env_id for record in with_task}
    if len(environments) > 1:
        raise ValueError(f"--policy plays one environment; the log has {', '.join(sorted(environments))}")
    env = make_vector_env(
        environments.pop(),
        min(settings.batch, len(with_task)),
        simulator=simulator,
        max_turns=settings.max_turns,
    )
    with closing(env):
        options = {} if settings.ask_rate is None else {"ask_rate": settings.ask_rate}
        trajectories = play(
            env,
            load_policy(settings.policy or "", kind_of(with_task[0]), **options),
            [record.task_seed for record in with_task],
            # other noise than the log's own users had
            [record.reply_seed + 1 + settings.seed for record in with_task],
            policy_seed=settings.seed,
            starts=[{"task": record.task, "messages": []} for record in with_task],
        )
    return [trajectory.record for trajectory in trajectories]
