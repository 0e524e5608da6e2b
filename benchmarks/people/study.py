"""Five folds by dialogue: fit on four, score the turns of the fifth with every arm, keep it all as JSON."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.people.arms import Arm, Scores, bank_arm, model_arm, ngram_arm
from benchmarks.people.baselines import FewShotUser, TurnBank
from benchmarks.people.dialogues import Dialogue, fold_of
from benchmarks.people.ngram import fit_ngram
from dialogue_gym.calibration.fit import FitSettings, fit
from dialogue_gym.calibration.samples import fingerprint
from dialogue_gym.files import write_whole
from dialogue_gym.language_models import load_language_model
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.calibrated import CalibratedUser
from dialogue_gym.simulators.calibrated_folder import MANIFEST
from dialogue_gym.simulators.user_side import Condition
from dialogue_gym.simulators.user_turns import UserTurn


@dataclass
class PeopleSettings:
    """Does a user calibrated on people's logs predict other people better than a prompt does?

    Example: python -m benchmarks.people --model runs/smollm2 --logs people.json --out runs/people
    """

    logs: tuple[str, ...]
    """Files of people's dialogues, of any format that `dialogue-gym import` reads; one study's people."""
    model: str = "runs/smollm2"
    """The model that plays the user: "tiny", or a folder that transformers can load."""
    out: str = "runs/people"
    """Folder of the results; a study that was killed goes on where it stopped."""
    folds: int = 5
    """Each dialogue is judged once, by what was fitted to the other folds."""
    conditions: tuple[Condition, ...] = ("intent", "none")
    """What calibrated users are told; the prompted ones are always told the intent."""
    examples: int = 6
    """Real turns that the few-shot prompt shows."""
    agent_tokens: int = 32
    """Agents' messages are cut to this many tokens for all users, beginning and end; 0 keeps all."""
    ranked: int = 2
    """Turns a dialogue that are also compared with a random turn of somebody else."""
    epochs: float = 2
    """Passes over the training dialogues."""
    learning_rate: float = 5e-4
    """Peak of the schedule."""
    lora_rank: int = 8
    """Rank of the adapter; 0 trains all weights."""
    batch_size: int = 4
    """Dialogues an update."""
    micro_batch: int = 1
    """Dialogues a forward pass."""
    max_length: int = 1024
    """Turns that end beyond this many tokens teach nothing; they are judged like all others."""
    evaluations: int = 2
    """Looks at held-out training dialogues, for early stopping."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the model, in fitting and in scoring."""
    seed: int = 0
    """Seeds folds, examples and fits."""
    user: str = "unknown"
    """Who spoke as the user in plain chat files: "people" where people did."""
    env: str | None = None
    """The environment of plain chat files: MathChat-v0 or DocEditChat-v0."""


def run_folds(
    settings: PeopleSettings, dialogues: Sequence[Dialogue], say: Callable[[str], None] = print
) -> None:
    """Score every dialogue with every arm; what is in the folder already is not done again.

    Raises:
        ValueError: the folder holds results of other settings or dialogues, or a fold has too few turns.
    """
    out = Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    _same_study(out, settings, dialogues)
    places = fold_of(dialogues, settings.folds, settings.seed)
    base: list[Any] = []  # loaded once, when it is first needed
    for number in range(settings.folds):
        fold = _Fold(settings, out / f"fold-{number}", number, dialogues, places, base)
        for name, build in fold.arms().items():
            path = fold.folder / f"{name}.json"
            if path.exists():
                continue
            started = time.process_time()
            arm = build()
            fitted = time.process_time() - started
            scores = fold.score(arm)
            judged = time.process_time() - started - fitted
            write_json(path, {"scores": scores, "fit_cpu_seconds": fitted, "score_cpu_seconds": judged})
            say(f"fold {number}, {name}: fitted in {fitted:.0f} CPU s, judged in {judged:.0f}")


