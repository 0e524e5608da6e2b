"""The study: worlds, stages that are done once, and what is said of the figures."""

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("trl")

from benchmarks.calibration.world import COOPERATIVE
from benchmarks.sim_to_real import stages, work
from benchmarks.sim_to_real.__main__ import main
from benchmarks.sim_to_real.analysis import contrasts, holm, ranks, resampled, verdict
from benchmarks.sim_to_real.arms import SeedOfStudy
from benchmarks.sim_to_real.command import settings_from
from benchmarks.sim_to_real.plan import Study
from benchmarks.sim_to_real.settings import ARMS, StudySettings, read_preset
from benchmarks.sim_to_real.stages import (
    Progress,
    Stage,
    StageError,
    execute,
    in_order,
    run_stages,
    strangers,
)
from benchmarks.sim_to_real.worlds import naive_population, reference_population
from dialogue_gym.simulators import ScriptedUser
from dialogue_gym.simulators.personas import Population

# worlds --------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6))
def test_naive_users_lie_between_the_reference_and_cooperation(seed: int) -> None:
    reference = reference_population("math", seed)
    assert naive_population(reference, 0.0) == reference
    assert naive_population(reference, 1.0) == Population(**COOPERATIVE)
    ScriptedUser(json.loads(json.dumps(naive_population(reference, 0.5).to_dict())))


def test_references_scatter_around_the_default_population() -> None:
    centre = ScriptedUser().populations["math"]
    drawn = [reference_population("math", seed) for seed in range(200)]
    assert len({p.trust for p in drawn}) == 200
    for name in ("disclosure", "terseness", "trust"):
        middle = np.mean([sum(getattr(p, name)) / 2 for p in drawn])
        assert middle == pytest.approx(sum(getattr(centre, name)) / 2, abs=0.03)


# stages --------------------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []

    def count(folder: Path, settings: dict[str, Any], needs: dict[str, Path]) -> dict[str, Any]:
        made.append(settings)
        if settings.get("dies"):
            (folder / "half").write_text("written")
            raise RuntimeError("killed")
        return {"sum": settings["n"] + sum(stages_sum(path) for path in needs.values())}

    monkeypatch.setitem(work.WORK, "count", count)
    return made


def stages_sum(folder: Path) -> int:
    found: int = json.loads((folder / stages.DONE).read_text())["result"]["sum"]
    return found


