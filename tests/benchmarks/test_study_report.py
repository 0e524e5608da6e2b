"""From finished stages to what is said: planted figures must come out, and nothing may be forgotten."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from benchmarks.sim_to_real import sweep
from benchmarks.sim_to_real.arms import REFERENCE, SeedOfStudy
from benchmarks.sim_to_real.collect import collect
from benchmarks.sim_to_real.plan import Study
from benchmarks.sim_to_real.report import markdown, terminal, to_html
from benchmarks.sim_to_real.settings import StudySettings
from benchmarks.sim_to_real.stages import DONE, Stage, in_order

ARMS = ("base", "static all", "naive", "calibrated", "oracle")
WORTH = {"base": 2, "static all": 1, "naive": 4, "calibrated": 7, "oracle": 9}
"""Rewarded dialogues of ten with the reference; one less for the first of two policies."""
OWN = {"naive": 9, "calibrated": 6}


def rewards(arm: str, checkpoint: int, user: str, split: str, seed: int) -> list[float]:
    if user == REFERENCE or arm not in OWN:
        right = WORTH[arm] - (checkpoint == 1)
    else:
        right = OWN[user if user in OWN else arm]
    if split == "validation":  # the calibrated user prefers its first policy, all others their last
        right = 5 + (checkpoint == 1) * (2 if arm == "calibrated" else -2)
    if split == "test":  # seeds differ, and arms a little between them
        right += seed % 2 - (seed == 0 and arm == "calibrated")
    right = max(0, min(10, right))
    return [1.0] * right + [0.0] * (10 - right)


def judged(values: list[float]) -> dict[str, Any]:
    mean = {"mean": sum(values) / len(values)}
    names = ("reward", "turns", "words_per_agent_turn", "words_per_user_turn", "ask_rate")
    return {"outcomes": [{"reward": v} for v in values], "estimates": dict.fromkeys(names, mean)}


def result_of(stage: Stage) -> dict[str, Any]:
    budget = {
        "updates": 3,
        "policy_tokens": 1000,
        "user_calls": 10,
        "user_tokens": 20,
        "look_ahead_tokens": 0,
    }
    figure = {"metric": "stop_f1", "unit": "", "better": "higher", "counts": True, "verdict": "within"}
    sides = {"simulator": {"value": 0.5}, "people": {"value": 0.75}}
    return {
        "train": {"curve": [0.1, None, 0.3], "budget": budget, "policies": ["policy"]},
        "divergence": {"turns": [{"mean": 1.0, "n": 10}, {"mean": 3.0, "n": 5}], "per_turn": 1.5},
        "realism": {"figures": [{**figure, **sides}, {**figure, "counts": False, **sides}]},
    }.get(stage.kind, {})


@pytest.fixture
def study(tmp_path: Path) -> Study:
    made = Study(StudySettings(seeds=6, arms=ARMS, eval_dialogues=10, user_dialogues=10, out=tmp_path))
    planted = {stage.key: result_of(stage) for stage in in_order(made.wanted())}
    for seed in made.seeds:
        planted |= judgements(made, seed)
    for key, result in planted.items():
        (made.cache / key).mkdir(parents=True)
        done = {"result": result, "wall_seconds": 2.0, "cpu_seconds": 1.0}
        (made.cache / key / DONE).write_text(json.dumps(done))
    return made


def judgements(made: Study, seed: SeedOfStudy) -> dict[str, Any]:
    found = {}
    for arm, c in made.policies():
        for user in (REFERENCE, *made.users):
            values = rewards(arm, c, user, "test", seed.seed)
            found[seed.judging(arm, c, user).key] = judged(values)
        own = seed.trained_with(arm)
        if own:
            values = rewards(arm, c, own, "validation", seed.seed)
            found[seed.judging(arm, c, own, "validation").key] = judged(values)
    return found


def test_planted_figures_come_out(study: Study) -> None:
    found = collect(study)
    arms = found["arms"]
    assert arms["oracle"]["reference"]["mean"] == pytest.approx(0.95)
    assert arms["calibrated"]["chosen"] == {"1": 6}  # its own user preferred the first
    assert arms["calibrated"]["reference"]["mean"] == pytest.approx(0.38 / 0.6)  # the reference did not
    assert arms["naive"]["gap"]["mean"] == pytest.approx(0.5)
    assert arms["naive"]["absolute_gap"] == pytest.approx(0.5)
    assert arms["oracle"]["gap"] is None
    assert arms["base"]["budget"] is None
    assert arms["naive"]["budget"]["wall_seconds"] == 2.0
    declared = found["contrasts"][0]
    assert declared["difference"] == pytest.approx(0.11 / 0.6)
    assert found["divergence"]["naive"][2]["turns"][1] == {"mean": 3.0, "error": 0.0, "n": 30}
    assert [row["metric"] for row in found["realism"]["naive"]] == ["stop_f1"]
    assert found["realism"]["naive"][0]["within"] == 1.0
    assert len(found["policies"]) == 6 * 9
    assert found["verdict"].startswith("In this toy the calibrated arm is ahead")
    assert arms["calibrated"]["budget"]["logged_dialogues"] == 500
    assert arms["calibrated"]["budget"]["cpu_seconds_before"] == 4.0  # two logs, two fits
    assert arms["naive"]["budget"]["logged_dialogues"] == 0


class Balanced(HTMLParser):
    """Counts tables and plots."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen[tag] = self.seen.get(tag, 0) + 1


def test_reports_hold_every_part_and_escape_what_was_said(study: Study) -> None:
    result = {"settings": study.settings.to_dict(), **collect(study), "run": {"command": "study --seeds 6"}}
    json.dumps(result, allow_nan=False)
    page = Balanced()
    html = to_html(result, {"base": "<script>alert(1)</script>"})
    page.feed(html)
    assert page.seen["table"] == 9
    assert page.seen["svg"] >= 4
    assert "script" not in page.seen
    text = terminal(result)
    tables = markdown(result)
    for said in (*ARMS, "calibrated - naive (declared)", "in this toy"):
        assert said in text
        assert said.replace("in this toy", "In this toy") in tables
    assert "study --seeds 6" in tables


def test_few_seeds_claim_nothing(study: Study) -> None:
    few = Study(
        StudySettings(seeds=2, arms=ARMS, eval_dialogues=10, user_dialogues=10, out=study.settings.out)
    )
    assert collect(few)["verdict"] == "Warning: 2 of at least 5 seeds; that is too few for a claim."


def test_a_sweep_draws_its_points(study: Study) -> None:
    found = collect(study)
    points = [sweep._point(value, found) for value in (0, 50)]
    result = {"over": "logs", "points": points, "settings": study.settings.to_dict(), "where": "in this toy"}
    assert len(sweep.rows(result)) == 2
    assert "dialogues that the calibrated user is fitted to" in sweep.to_html(result)
