"""The comparison: one command, bounds kept and counted, resumed; what is wrong is said in one line."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
pytest.importorskip("stable_baselines3")

from benchmarks.algorithms.__main__ import main
from benchmarks.algorithms.lesson import Budget, CountedUser, Lesson
from benchmarks.algorithms.plan import stage, wanted
from benchmarks.algorithms.registry import ALGORITHMS, algorithm_of_file, find
from benchmarks.algorithms.report import rewards_figure
from benchmarks.algorithms.settings import AlgorithmSettings
from benchmarks.sim_to_real.stages import execute, in_order
from dialogue_gym.rollout import load_policy, play
from dialogue_gym.simulators import ScriptedUser

WORK = "benchmarks.algorithms.work"
SMALL = json.dumps(
    {
        "cpu": True,
        "groups": 2,
        "group_size": 4,
        "updates_per_rollout": 2,
        "report_to": "none",
        "save_steps": 2,
    }
)


def small(out: Path, **changes: Any) -> AlgorithmSettings:
    given: dict[str, Any] = {
        "envs": ("MathChat-v0",),
        "algorithms": ("rule", "linucb"),
        "seeds": 2,
        "user_calls": 120,
        "policy_tokens": 1500,
        "eval_dialogues": 6,
        "learner": SMALL,
        "options": "{}",
        "workers": 1,
        "out": out,
    }
    return AlgorithmSettings(**{**given, **changes})


def lesson(folder: Path, calls: int = 100) -> Lesson:
    return Lesson("MathChat-v0", "math", 0, folder, Budget(calls, 1000), ScriptedUser())


def test_users_are_counted_by_their_messages(tmp_path: Path) -> None:
    given = lesson(tmp_path)
    env = given.make_env(4)
    played = play(env, load_policy("rule", "math"), range(6), range(6))
    said = sum(m["role"] == "user" for t in played for m in t.record.messages)
    assert given.spent == Budget(said, 0)
    assert given.user_calls_left == 100 - said
    given.spend(policy_tokens=7)
    assert given.tokens_left == 993
    assert CountedUser(ScriptedUser(), Budget()).identity() == ScriptedUser().identity()


@pytest.mark.parametrize("name", ["base", "sft", "static_context", "grpo_turn_baseline", "thompson", "dqn"])
def test_every_algorithm_keeps_its_bounds(name: str, tmp_path: Path) -> None:
    settings = small(tmp_path, algorithms=(name,), seeds=1)
    [run] = wanted(settings)
    settings.cache.mkdir(parents=True)
    for needed in in_order([run]):
        execute(needed, settings.cache, WORK)
    result = run.result(settings.cache)
    spent, found = result["spent"], result["evaluation"]
    assert spent["user_calls"] <= 120
    assert spent["policy_tokens"] <= 1500
    assert len(found["outcomes"]) == 6
    assert found["split"] == "test"
    trains_words = ALGORITHMS[name].group == "words" and name != "base"
    assert (spent["policy_tokens"] > 0) == trains_words
    assert (spent["user_calls"] > 0) == (name not in ("base", "rule"))


def test_one_command_reports_and_goes_on(tmp_path: Path, capsys: Any) -> None:
    arguments = [
        *("--envs", "MathChat-v0", "--algorithms", "rule", "linucb", "--user-calls", "120"),
        *("--eval-dialogues", "6", "--workers", "1", "--out", str(tmp_path)),
    ]
    assert main([*arguments, "--seeds", "1"]) == 0
    assert "1 of at least 5 seeds: too few for a claim" in capsys.readouterr().out
    assert main([*arguments, "--seeds", "2"]) == 0
    printed = capsys.readouterr().out
    assert "2 of 4 stages are done already" in printed
    result = json.loads((tmp_path / "result.json").read_text())
    rule = result["algorithms"]["rule"]
    assert len(rule["all"]["by_seed"]) == 2
    assert rule["all"]["low"] <= rule["all"]["iqm"] <= rule["all"]["high"]
    better = result["better"]
    assert better["rule"]["linucb"]["p"] + better["linucb"]["rule"]["p"] == pytest.approx(1.0)
    page = (tmp_path / "report.html").read_text()
    assert "<svg" in page
    assert "too few for a claim" in page


def test_all_algorithms_meet_the_same_held_out_dialogues(tmp_path: Path) -> None:
    settings = small(tmp_path, seeds=1)
    settings.cache.mkdir(parents=True)
    seeds = []
    for run in wanted(settings):
        execute(run, settings.cache, WORK)
        outcomes = run.result(settings.cache)["evaluation"]["outcomes"]
        seeds.append([(o["task_seed"], o["reply_seed"]) for o in outcomes])
    assert seeds[0] == seeds[1]
    draws = {run.settings["draws"] for run in wanted(settings)}
    assert len(draws) == 2


OWN = """
from dialogue_gym.rollout import load_policy

