"""The study: worlds, stages that are done once, and what is said of the figures."""

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
from benchmarks.sim_to_real.analysis import contrasts, holm
from benchmarks.sim_to_real.arms import SeedOfStudy
from benchmarks.sim_to_real.settings import ARMS, StudySettings, read_preset
from benchmarks.sim_to_real.stages import Stage, execute, in_order
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
    assert stage.result(tmp_path) is None


def test_keys_follow_settings_and_needs() -> None:
    a, b = (Stage("x", "count", {"n": n}) for n in (1, 2))
    assert a.key == Stage("another title", "count", {"n": 1}).key
    assert (
        len({a.key, b.key, Stage("x", "log", {"n": 1}).key, Stage("x", "count", {"n": 1}, {"y": a}).key}) == 4
    )


def test_only_the_reference_differs_between_seeds_and_arms_share_what_they_can() -> None:
    settings = StudySettings()
    arms = [SeedOfStudy(settings, seed).arms() for seed in (0, 1)]
    wanted = [[j.reference for j in a.values()] + [j.own for j in a.values() if j.own] for a in arms]
    keys = [{stage.key for stage in in_order(part)} for part in wanted]
    assert keys[0].isdisjoint(keys[1])
    kinds = [stage.kind for stage in in_order(wanted[0])]
    assert {kind: kinds.count(kind) for kind in kinds} == {"log": 3, "fit": 3, "train": 7, "judge": 11}
    assert list(arms[0]) == list(ARMS)


# figures -------------------------------------------------------------------------------------------


def test_contrasts_are_paired_and_the_declared_one_comes_first() -> None:
    rng = np.random.default_rng(0)
    naive = [rng.random(50) for _ in range(6)]
    better = [part + 0.2 + 0.01 * rng.standard_normal(50) for part in naive]
    found = contrasts({"oracle": better, "naive": naive, "calibrated": better})
    assert [c.arm for c in found] == ["calibrated", "oracle"]
    assert found[0].declared
    for c in found:
        assert c.t_low < c.difference < c.t_high
        assert c.low > 0.15
        assert c.p < 1e-6


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
        found += contrasts(arms)[0].p < 0.05
    assert found <= 6  # 40 draws at 5 %: more than 6 has probability 0.01


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