def test_a_stage_is_done_once_and_after_its_needs(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    first = Stage("first", "count", {"n": 1})
    last = Stage(
        "last", "count", {"n": 2}, {"a": first, "b": Stage("other", "count", {"n": 3}, {"a": first})}
    )
    for _ in range(2):
        for stage in in_order([last, first]):
            execute(stage, tmp_path)
    assert last.result(tmp_path) == {"sum": 2 + 1 + (3 + 1)}
    assert [c["n"] for c in calls] == [1, 3, 2]


def test_a_stage_that_died_counts_for_nothing(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    stage = Stage("dies", "count", {"n": 1, "dies": True})
    with pytest.raises(RuntimeError):
        execute(stage, tmp_path)
    assert (stage.folder(tmp_path) / "half").exists()
    assert not stage.is_done(tmp_path)


def test_keys_follow_settings_and_needs() -> None:
    a, b = (Stage("x", "count", {"n": n}) for n in (1, 2))
    assert a.key == Stage("another title", "count", {"n": 1}).key
    assert (
        len({a.key, b.key, Stage("x", "log", {"n": 1}).key, Stage("x", "count", {"n": 1}, {"y": a}).key}) == 4
    )


def studies(**changes: Any) -> tuple[SeedOfStudy, SeedOfStudy]:
    first, second = Study(StudySettings(seeds=2, **changes)).seeds
    return first, second


def test_seeds_share_nothing_and_arms_what_they_can() -> None:
    study = Study(StudySettings(seeds=2))
    keys = [{stage.key for stage in in_order(list(study._wanted(seed)))} for seed in study.seeds]
    assert keys[0].isdisjoint(keys[1])
    kinds = [stage.kind for stage in in_order(list(study._wanted(study.seeds[0])))]
    counted = {kind: kinds.count(kind) for kind in kinds}
    # 15 policies under 4 users; 5 arms choose between 2 by their own user
    expected = {"log": 3, "fit": 3, "train": 7, "judge": 15 * 4 + 5 * 2, "realism": 3, "divergence": 3 * 3}
    assert counted == expected


def test_a_prompted_naive_user_is_measured_against_the_population(tmp_path: Path) -> None:
    settings = StudySettings(
        naive="prompted", arms=("base", "naive"), eval_dialogues=2, user_dialogues=2, out=tmp_path
    )
    stage = SeedOfStudy(settings, 0).divergence("naive", 0)
    for needed in in_order([stage]):
        execute(needed, settings.cache)
    found = stage.result(settings.cache)
    assert found["turns"][0]["n"] == 2
    assert np.isfinite(found["per_turn"])


def test_no_arm_but_the_oracle_needs_the_reference_in_training() -> None:
    seed, _ = studies()
    population = seed.reference.settings["population"]
    for arm in ARMS[1:]:
        stage = seed.training(arm)
        assert (stage.settings.get("population") == population) == (arm == "oracle"), arm
        fits = [s for s in in_order([stage]) if s.kind == "fit"]
        logs = [s for s in in_order([stage]) if s.kind == "log" and s.settings["population"] == population]
        # the reference is met in logs alone: of the base policy, and of the policy that calibration trained
        assert len(logs) == {"naive": 0, "oracle": 0, "recalibrated": 2}.get(arm, 1), arm
        assert len(fits) == {"naive": 1, "static look-ahead": 2, "calibrated": 2, "recalibrated": 3}.get(
            arm, 0
        )


def test_at_strength_zero_with_scripted_users_all_users_are_the_reference() -> None:
    seed, _ = studies(strength=0.0, user="scripted")
    users = [seed.user(name) for name in ("naive", "calibrated", "recalibrated", "reference")]
    assert all(user == users[0] for user in users)
    trainings = {seed.training(arm).key for arm in ("naive", "calibrated", "recalibrated", "oracle")}
    assert len(trainings) == 4  # draws of their own: arms are repetitions of each other


def test_with_no_log_the_calibrated_user_is_the_naive_one() -> None:
    seed, _ = studies(logs=0, arms=("naive", "calibrated"))
    assert seed.user("calibrated") == seed.user("naive")
    with pytest.raises(ValueError, match="needs a log"):
        StudySettings(logs=0)


def test_controls_are_fitted_to_what_should_not_help() -> None:
    seed, _ = studies(arms=("naive", "other people", "shuffled log"))
    others, mixed = (seed.user(name).fit for name in ("other people", "shuffled log"))
    assert others is not None
    assert mixed is not None
    assert others.needs["log"].settings["population"] != seed.base_log.settings["population"]
    assert mixed.needs["log"] == seed.base_log
    assert mixed.settings["shuffled"]


def test_a_worker_that_is_killed_is_named_and_what_is_done_stays(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    good = Stage("the good one", "log", {**LOG_OF_TWO})
    bad = Stage("the bad one", "log", {**LOG_OF_TWO, "env": "NoChat-v0"}, {"first": good})
    said: list[Progress] = []
    with pytest.raises(StageError, match=r"the bad one: env 'NoChat-v0'.*the same command goes on"):
        run_stages([bad], tmp_path, 1, said.append)
    assert [now.finished for now in said] == [None, "the good one"]
    assert [now.running for now in said] == [["the good one"], ["the bad one"]]
    assert good.is_done(tmp_path)
    assert not bad.is_done(tmp_path)
    (good.folder(tmp_path) / "log.jsonl").unlink()
    lost = Stage("the fit", "fit", {"fit": {}, "seed": 0, "start": "tiny"}, {"log": good})
    with pytest.raises(StageError, match="a finished stage has lost that file; remove its folder"):
        run_stages([lost], tmp_path, 1, said.append)
    assert capfd.readouterr().out == ""
    assert strangers([lost], tmp_path) == 0
    assert strangers([bad.needs["first"]], tmp_path) == 0
    assert strangers([], tmp_path) == 1


LOG_OF_TWO: dict[str, Any] = {
    "env": "MathChat-v0",
    "env_kwargs": {},
    "seed": 0,
    "max_turns": 3,
    "dialogues": 2,
    "agent": "rule",
    "population": Population().to_dict(),
}


def test_dialogues_without_scores_stop_the_study_with_the_reason(tmp_path: Path) -> None:
    class Broken(ScriptedUser):
        def reply(self, requests: Any) -> Any:
            raise ConnectionError("cannot reach localhost:1")

    def user(*_: Any) -> Broken:
        return Broken()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "_user", user)
        with pytest.raises(ValueError, match=r"100% of the dialogues.*simulator_failure.*cannot reach"):
            work.play_log(tmp_path, LOG_OF_TWO, {})


def test_a_full_disk_leaves_nothing_that_counts(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    stage = Stage("count", "count", {"n": 1})
    with pytest.MonkeyPatch.context() as patch:
        full = OSError(errno.ENOSPC, "No space left on device")
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(full))
        with pytest.raises(OSError, match="No space left"):
            execute(stage, tmp_path)
    assert not stage.is_done(tmp_path)
    execute(stage, tmp_path)
    assert stage.result(tmp_path) == {"sum": 1}


# figures -------------------------------------------------------------------------------------------


def test_contrasts_are_paired_and_the_declared_one_comes_first() -> None:
    rng = np.random.default_rng(0)
    naive = [rng.random(50) for _ in range(6)]
    better = [part + 0.2 + 0.01 * rng.standard_normal(50) for part in naive]
    found = contrasts({"oracle": better, "naive": naive, "calibrated": better})
    assert [(c.arm, c.against) for c in found] == [
        ("calibrated", "naive"),
        ("oracle", "naive"),
        ("calibrated", "oracle"),
    ]
    assert found[0].declared
    for c in found[:2]:
        assert c.shown
        assert c.t_low < c.difference < c.t_high
        assert c.low > 0.15
        assert c.p < 1e-6
    assert verdict(found, 6, "in this toy").startswith("In this toy the calibrated arm is ahead")
    assert "too few for a claim" in verdict(found, 4, "in this toy")
    back = contrasts({"calibrated": naive, "naive": better})
    assert "naive arm is ahead" in verdict(back, 6, "in this toy")


def test_the_bootstrap_spreads_over_seeds_and_over_dialogues() -> None:
    rng = np.random.default_rng(2)
    seeds_differ = [np.full(400, float(i)) for i in range(8)]
    assert resampled(seeds_differ, ("a",)).std() == pytest.approx(np.std(range(8)) / np.sqrt(8), rel=0.1)
    one = [rng.standard_normal(400)]
    assert resampled(one, ("b",)).std() == pytest.approx(1 / np.sqrt(400), rel=0.1)
    uneven = [np.array([1.0, 1.0]), np.array([3.0, 3.0, 3.0])]
    assert set(resampled(uneven, ("c",))) == {1.0, 2.0, 3.0}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_and_keeps_their_order(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(c >= p for c, p in zip(corrected, p_values, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert all(np.diff(np.array(corrected)[order]) >= 0)
    assert min(corrected) == pytest.approx(min(1, len(p_values) * min(p_values)))


def test_no_difference_is_found_where_there_is_none() -> None:
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(40):
        arms = {name: [rng.random(60) for _ in range(8)] for name in ("naive", "calibrated")}
        found += (contrasts(arms)[0].p or 0.0) < 0.05
    assert found <= 6  # 40 draws at 5 %: more than 6 has probability 0.01


def test_ranks_follow_the_order_of_policies_and_know_ties() -> None:
    policies = [
        {"seed": seed, "scores": {"reference": 0.1 * i, "same": i, "back": -i, "flat": 1.0}}
        for seed in range(3)
        for i in range(5)
    ]
    assert ranks(policies, "same") == pytest.approx({"all": 1.0, "low": 1.0, "high": 1.0, "within": 1.0})
    assert ranks(policies[:5], "same")["low"] is None
    assert ranks(policies, "back")["all"] == pytest.approx(-1.0)
    assert ranks(policies, "flat") == {"all": None, "low": None, "high": None, "within": None}


# settings ------------------------------------------------------------------------------------------


def test_presets_refuse_what_they_do_not_know(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(read_preset("tiny")["learner"])["steps"] > 0
    path = tmp_path / "mine.json"
    path.write_text('{"seads": 3}')
    with pytest.raises(ValueError, match="unknown setting 'seads': did you mean 'seeds'"):
        read_preset(str(path))
    assert main(["--preset", "tinny"]) == 2
    assert "did you mean 'tiny'" in capsys.readouterr().err
    with pytest.raises(ValueError, match="unknown arm"):
        StudySettings(arms=("oracles",))
    with pytest.raises(ValueError, match="learner must be a JSON object"):
        StudySettings(learner="[]")


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ({"seeds": "3"}, "seeds must be of type int, got '3'"),
        ({"seeds": 2.5}, "seeds must be of type int"),
        ({"seeds": True}, "seeds must be of type int"),
        ({"learner": {"stepz": 3}}, "learner: unknown setting 'stepz': did you mean 'steps'"),
        ({"learner": {"seed": 3}}, "learner: 'seed' is for the study to set"),
        ({"learner": {"steps": 1}}, "checkpoints must be at most the 1 updates, got 2"),
        ({"fit": {"epoch": 1}}, "fit: unknown setting 'epoch': did you mean 'epochs'"),
        ({"fit": {"epochs": 0}}, "fit: epochs must be positive"),
        ({"look_ahead": {"window": 0}}, "look_ahead: window must be at least 1"),
    ],
)
def test_bad_presets_are_one_line_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], preset: dict[str, Any], said: str
) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(preset))
    assert main(["--preset", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_presets_folder_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"out": "runs/mine", "strength": 1}')
    assert settings_from(["--preset", str(path)], "study").out == Path("runs/mine")


def test_options_add_to_the_presets_objects() -> None:
    settings = settings_from(["--learner", '{"steps": 3}'], "study")
    assert settings.part("learner")["steps"] == 3
    assert settings.part("learner")["groups"] == json.loads(read_preset("tiny")["learner"])["groups"]


def test_worlds_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="user_dialogues are the first of eval_dialogues"):
        StudySettings(eval_dialogues=10, user_dialogues=11)
    with pytest.raises(ValueError, match="knows no cooperative variant"):
        StudySettings(reference="http://localhost:1/v1#model")