GROUP = "acts"

def train(lesson, *, ask_rate=0.5):
    return load_policy("rule", lesson.kind, ask_rate=ask_rate)
"""


def test_a_file_is_an_algorithm(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    settings = small(tmp_path, algorithm_file=(path,), options='{"mine": {"ask_rate": 0.0}}')
    assert settings.names == ["rule", "linucb", "mine"]
    run = stage(settings, "MathChat-v0", 0, "mine")
    settings.cache.mkdir(parents=True)
    execute(run, settings.cache, WORK)
    assert run.result(settings.cache)["spent"] == {"user_calls": 0, "policy_tokens": 0}
    path.write_text(OWN + "\n")
    assert stage(settings, "MathChat-v0", 0, "mine").key != run.key  # another file, another run


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no algorithm file .*mine.py"),
        ("def learn(lesson): ...", "mine.py: has no function train"),
        ("\nimport no_such_module", "mine.py:2: ModuleNotFoundError: No module named 'no_such_module'"),
        ("import math\n\nmath.sqrt(-1)", "mine.py:3: ValueError: "),
        ("import math\n\ndef train(lesson:", r"mine.py:3: SyntaxError: '\(' was never closed$"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=message):
        algorithm_of_file(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\ndef train(lesson):\n    return {}['policy']\n", r"mine\.py:3: KeyError: 'policy'"),
        ("def train(lesson):\n    lesson.make_env(2, sedd=1)\n", r"mine\.py:2: \w+: .*sedd"),
        ("def train(lesson):\n    pass\n", r"mine\.py: TypeError: train returned None, which is no policy"),
    ],
)
def test_what_a_file_raises_in_training_is_said_with_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    settings = small(tmp_path, algorithm_file=(path,))
    settings.cache.mkdir(parents=True)
    with pytest.raises(ValueError, match=message):
        execute(stage(settings, "MathChat-v0", 0, "mine"), settings.cache, WORK)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--algorithms", "grop"], "unknown algorithm 'grop': did you mean 'grpo'"),
        (["--envs", "MathChat"], "unknown environment 'MathChat': did you mean 'MathChat-v0'?"),
        (["--preset", "tny"], "unknown preset 'tny': did you mean 'tiny'?"),
        (
            ["--options", '{"drift": {"betta": 1}}'],
            "algorithm 'drift' has no setting 'betta': did you mean 'beta'",
        ),
        (["--options", '{"drfit": {}}'], "options: no algorithm 'drfit' in this run: did you mean 'drift'"),
        (["--learner", '{"grops": 4}'], "learner: unknown setting 'grops': did you mean 'groups'"),
        (["--user-calls", "0"], "user_calls must be at least 1, got 0"),
        (["--algorithm-file", "no/mine.py"], "no algorithm file 'no/mine.py'"),
        (["--seedz", "3"], "--seeds"),
    ],
)
def test_bad_command_lines_end_in_one_line(
    arguments: list[str], message: str, capsys: Any, tmp_path: Path
) -> None:
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert not (tmp_path / "run").exists()


def test_names_lead_to_algorithms() -> None:
    assert find("drift", {}).from_log
    with pytest.raises(ValueError, match="did you mean 'linucb'"):
        find("lin_ucb", {})


@pytest.mark.parametrize("count", [1, 2, 16])
def test_no_marker_is_cut_at_the_edge_of_a_plot(count: int) -> None:
    runs = {"by_env": {"MathChat-v0": {"by_seed": [0.2, 1.0], "low": 0.1, "high": 1.0, "iqm": 0.5}}}
    result = {"algorithms": {f"a{i}": {"group": "words", **runs} for i in range(count)}}
    drawn = rewards_figure(result, "MathChat-v0")
    drawn.canvas.draw()
    [axes] = drawn.axes
    radius = 5 * drawn.dpi / 72  # of a marker, in pixels
    ends = [axes.transData.transform((0.5, row))[1] for row in (0, count - 1)]
    assert axes.bbox.y0 + radius < min(ends)
    assert ends[0] + radius < axes.bbox.y1
