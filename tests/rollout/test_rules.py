"""What can be reached: each bound is a promise about user, tasks and scorer together."""

from collections.abc import Callable
from typing import Any

import pytest

from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.rollout import PolicyRequest, RulePolicy, evaluate
from dialogue_gym.rollout.evaluation import Evaluation
from dialogue_gym.seeding import NoiseKey

MakeEnv = Callable[..., DialogueVectorEnv]
SPLITS = ("train", "validation", "test")
UNRELATED = (
    "Draft: The old ship sailed slowly past the harbour while gulls cried and children waved below.",
    "Interest rates rose again this quarter, which surprised most analysts who had expected a pause.",
)


def mean(evaluation: Evaluation) -> float:
    assert evaluation.unscored_rate == 0
    assert evaluation.reward is not None
    return evaluation.reward.mean


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("kind", ["math", "document"])
def test_asking_for_everything_reaches_nine_tenths(make_env: MakeEnv, kind: Any, split: str) -> None:
    assert mean(evaluate(make_env(kind, num_envs=64, split=split), RulePolicy(kind), 200)) >= 0.9


@pytest.mark.parametrize("levels", [[2], [3], [1, 2, 3]])
def test_problems_of_several_steps_can_be_solved(make_env: MakeEnv, levels: list[int]) -> None:
    env = make_env(tasks={"name": "procedural", "levels": levels, "max_number": 40})
    assert mean(evaluate(env, RulePolicy("math"), 100)) >= 0.85


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("kind", ["math", "document"])
def test_committing_in_the_first_turn_stays_below_half(make_env: MakeEnv, kind: Any, split: str) -> None:
    env = make_env(kind, num_envs=64, split=split, max_turns=1)
    assert mean(evaluate(env, RulePolicy(kind, ask_rate=0.0), 200)) <= 0.5


@pytest.mark.parametrize("kind", ["math", "document"])
def test_asking_pays_in_proportion(make_env: MakeEnv, kind: Any) -> None:
    env = make_env(kind, num_envs=64)
    rewards = [mean(evaluate(env, RulePolicy(kind, rate), 150)) for rate in (0.0, 0.5, 1.0)]
    assert rewards[0] + 0.05 < rewards[1] < rewards[2] - 0.02


@pytest.mark.parametrize("form", ["{}", "Draft: {}", "Here is the notice: {}", "The answer is {}"])
@pytest.mark.parametrize("kind", ["math", "document"])
def test_parroting_the_user_stays_below_three_tenths(
    make_env: MakeEnv, speaker: Any, kind: str, form: str
) -> None:
    parrot = speaker(lambda conversation: form.format(conversation[-1]["content"]))
    assert mean(evaluate(make_env(kind, num_envs=64), parrot, 100)) <= 0.3


@pytest.mark.parametrize("kind", ["math", "document"])
def test_parroting_all_that_the_user_said_stays_below_three_tenths(
    make_env: MakeEnv, speaker: Any, kind: str
) -> None:
    def parrot(conversation: Any) -> str:
        return "Draft: " + ". ".join(m["content"] for m in conversation if m["role"] == "user")

    assert mean(evaluate(make_env(kind, num_envs=64), speaker(parrot), 100)) <= 0.3


@pytest.mark.parametrize("text", UNRELATED)
@pytest.mark.parametrize("kind", ["math", "document"])
def test_unrelated_text_earns_next_to_nothing(make_env: MakeEnv, speaker: Any, kind: str, text: str) -> None:
    assert mean(evaluate(make_env(kind, num_envs=64), speaker(lambda _: text), 100)) <= 0.05


@pytest.mark.parametrize("kind", ["math", "document"])
def test_an_unknown_story_is_asked_about(kind: Any) -> None:
    request = PolicyRequest(
        0, [{"role": "user", "content": "a long story \U0001f600 {n} (["}], NoiseKey((1,))
    )
    (reply,) = RulePolicy(kind).act([request])
    assert reply.text.endswith("?")


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind 'maths': did you mean 'math'"):
        RulePolicy("maths")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"ask_rate must be in \[0, 1\], got 1.5"):
        RulePolicy("math", 1.5)
