"""The bandit: learners by their formulas, a case where the best arm depends on the opening, whole runs."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from dialogue_agents.bandit.__main__ import main
from dialogue_agents.bandit.arms import AskThenAnswer, build_arms, default_asks
from dialogue_agents.bandit.learners import LEARNERS, LinUCB, Thompson, make_learner
from dialogue_agents.bandit.policy import BanditPolicy
from dialogue_agents.bandit.run import Learned, learn_batch, load_policy, run
from dialogue_agents.bandit.settings import BanditSettings
from dialogue_agents.unscored import NothingScored
from dialogue_gym.rollout import PolicyReply, PolicyRequest, make_vector_env, play
from dialogue_gym.scoring import Score
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import Persona, ScriptedUser, UserReply
from dialogue_gym.tasks.base import ENV_IDS, Kind
from dialogue_gym.wrappers import FeatureReader

CONTEXTS = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 0.5]])
REWARDS = [0.2, 1.0, 0.4]


def taught(bandit: Any) -> Any:
    for context, reward in zip(CONTEXTS, REWARDS, strict=True):
        bandit.learn(context, 1, reward)
    return bandit


def test_linucb_by_its_formula() -> None:
    """Algorithm 1 of Li et al. (2010), written out with an inverse."""
    bandit = taught(LinUCB(2, 2, exploration=0.7))
    inverse = np.linalg.inv(np.eye(2) + CONTEXTS.T @ CONTEXTS)
    mean = inverse @ CONTEXTS.T @ REWARDS
    assert bandit.means[1] == pytest.approx(mean)
    assert bandit.means[0].tolist() == [0.0, 0.0]
    x = np.array([1.0, 0.3])
    known, unknown = mean @ x + 0.7 * np.sqrt(x @ inverse @ x), 0.7 * np.sqrt(x @ x)
    assert bandit.explore(x, NoiseKey(("a",))) == int(known > unknown)
    bandit.exploration = 5.0
    assert bandit.explore(x, NoiseKey(("a",))) == 0  # what was never tried has the wider bound


def test_thompson_draws_from_the_posterior() -> None:
    """Mean and covariance of what decides, over many keys: N(mean, v^2 A^-1)."""
    bandit = taught(Thompson(2, 2, exploration=0.5))
    x = np.array([1.0, 0.3])
    inverse = np.linalg.inv(np.eye(2) + CONTEXTS.T @ CONTEXTS)
    gap = (inverse @ CONTEXTS.T @ REWARDS) @ x
    spread = 0.5 * np.sqrt(x @ inverse @ x + x @ x)  # of the difference between the arms' draws
    expected = NormalDist().cdf(gap / spread)
    taken = [bandit.explore(x, NoiseKey(("draw", i))) for i in range(2000)]
    assert np.mean(taken) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("algorithm", LEARNERS)
def test_a_choice_is_a_function_of_its_key(algorithm: str) -> None:
    bandit = taught(make_learner(algorithm, "ab", 2, 1.0))
    again = make_learner(algorithm, "ab", 2, 1.0)
    again.restore(json.loads(json.dumps(bandit.state())))
    x = np.array([1.0, 0.3])
    keys = [NoiseKey(("k", i)) for i in range(20)]
    assert [bandit.explore(x, k) for k in keys] == [again.explore(x, k) for k in keys]


class TwoKinds:
    """Half of the users are in a hurry and say so."""

    def reply(self, requests: Any) -> list[UserReply]:
        return [self._say(r) for r in requests]

    def _say(self, request: Any) -> UserReply:
        if request.conversation:
            return UserReply("bye", stop=True)
        number = request.key.child("number").integer(0, 10**6)
        hurry = request.key.child("hurry").uniform() < 0.5
        return UserReply(f"quick! {number}" if hurry else f"take your time {number}")

    def forget(self, dialogue_ids: Any) -> None:
        pass

    def draw_persona(self, kind: Any, key: Any) -> Persona:
        return Persona()

    def identity(self) -> dict[str, Any]:
        return {"name": "two_kinds"}


class Fits:
    """Pays for short words to those in a hurry, and for long ones to the others."""

    def score(self, task: Any, conversation: Any) -> Score:
        said = conversation[1]["content"]
        return Score(float((said == "short") == conversation[0]["content"].startswith("quick")))

    def identity(self) -> dict[str, Any]:
        return {"name": "fits"}


class Says:
    def __init__(self, text: str) -> None:
        self.text = text

    def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
        return [PolicyReply(self.text) for _ in requests]

    def forget(self, dialogue_ids: Any) -> None:
        pass

    def identity(self) -> dict[str, Any]:
        return {"name": self.text}


def hurry(conversation: Any, left: int) -> float:
    return float(conversation[0]["content"].startswith("quick"))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("algorithm", LEARNERS)
@pytest.mark.parametrize("env_id", ["MathChat-v0", "DocEditChat-v0"])
def test_it_learns_which_arm_suits_the_opening(env_id: str, algorithm: str, seed: int) -> None:
    """Any single arm earns one half; the right one for each opening earns 1."""
    env = make_vector_env(env_id, 16, simulator=TwoKinds(), scorer=Fits(), max_turns=2)
    learner = make_learner(algorithm, "ab", 2, 0.5)
    arms = {"a": Says("short"), "b": Says("long")}
    policy, so_far = BanditPolicy(arms, learner, FeatureReader({"hurry": hurry}), 2), Learned()
    for _ in range(10):
        learn_batch(env, policy, seed, 16, so_far)
    assert so_far.curve[-1] == 1.0
    assert policy.key is None
    openings: Any = [[{"role": "user", "content": text}] for text in ("quick! 7", "take your time 7")]
    assert [policy.chosen(opening) for opening in openings] == [0, 1]
    assert so_far.dialogues == sum(so_far.arms.values()) == 160
    assert so_far.user_calls == 320


def test_the_arm_leads_the_whole_dialogue_and_every_row_gets_its_reply() -> None:
    learner = make_learner("linucb", "ab", 2, 0.0)
    learner.learn(np.array([1.0, 1.0]), 1, 1.0)
    policy = BanditPolicy(
        {"a": Says("long"), "b": Says("short")}, learner, FeatureReader({"hurry": hurry}), 4
    )
    quick: Any = [{"role": "user", "content": "quick!"}]
    slow: Any = [{"role": "user", "content": "take your time"}]
    learner.learn(np.array([1.0, 0.0]), 0, 1.0)
    later: Any = [*quick, {"role": "assistant", "content": "x"}, {"role": "user", "content": "hm"}]
    requests = [PolicyRequest(i, c, NoiseKey((i,))) for i, c in enumerate((slow, quick, later, slow))]
    assert [reply.text for reply in policy.act(requests)] == ["long", "short", "short", "long"]


def test_arms_that_ask_so_often_and_then_answer() -> None:
    arm = AskThenAnswer("math", 1)
    env = make_vector_env("MathChat-v0", 4, max_turns=3)
    for t in play(env, arm, range(4), range(4)):
        said = [m["content"] for m in t.record.messages if m["role"] == "assistant"]
        assert said[0].endswith("?")
        assert all("The answer is" in text or "answer" in text.lower() for text in said[1:])


@pytest.mark.parametrize(
    ("kind", "max_turns", "most"),
    [("math", 2, 1), ("math", 4, 3), ("math", 12, 4), ("document", 6, 5), ("document", 12, 6)],
)
def test_our_arms_ask_for_what_may_be_untold_and_leave_a_turn_for_the_answer(
    kind: Kind, max_turns: int, most: int
) -> None:
    asks = default_asks(kind, max_turns)
    assert list(asks.values()) == list(range(most + 1))
    names = ["answer at once", "ask once", "ask twice", *(f"ask {n} times" for n in range(3, most + 1))]
    assert list(asks) == names[: most + 1]
    env = make_vector_env(ENV_IDS[kind], 8, max_turns=max_turns)
    *_, arm = build_arms("acts", kind, {}, max_turns).values()
    told = "The answer is" if kind == "math" else "Draft:"
    last = [t.record.messages[2 * most + 1 :][:1] for t in play(env, arm, range(8), range(8))]
    assert any(message["content"].count(told) for messages in last for message in messages)


def test_a_dialogue_of_one_turn_leaves_no_choice() -> None:
    with pytest.raises(ValueError, match="max_turns must be at least 2, one for a question and one for"):
        build_arms("acts", "math", {}, 1)
    assert len(build_arms("acts", "math", {"a": 0, "b": 1}, 1)) == 2


@pytest.mark.parametrize(
    ("policy", "arms", "message"),
    [
        ("acts", {"one": 1}, "arms must be at least two, so that there is a choice, got 1"),
        ("acts", {"a": 1, "b": "ask"}, "arm 'b' must be a number of questions, 0 or more, got 'ask'"),
        ("acts", {"a": 1, "b": -1}, "arm 'b' must be a number of questions, 0 or more"),
        ("rule", {"a": 1.0, "b": 2.0}, r"ask_rate must be in \[0, 1\], got 2.0"),
        ("tiny", {"a": "be kind", "b": 3}, "arm 'b' must be a system prompt, got 3"),
        ("act", {}, "unknown policy 'act': did you mean 'acts'"),
    ],
)
def test_arms_that_cannot_be(policy: str, arms: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_arms(policy, "math", arms, 12)


def test_a_language_model_under_several_prompts() -> None:
    arms = build_arms("tiny", "math", {"kind": "Be kind.", "plain": ""}, 12)
    assert [arm.identity()["system_prompt"] for arm in arms.values()] == ["Be kind.", None]
    models = {id(arm.language_model) for arm in arms.values()}  # type: ignore[attr-defined]
    assert len(models) == 1


def small(out: Path, **changes: Any) -> BanditSettings:
    given: dict[str, Any] = {"dialogues": 48, "batch_size": 16, "eval_dialogues": 16, "out": out}
    return BanditSettings(**{**given, **changes})


@pytest.mark.parametrize("algorithm", LEARNERS)
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(algorithm: str, tmp_path: Path) -> None:
    whole = run(small(tmp_path / "whole", algorithm=algorithm))
    run(small(tmp_path / "part", algorithm=algorithm, dialogues=32))
    part = run(small(tmp_path / "part", algorithm=algorithm, resume=True))
    for result in (whole, part):
        del result["budget"]["cpu_seconds"]
    assert part == whole
    assert whole["budget"]["policy_tokens"] == 0
    assert whole["budget"]["user_calls"] > 48
    loaded = load_policy(tmp_path / "whole", "math")
    assert loaded.learner.moment.any()
    with pytest.raises(ValueError, match="has other settings: exploration; resume with those"):
        run(small(tmp_path / "part", algorithm=algorithm, resume=True, exploration=2.0))
    with pytest.raises(FileExistsError, match="holds a run already"):
        run(small(tmp_path / "part", algorithm=algorithm))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--algorithm", "linucp"], "unknown algorithm 'linucp': did you mean 'linucb'?"),
        (["--exploration", "-1"], "exploration must be at least 0, got -1.0"),
        (["--arms", "[1]"], "arms must be a JSON object"),
        (["--eval-split", "tset"], "tset"),
        (["--env", "CartPole-v1"], "CartPole-v1"),
        (["--dialogs", "3"], "--dialogues"),
        (["--resume"], "nothing to resume"),
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


def test_what_a_run_says_at_its_end(capsys: Any, tmp_path: Path) -> None:
    words = ["--dialogues", "16", "--batch-size", "8", "--eval-dialogues", "0"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr().out
    assert f"policy: {tmp_path / 'run' / 'bandit.json'}" in printed
    assert "training dialogues by arm: " in printed


def test_a_server_that_is_not_there_ends_the_run(capsys: Any, tmp_path: Path) -> None:
    pytest.importorskip("openai")
    server = {"name": "http", "base_url": "http://127.0.0.1:9/v1", "model": "m", "max_retries": 0}
    words = ["--policy", json.dumps(server), "--batch-size", "4", "--eval-dialogues", "0"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith(
        "error: none of the 4 dialogues of batch 0 has a reward, the first because of policy_failure: 'm' at "
    )
    assert "is a server running there?" in last
    assert not (tmp_path / "run" / "bandit.json").exists()


class Leaves(ScriptedUser):
    """Answers in so many rounds, and never again."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds

    def reply(self, requests: Any) -> list[UserReply]:
        self.rounds -= 1
        if self.rounds < 0:
            return [UserReply("", error="gone home") for _ in requests]
        return [UserReply("bye", stop=True) for _ in requests]


def test_a_batch_without_a_score_ends_the_run_and_teaches_nothing() -> None:
    env = make_vector_env("MathChat-v0", 4, simulator=Leaves(1), max_turns=2)
    learner = make_learner("linucb", "ab", 2, 0.5)
    policy = BanditPolicy({"a": Says("x"), "b": Says("y")}, learner, FeatureReader({"hurry": hurry}), 2)
    so_far = Learned()
    learn_batch(env, policy, 0, 4, so_far)
    known = learner.state()
    message = (
        "^none of the 4 dialogues of batch 1 has a reward, the first because of simulator_failure: gone home$"
    )
    with pytest.raises(NothingScored, match=message):
        learn_batch(env, policy, 0, 4, so_far)
    assert learner.state() == known
    assert so_far.dialogues == sum(so_far.arms.values()) == 4