class _Fold:
    """One fold: its training and test dialogues, and the arms fitted to the former."""

    def __init__(
        self,
        settings: PeopleSettings,
        folder: Path,
        number: int,
        dialogues: Sequence[Dialogue],
        places: dict[str, int],
        base: list[Any],
    ) -> None:
        self.settings, self.folder, self.number, self.base = settings, folder, number, base
        self.train = [d for d in dialogues if places[d.name] != number]
        self.test = [d for d in dialogues if places[d.name] == number]
        folder.mkdir(exist_ok=True)

    def arms(self) -> dict[str, Callable[[], Arm]]:
        """How to make each arm, by name."""
        conditions = {f"calibrated-{c}": lambda c=c: self._calibrated(c) for c in self.settings.conditions}
        return {
            "ngram": lambda: ngram_arm(self._ngram()),
            "bank": self._bank,
            "prompted": lambda: self._prompted(()),
            "few-shot": lambda: self._prompted(self._examples()),
            **conditions,
        }

    def score(self, arm: Arm) -> dict[str, Any]:
        """The scores of each test dialogue, by its name; of those that are too long, None."""
        scores = {d.name: arm(d, self._others(d)) for d in self.test}
        return {name: asdict(score) if score else None for name, score in scores.items()}

    def _ngram(self) -> Any:
        return fit_ngram([[turn.reply.text for turn in d.said] for d in self.train])

    def _bank(self) -> Arm:
        turns = [(turn.reply.text, turn.is_opening) for d in self.train for turn in d.said]
        return bank_arm(TurnBank(turns, self._ngram()))

    def _prompted(self, examples: Sequence[UserTurn]) -> Arm:
        if not self.base:
            name = self.settings.model
            source = {"name": "transformers", "path": name, "dtype": self.settings.dtype}
            with quiet():
                self.base.append(load_language_model(name if name == "tiny" else source))
        return model_arm(FewShotUser(self.base[0], examples), self.settings.agent_tokens)

    def _examples(self) -> list[UserTurn]:
        """Turns of different training dialogues, drawn at random."""
        order = (
            NoiseKey(("examples", self.settings.seed, self.number)).generator().permutation(len(self.train))
        )
        drawn = [self.train[i] for i in order[: self.settings.examples]]
        return [NoiseKey(("example", self.settings.seed, d.name)).choice(d.said) for d in drawn]

    def _calibrated(self, condition: Condition) -> Arm:
        folder = self.folder / f"user-{condition}"
        if not (folder / MANIFEST).exists():
            fit([d.record for d in self.train], folder, self._fit_settings(condition))
        with quiet():
            return model_arm(CalibratedUser(folder))

    def _fit_settings(self, condition: Condition) -> FitSettings:
        names = ("model", "agent_tokens", "max_length", "lora_rank", "dtype", "learning_rate", "epochs")
        shared = {
            name: getattr(self.settings, name) for name in (*names, "batch_size", "evaluations", "seed")
        }
        shared |= {"micro_batch": self.settings.micro_batch, "embedding_noise": 0.0, "cpu": True}
        return FitSettings(condition=condition, **shared)

    def _others(self, dialogue: Dialogue) -> list[UserTurn]:
        """For the first turns, one that another person of this fold said at such a place.

        Of this fold, so that no arm has learned it.
        """
        others = []
        for turn in dialogue.said[: self.settings.ranked]:
            said = [
                other
                for d in self.test
                if d.data == dialogue.data and d.group != dialogue.group
                for other in d.said
                if other.is_opening == turn.is_opening and other.reply.text != turn.reply.text
            ]
            if not said:
                break
            others.append(NoiseKey(("other", self.settings.seed, dialogue.name, turn.index)).choice(said))
        return others


def read_scores(settings: PeopleSettings) -> dict[str, dict[str, Scores]]:
    """The scores of all folds, by arm and dialogue; without dialogues that an arm could not score."""
    scores: dict[str, dict[str, Scores]] = {}
    for path in sorted(Path(settings.out).glob("fold-*/*.json")):
        found = json.loads(path.read_text())["scores"]
        scores.setdefault(path.stem, {}).update({n: Scores(**score) for n, score in found.items() if score})
    common = set.intersection(*(set(own) for own in scores.values()))
    return {arm: {name: own[name] for name in common} for arm, own in scores.items()}


def write_json(path: Path, content: Any) -> None:
    """All of it or nothing."""
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _same_study(out: Path, settings: PeopleSettings, dialogues: Sequence[Dialogue]) -> None:
    """Refuse to mix results of different studies."""
    study = {**asdict(settings), "data": fingerprint([d.record for d in dialogues])}
    for name in ("logs", "out", "model"):  # may be written differently for the same files
        del study[name]
    path, text = out / "study.json", json.dumps(study, indent=1)
    if path.exists() and path.read_text() != text:
        raise ValueError(
            f"{out} holds a study with other settings or dialogues; another --out would be right"
        )
    write_whole(path, text)
