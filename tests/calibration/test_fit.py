"""Fitting the tiny model to a few dozen scripted dialogues, for a few steps."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from transformers import TrainerCallback

from dialogue_gym.calibration import fit as fitting
from dialogue_gym.calibration.fit import FitSettings, fit
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.language_models.tiny_model import tiny_model_path
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout import RulePolicy, evaluate
from dialogue_gym.simulators.calibrated import CalibratedUser
from dialogue_gym.simulators.calibrated_folder import read_manifest, weights_hash
from dialogue_gym.simulators.user_turns import user_turns

SETTINGS = FitSettings(
    epochs=1, batch_size=16, learning_rate=1e-3, embedding_noise=0, evaluations=2, held_out=0.25, cpu=True
)


def play(n: int) -> list[DialogueRecord]:
    records: list[DialogueRecord] = []

    def collect(trajectory: Any) -> None:
        records.append(trajectory.record)

    env = DialogueVectorEnv("math", 32, "Disabled", max_turns=3)
    evaluate(env, RulePolicy("math"), n, on_dialogue=collect)
    return records


def weights(folder: Path) -> dict[str, str]:
    """The hash of each weights file."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*.safetensors"))
    }


@pytest.fixture(scope="module")
def records() -> list[DialogueRecord]:
    return play(60)


@pytest.fixture(scope="module")
def folder(records: Sequence[DialogueRecord], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fit") / "user"
    fit(records, folder, SETTINGS)
    return folder


def test_it_learns_and_says_so(folder: Path, records: Sequence[DialogueRecord]) -> None:
    manifest = read_manifest(folder)
    metrics, data = manifest["metrics"], manifest["data"]
    assert metrics["loss_after"] < metrics["loss_before"] - 0.1
    assert data["dialogues"] == 60
    assert data["dialogues_of_people"] == 0
    assert data["sources"] == ["scripted"]
    assert data["train"]["samples"] + data["held_out"]["samples"] == data["user_turns"]
    assert manifest["settings"] == asdict(SETTINGS)
    assert not (folder / "work").exists()


def test_the_loss_is_the_mean_over_the_tokens_that_users_write(
    folder: Path, records: Sequence[DialogueRecord]
) -> None:
    user = CalibratedUser(folder)
    _, held = fitting.split_dialogues(records, SETTINGS.held_out, SETTINGS.seed)
    turns = [turn for record in held for turn in user_turns(record)]
    ids = [user.side.reply_ids(user.codec, turn.reply.text, turn.reply.stop) for turn in turns]
    scores = [s for row in user.score([turn.request for turn in turns], ids) for s in row]
    manifest = read_manifest(folder)
    assert len(scores) == manifest["data"]["held_out"]["learned_tokens"]
    if len(held) <= SETTINGS.batch_size:  # one batch: the trainer's mean over batches is the mean
        assert -sum(scores) / len(scores) == pytest.approx(manifest["metrics"]["loss_after"], abs=1e-3)


def test_it_repeats_and_never_reads_the_persona(
    folder: Path, records: Sequence[DialogueRecord], tmp_path: Path
) -> None:
    nobody = [replace(r, persona=None, turns_metadata=[], metrics={}, reward=None) for r in records]
    fit(nobody, tmp_path / "again", SETTINGS)
    assert weights(tmp_path / "again") == weights(folder)


class Killed(Exception):
    """Stands for a kill."""


class KillAfter(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise Killed


def test_a_killed_run_goes_on_as_if_it_had_not_been(
    folder: Path, records: Sequence[DialogueRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "killed"
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "progress_bar", lambda: KillAfter(2))
        with pytest.raises(Killed):
            fit(records, out, SETTINGS)
    assert list((out / "work").glob("checkpoint-*"))
    with pytest.raises(ValueError, match="no calibrated user here"):
        read_manifest(out)
    with pytest.raises(ValueError, match="unfinished run of other data or settings"):
        fit(records, out, replace(SETTINGS, seed=1))
    steps: list[int] = []

    class Count(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            steps.append(state.global_step)

    monkeypatch.setattr(fitting, "progress_bar", Count)
    fit(records, out, SETTINGS)
    assert steps[0] > 1
    assert weights(out) == weights(folder)
    assert read_manifest(out)["metrics"]["loss_before"] == read_manifest(folder)["metrics"]["loss_before"]


def test_an_adapter_is_fitted_and_loads_on_its_own_base_only(
    records: Sequence[DialogueRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "lora"
    made = fit(records, out, replace(SETTINGS, lora_rank=4, learning_rate=1e-2))
    assert made.manifest["metrics"]["loss_after"] < made.manifest["metrics"]["loss_before"]
    assert list(weights(out)) == ["adapter_model.safetensors"]
    assert made.manifest["model"]["base"] == str(tiny_model_path())
    user = CalibratedUser(out)
    assert user.language_model.identity()["adapter"] == str(out)
    monkeypatch.setattr("dialogue_gym.simulators.calibrated_folder.weights_hash", lambda _: "another")
    with pytest.raises(ValueError, match="not the base model that"):
        CalibratedUser(out)


def test_it_is_quiet_where_nobody_watches(
    records: Sequence[DialogueRecord], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fit(records, tmp_path / "quiet", replace(SETTINGS, epochs=0.1, evaluations=1))
    assert capfd.readouterr() == ("", "")


def test_a_taken_folder_and_too_little_data_are_refused(
    folder: Path, records: Sequence[DialogueRecord], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="holds a calibrated user already"):
        fit(records, folder, SETTINGS)
    with pytest.raises(ValueError, match="at least 50 are needed"):
        fit(records[:5], tmp_path / "few", SETTINGS)
    with pytest.raises(ValueError, match="no user turn fits into 8 tokens"):
        fit(records, tmp_path / "short", replace(SETTINGS, max_length=8))
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    with pytest.raises(ValueError, match="mine: holds other files"):
        fit(records, tmp_path / "mine", SETTINGS)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "precious"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_length": 7}, "max_length must be at least 8, got 7"),
        ({"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
        ({"held_out": 1.0}, "held_out must be a share between 0 and 1"),
        ({"batch_size": 4, "micro_batch": 3}, "micro_batch must divide batch_size, got 3 and 4"),
    ],
)
def test_settings_that_cannot_be_are_one_clear_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FitSettings(**changes)


def test_fitting_goes_on_from_a_calibrated_folder_in_its_form(
    folder: Path, records: Sequence[DialogueRecord], tmp_path: Path
) -> None:
    further = fit(records, tmp_path / "further", replace(SETTINGS, model=str(folder), condition="intent"))
    side, before = further.manifest["user_side"], read_manifest(folder)["user_side"]
    assert side == {**before, "condition": "intent"}
    assert further.manifest["model"]["base_sha256"] == weights_hash(folder)
    CalibratedUser(tmp_path / "further")


def test_fitting_does_not_go_on_from_an_adapter(records: Sequence[DialogueRecord], tmp_path: Path) -> None:
    fit(records, tmp_path / "adapter", replace(SETTINGS, lora_rank=2))
    with pytest.raises(ValueError, match="is an adapter"):
        fit(records, tmp_path / "further", replace(SETTINGS, model=str(tmp_path / "adapter")))
