"""Dialogue acts and their words, over single environments."""

import json
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

from dialogue_gym.language_models import Completion, GenerationRequest, Sampling
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks import Reference, task_sources
from dialogue_gym.wrappers import DialogueActs, Features, TemplateActs
from dialogue_gym.wrappers.acts import INSTRUCTIONS, build_acts, default_templates
from tests.envs.conftest import SwappedReference

IDS = ["dialogue_gym:MathChat-v0", "dialogue_gym:DocEditChat-v0"]
ASK, ANSWER = 0, 1


class Model:
    """Says which act it was told to do; fails where the user's last message has ``fault`` in it."""

    def __init__(self, fault: str = "\0", reason: str = "error") -> None:
        self.fault, self.reason = fault, reason
        self.calls: list[list[GenerationRequest]] = []
        self.forgotten = 0

    def generate(self, requests: Sequence[GenerationRequest], sampling: Sampling) -> list[Completion]:
        self.calls.append(list(requests))
        return [self._say(request) for request in requests]

    def _say(self, request: GenerationRequest) -> Completion:
        if self.fault in request.messages[-1]["content"]:
            return Completion("", finish_reason=self.reason, error="no words")  # type: ignore[arg-type]
        return Completion(
            "What is missing?" if "Ask" in request.messages[0]["content"] else "The answer is 7."
        )

    def forget(self, dialogue_ids: Any) -> None:
        self.forgotten += len(list(dialogue_ids))

    def identity(self) -> dict[str, Any]:
        return {"name": "model"}


# every wrapped environment gets this one: it is about the checker, not about the wrapper
@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_has_nothing_to_say(env_id: str) -> None:
    check_env(Features(DialogueActs(gym.make(env_id))))
    check_env(DialogueActs(gym.make(env_id)))


@pytest.mark.parametrize("env_id", IDS)
def test_stable_baselines_has_nothing_to_say(env_id: str) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(Features(DialogueActs(gym.make(env_id))), warn=True)


@pytest.mark.parametrize("env_id", IDS)
def test_asking_until_nothing_is_missing_and_answering_earns_nine_tenths(env_id: str) -> None:
    """The best that the two acts allow, by a program that sees one of the features."""
    env = Features(DialogueActs(gym.make(env_id, split="test")))
    done_at = list(env.read.features).index("user_is_done")
    rewards = []
    for seed in range(40):
        features, _ = env.reset(seed=seed)
        over = told = False
        while not over:
            told = told or bool(features[done_at])
            features, reward, terminated, truncated, _ = env.step(ANSWER if told else ASK)
            over = terminated or truncated
        rewards.append(reward)
    assert sum(rewards) / len(rewards) >= 0.9


@pytest.mark.parametrize("env_id", IDS)
def test_the_words_are_a_function_of_the_dialogue(env_id: str) -> None:
    first, second = (DialogueActs(gym.make(env_id)) for _ in range(2))
    assert first.reset(seed=4)[0] == second.reset(seed=4)[0]
    second.reset(seed=5)
    second.step(ASK)
    second.reset(seed=4)
    assert [first.step(a)[0] for a in (ASK, ANSWER)] == [second.step(a)[0] for a in (ASK, ANSWER)]


@pytest.mark.parametrize("kind", ["math", "document"])
def test_the_acts_do_not_know_the_reference(kind: Any) -> None:
    env_id = IDS[kind == "document"]
    canary = SwappedReference(
        task_sources[kind].build("procedural"), Reference("31337", "CANARY", ("CANARY",))
    )
    own, swapped = DialogueActs(gym.make(env_id)), DialogueActs(gym.make(env_id, tasks=canary))
    for seed in range(5):
        assert own.reset(seed=seed)[0] == swapped.reset(seed=seed)[0]
        for act in (ANSWER, ASK, ANSWER):
            assert own.step(act)[0] == swapped.step(act)[0]


