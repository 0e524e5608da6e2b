"""The phases that all learners go through, and who plays in the evaluation."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dialogue_agents.bandit.run import run as run_bandit
from dialogue_agents.bandit.settings import BanditSettings
from dialogue_agents.environments import load_user
from dialogue_agents.evaluation import EVALUATION_SEED, held_out, learn_between_evaluations
from dialogue_agents.folder import read_figures
from dialogue_agents.settings import CommonSettings
from dialogue_gym.logs import read_log
from dialogue_gym.rollout import Evaluation, RulePolicy, evaluate, make_vector_env
from dialogue_gym.simulators import ScriptedUser, simulators


class Worded(ScriptedUser):
    """A user with a language model, which it only names."""

    def __init__(self, language_model: str) -> None:
        super().__init__()
        self.language_model = language_model

    def identity(self) -> dict[str, Any]:
        return {"name": "worded", "language_model": self.language_model}


simulators.register("worded", Worded)
WORDED = {"simulator": {"name": "worded", "language_model": "a"}}


def settings_of(out: Path, **changes: Any) -> CommonSettings:
    return CommonSettings(**{"out": out, "eval_dialogues": 4, "max_turns": 5, **changes})


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "scripted"),
        ({"simulator": "worded", "language_model": "a"}, "scripted"),
        ({"simulator": "worded", "language_model": "a", "eval_simulator": "worded"}, "worded"),
        ({"env_kwargs": json.dumps(WORDED)}, "worded"),
        ({"env_kwargs": json.dumps({**WORDED, "split": "train"}), "simulator": "worded"}, "scripted"),
    ],
)
def test_the_user_and_the_split_of_an_evaluation(changes: dict[str, Any], name: str, tmp_path: Path) -> None:
    """Those of the settings; the training user, its model included, where both have the same name."""
    settings = settings_of(tmp_path, **changes)
    evaluation = held_out(settings, RulePolicy("math"), load_user(settings), "before")
    assert (evaluation.simulator["name"], evaluation.split) == (name, "test")
    assert [record.end_reason for record in read_log(tmp_path / "before.jsonl")] == [
        outcome.end_reason for outcome in evaluation.outcomes
    ]
    again = held_out(settings, RulePolicy("math"), load_user(settings), "before")
    assert again == evaluation
    assert len(list(read_log(tmp_path / "before.jsonl"))) == 4


def test_a_bandit_trains_with_a_language_model_and_is_judged_by_the_scripted_user(tmp_path: Path) -> None:
    sizes = {"dialogues": 8, "batch_size": 4, "eval_dialogues": 4}
    result = run_bandit(BanditSettings(simulator="worded", language_model="a", out=tmp_path / "run", **sizes))
    assert result["after"]["simulator"]["name"] == "scripted"
    plain = run_bandit(BanditSettings(out=tmp_path / "plain", **sizes))
    assert plain["curve"] == result["curve"]


class Phases:
    """Notes what was done; the evaluation is that of a user who fails while ``up`` is off."""

    def __init__(self, settings: CommonSettings) -> None:
        self.settings, self.up, self.done = settings, True, list[str]()

    def evaluated(self, what: str) -> Evaluation:
        self.done.append(what)
        user = {"name": "moody", "fail": 0.0 if self.up else 1.0, "stop": 0.0}
        env = make_vector_env("MathChat-v0", 4, simulator=user, max_turns=2, split="test")
        return evaluate(env, RulePolicy("math"), 4, seed=EVALUATION_SEED)

    def learn(self, so_far: Mapping[str, Any]) -> dict[str, Any]:
        self.done.append("learn")
        return {"learned": so_far.get("learned", 0) + 1}

    def result(self, **keywords: Any) -> dict[str, Any]:
        return learn_between_evaluations(self.settings, self.evaluated, self.learn, **keywords)


def test_what_is_known_is_not_evaluated_again(tmp_path: Path) -> None:
    phases = Phases(settings_of(tmp_path))
    first = phases.result(begun={"kind": "math", "learned": 6})
    assert phases.done == ["before", "learn", "after"]
    assert (first["kind"], first["learned"]) == ("math", 7)
    assert first["difference"]["estimates"]["reward"]["mean"] == 0
    assert read_figures(tmp_path / "result.json") == json.loads(json.dumps(first))
    second = phases.result(begun={"learned": 0})
    assert phases.done[3:] == ["learn", "after"]
    assert second["learned"] == 8


def test_an_evaluation_in_which_nothing_was_scored_is_played_again(tmp_path: Path) -> None:
    phases = Phases(settings_of(tmp_path))
    phases.up = False
    assert phases.result()["before"]["unscored_rate"] == 1
    phases.up = True
    assert phases.result()["before"]["unscored_rate"] == 0
    assert phases.done == ["before", "learn", "after"] * 2


def test_only_one_process_writes_and_without_dialogues_nobody_evaluates(tmp_path: Path) -> None:
    phases = Phases(settings_of(tmp_path, eval_dialogues=0))
    assert phases.result(writes=False) == {"learned": 1}
    assert phases.done == ["learn"]
    assert not (tmp_path / "result.json").exists()
