"""Rounds of the realism reward: what each gave is judged, and the best within bounds is kept."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dialogue_gym.calibration.realism_reward.judging import Standing, judge
from dialogue_gym.calibration.realism_reward.learning import learn
from dialogue_gym.calibration.realism_reward.pairs import preference_rows
from dialogue_gym.calibration.realism_reward.settings import RewardSettings
from dialogue_gym.calibration.samples import check_enough, describe, split_dialogues
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.calibrated import CalibratedUser
from dialogue_gym.simulators.calibrated_folder import (
    MANIFEST,
    check_free,
    claim,
    file_hash,
    publish,
    read_manifest,
    write_manifest,
)


@dataclass
class Improvement:
    """What came of it.

    Attributes:
        folder: the new calibrated folder.
        manifest: what its manifest says.
    """

    folder: Path
    manifest: dict[str, Any] = field(repr=False)

    def summary(self) -> str:
        """A few lines for people."""
        metrics = self.manifest["metrics"]
        lines = [f"start    {_line(metrics['before'])}"]
        lines += [
            f"round {r['round']}  {_line(r['standing'])}; {r['pairs']} pairs; "
            f"{r['refused'] or 'within bounds'}"
            for r in metrics["rounds"]
        ]
        kept = metrics["kept_round"]
        return "\n".join([*lines, f"kept: {f'round {kept}' if kept else 'the start, unchanged'}"])


def _line(standing: dict[str, float]) -> str:
    return (
        f"fresh AUC {standing['auc']:.3f}, {standing['nats']:.3f} nats a turn, "
        f"distinct-2 {standing['distinct_2']:.3f} (first turns {standing['first_turn_distinct_2']:.3f})"
    )


def improve(
    folder: str | Path,
    records: Sequence[DialogueRecord],
    out: str | Path,
    settings: RewardSettings | None = None,
) -> Improvement:
    """Improve a calibrated user by the realism reward and write it to a new folder.

    The records must be those of the folder's fit and are split as it split them, so that the dialogues that
    judge are new to the user as well. Of the rounds within the bounds the one with the lowest held-out AUC
    is kept (or the last, by setting), else the start. That choice uses the held-out dialogues: for a figure
    to report, judge by dialogues that were not among the records.

    Args:
        folder: what ``dialogue-gym calibrate`` wrote.
        records: the dialogues that the folder was fitted to.
        out: a folder to make.
        settings: see there.

    Raises:
        ValueError: a folder that is no calibrated user or is taken, or other records.
    """
    settings, folder, out = settings or RewardSettings(), Path(folder), Path(out)
    check_free(out)
    parent, data = read_manifest(folder), describe(records)
    if data["sha256"] != parent["data"]["sha256"]:  # what held-out dialogues are would be unknown
        raise ValueError(f"{folder} was fitted to other dialogues; the same logs and options would be right")
    check_enough(records)
    train, held = split_dialogues(records, parent["settings"]["held_out"], parent["settings"]["seed"])
    started = time.process_time()
    given = {"parent_sha256": file_hash(folder / MANIFEST), "data": data, "settings": asdict(settings)}
    work = claim(out, given)
    best, metrics = _rounds(folder, train, held, work, settings, parent)
    made = work / "user"
    made.mkdir(exist_ok=True)
    for name in read_manifest(best)["files"]:
        shutil.copyfile(best / name, made / name)
    metrics["cpu_seconds"] = round(time.process_time() - started, 1)
    content = {
        **_inherited(parent),
        "realism_reward": given,
        "metrics": metrics,
        "versions": {name: version(name) for name in ("dialogue-gym", "torch", "transformers", "trl")},
    }
    return Improvement(out, publish(out, made, content))


def _inherited(parent: dict[str, Any]) -> dict[str, Any]:
    return {name: parent[name] for name in ("model", "user_side", "codec", "data", "settings")}


def _rounds(
    start: Path,
    train: Sequence[DialogueRecord],
    held: Sequence[DialogueRecord],
    work: Path,
    settings: RewardSettings,
    parent: dict[str, Any],
) -> tuple[Path, dict[str, Any]]:
    """The folder of the best round, or of the start, and what the manifest says of all."""
    before, people = judge(CalibratedUser(start), held, settings.seed)
    best, best_standing, kept = start, before, 0
    rounds = []
    for number in range(1, settings.rounds + 1):
        candidate = work / f"round-{number}"
        user = CalibratedUser(best)
        rows, counts = preference_rows(user, train, settings, number)
        learn(user, rows, candidate, settings, NoiseKey(("realism reward", settings.seed, number)))
        write_manifest(candidate, _inherited(parent))
        standing, _ = judge(CalibratedUser(candidate), held, settings.seed)
        refused = _why_refused(standing, before, people, settings)
        rounds.append({"round": number, **counts, "standing": asdict(standing), "refused": refused})
        if not refused and (settings.keep == "last" or standing.auc < best_standing.auc):
            best, best_standing, kept = candidate, standing, number
    return best, {
        "before": asdict(before),
        "after": asdict(best_standing),
        "people": people,
        "rounds": rounds,
        "kept_round": kept,
        "held_out_dialogues": len(held),
    }


def _why_refused(
    now: Standing, before: Standing, people: dict[str, float], settings: RewardSettings
) -> str | None:
    """What a round made worse than the tolerances allow; None when nothing."""
    if now.nats > before.nats + settings.nats_tolerance:
        return f"refused: {now.nats - before.nats:.3f} nats a turn more"
    for name, theirs in people.items():
        floor = min(getattr(before, name), theirs) * (1 - settings.diversity_tolerance)
        if getattr(now, name) < floor:  # False for NaN: the log shows no first turn
            return f"refused: {name} {getattr(now, name):.3f}, at least {floor:.3f} is asked for"
    return None