def test_one_s_own_templates() -> None:
    acts = {"wait": "Hm.", "echo": lambda conversation, key: conversation[-1]["content"].upper()}
    env = DialogueActs(gym.make(IDS[0]), acts)
    opening = env.reset(seed=1)[0][0]["content"]
    assert env.step(1)[0][1]["content"] == opening.upper()
    assert env.step(0)[0][3]["content"] == "Hm."
    assert env.action_space.n == 2


@pytest.mark.parametrize("env_id", IDS)
def test_the_spec_survives_json(env_id: str) -> None:
    env = Features(DialogueActs(gym.make(env_id), {"ask": "What else?", "stop": "Bye."}))
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert (again.reset(seed=3)[0] == env.reset(seed=3)[0]).all()
    assert again.action_space == env.action_space
    assert json.loads(env.spec.to_json())["additional_wrappers"]


def test_a_language_model_words_the_acts() -> None:
    model = Model()
    env = DialogueActs(gym.make(IDS[0]), language_model=model)
    opening = env.reset(seed=1)[0]
    assert [m["content"] for m in env.step(ANSWER)[0]][1] == "The answer is 7."
    ((request,),) = model.calls
    assert request.messages == [{"role": "system", "content": INSTRUCTIONS["math"]["answer"]}, *opening]
    assert model.forgotten == 1


@pytest.mark.parametrize(("reason", "end"), [("error", "policy_failure"), ("overflow", "context_overflow")])
def test_a_model_without_words_ends_the_dialogue_unscored(reason: str, end: str) -> None:
    env = DialogueActs(gym.make(IDS[0]), language_model=Model(fault="", reason=reason))
    env.reset(seed=1)
    _, reward, terminated, truncated, info = env.step(ASK)
    assert (reward, terminated, truncated, info["end_reason"]) == (0.0, False, True, end)
    assert env.unwrapped.record().extra["failure"] == "no words"


def test_the_tiny_model_can_word_them() -> None:
    pytest.importorskip("transformers")
    acts = build_acts(None, "math", "tiny")
    said = acts.render([[{"role": "user", "content": "Tom has 3 apples. How many apples?"}]] * 2, [ASK, ASK])
    assert said[0].text == said[1].text
    assert said[0].error is None


def test_unknown_tasks_are_asked_about_and_earn_nothing() -> None:
    conversation = [{"role": "user", "content": "solve x + 1 = 2"}]
    for kind in ("math", "document"):
        said = {template(conversation, NoiseKey((1,))) for template in default_templates(kind).values()}
        assert said == {"Could you tell me what is missing?"}


@pytest.mark.parametrize("action", [2, -1, "ask", 0.5, None])
def test_an_action_that_is_no_act(action: Any) -> None:
    env = DialogueActs(gym.make(IDS[0]))
    env.reset(seed=1)
    with pytest.raises(ValueError, match=r"an act is one of 0 \(ask\), 1 \(answer\); got"):
        env.step(action)


@pytest.mark.parametrize(
    ("acts", "model", "message"),
    [
        ({}, None, "acts must name at least one act"),
        ({"ask": 3}, None, "act 'ask' must be a text or a function, got int"),
        ({"ask": len}, Model(), "act 'ask' must be a text, since a language model words the acts"),
        (["ask"], None, "acts must be a dict of templates by name, or Acts, got list"),
        (TemplateActs({"a": "b"}), Model(), "language_model cannot be given with an Acts object"),
        (None, "tinny", "unknown language model 'tinny': did you mean 'tiny'"),
    ],
)
def test_acts_that_cannot_be(acts: Any, model: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DialogueActs(gym.make(IDS[0]), acts, model)


def test_environments_that_cannot_be_wrapped() -> None:
    with pytest.raises(ValueError, match="DialogueActs wraps a DialogueEnv, got CartPoleEnv"):
        DialogueActs(gym.make("CartPole-v1"))
    with pytest.raises(ValueError, match="observe='all', not 'new'"):
        Features(gym.make(IDS[0], observe="new"))
    with pytest.raises(
        ValueError, match="Features goes outermost, as in Features\\(DialogueActs\\(env\\)\\)"
    ):
        DialogueActs(Features(gym.make(IDS[0])))
