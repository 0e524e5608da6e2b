"""Progress: by hand, telescoping, the best policy stays the best, and what it needs."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialogue_gym.rewards import Progress, Training, build_turn_reward
from dialogue_gym.seeding import NoiseKey
from tests.rewards.conftest import CANARY, Scores, Talker, record, running, task


def noise(seed: int = 0) -> Scores:
    """A model that finds texts likely or not for no reason."""
    return Scores(lambda context, token: -9 * NoiseKey((seed, context, token)).uniform())


def test_by_hand() -> None:
    """Each letter b in the dialogue makes the answer likelier; two tokens, of which the mean counts."""
    model = Scores(lambda context, token: context.count("b") - (5.0 if token == " " else 3.0))
    talked = record("?", "b", "1", "bb", "2", "a", "bye", reward=0.5)
    reward = Progress(model, weight=0.1, gamma=0.5)
    assert reward.potentials([talked]) == [[-4.0, -3.0, -1.0]]
    (paid,) = reward.rewards([talked])
    assert paid == pytest.approx([0.1 * (0.5 * -3 + 4), 0.1 * (0.5 * -1 + 3), 0.5 + 0.1 * 1])
    assert model.asked[:2] == [
        ("u:?\na:The answer is", " 6"),
        ("u:?\na:b\nu:1\na:The answer is", " 6"),
    ]


def test_of_a_running_dialogue() -> None:
    model = Scores(lambda context, token: context.count("b") - 4.0)
    reward = Progress(model, weight=1.0)
    assert reward.rewards([running("?", "b", "1", "a", "2")]) == [[1.0, 0.0]]
    assert reward.rewards([running("?", "b", "1", "b")]) == [[1.0, 0.0]]  # nobody has answered yet
    assert reward.rewards([running("?"), record("?", "a", reward=None, end_reason="aborted")]) == [[], None]
    assert reward.rewards([]) == []


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.floats(-1, 1)), max_size=5),
    st.floats(-2, 2),
    st.floats(0.1, 1),
    st.integers(0, 99),
)
def test_discounted_sums_telescope(dialogues: Any, weight: float, gamma: float, seed: int) -> None:
    """They are the discounted score less the potential of the opening, whatever was said."""
    reward = Progress(noise(seed), weight, gamma)
    records = [
        record(
            *["?", *(f"a{n}" for n in range(2 * turns))][: None if left else -1 if turns else None],
            reward=score,
        )
        for turns, left, score in dialogues
    ]
    opening = reward.potentials([running("?")])[0][0]
    assert opening is not None
    for (turns, _, score), paid in zip(dialogues, reward.rewards(records), strict=True):
        assert paid is not None
        assert len(paid) == turns
        if turns:
            total = sum(gamma**t * value for t, value in enumerate(paid))
            assert total == pytest.approx(gamma ** (turns - 1) * score - weight * opening)


TURNS, ACTS = 3, "xy"


def _plays(policy: dict[str, str], score: Callable[[str], float]) -> Any:
    """The dialogue of a deterministic policy with a user who leaves after hearing "yy"."""
    said = ""
    texts = ["?"]
    for _ in range(TURNS):
        said += policy[said]
        texts += [said[-1], f"heard {said}"]
        if said.endswith("yy"):
            break
    return record(*texts, reward=score(said))


@settings(max_examples=10)
@given(st.integers(0, 1000), st.floats(0.05, 1), st.floats(0.5, 1))
def test_the_best_policies_stay_the_best(seed: int, weight: float, gamma: float) -> None:
    """All policies of a small dialogue, under a random score and random potentials."""

    def score(said: str) -> float:
        return NoiseKey((seed, "score", said)).integer(0, 4) / 4

    histories = ["".join(h) for turns in range(TURNS) for h in product(ACTS, repeat=turns)]
    policies = [dict(zip(histories, acts, strict=True)) for acts in product(ACTS, repeat=len(histories))]
    records = [_plays(policy, score) for policy in policies]
    plain = [gamma ** (len(r.messages) // 2 - 1) * r.reward for r in records]
    shaped = [
        sum(gamma**t * value for t, value in enumerate(paid))
        for paid in Progress(noise(seed), weight, gamma).rewards(records)
    ]
    best, found = max(plain), max(shaped)
    assert [v >= best - 1e-9 for v in plain] == [v >= found - 1e-9 for v in shaped]
    gaps = {round(a - b, 9) for a, b in zip(plain, shaped, strict=True)}
    assert len(gaps) == 1


def test_a_dialogue_that_does_not_fit_has_no_reward() -> None:
    model = noise()
    model.max_context = 40
    short, long = record("?", "a", "1"), record("?", "a" * 40, "1", "b", "bye")
    paid = Progress(model).rewards([long, short])
    assert paid[0] is None
    assert paid == [None, Progress(noise()).rewards([short])[0]]


def test_documents_go_by_their_text_or_their_facts() -> None:
    for reference, expected in (
        ({"text": "Dear all"}, " Dear all"),
        ({"facts": ("8 pm", "Rome")}, " 8 pm, Rome"),
    ):
        model = noise()
        Progress(model).rewards([record("?", "a", "1", task=task("", "document", **reference))])
        assert model.asked == [("u:?\na:Draft:", expected)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": None}, "progress: a dialogue without its task, whose reference is needed"),
        (
            {"task": task(" ")},
            "progress: task 'hand-made' has no reference answer, which progress is towards",
        ),
        (
            {"task": task(CANARY, "document")},
            "progress: task 'hand-made' has no reference text and no facts, which progress is towards",
        ),
    ],
)
def test_a_task_without_a_reference(changes: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        Progress(noise()).rewards([record("?", "a", "1", **changes)])
    assert str(caught.value) == message


class Mute:
    """A language model that cannot score."""

    codec = None

    def generate(self, requests: Any, sampling: Any) -> Any:
        raise NotImplementedError

    def forget(self, dialogue_ids: Any) -> None:
        pass

    def identity(self) -> dict[str, Any]:
        return {"engine": "mute"}


def test_the_model_is_the_users_unless_another_is_given(make_env: Any) -> None:
    model = noise()
    user: Any = Talker()
    with pytest.raises(
        ValueError, match=r"progress: the user Talker has no language model; train with .* or give"
    ):
        build_turn_reward("progress", Training(make_env(simulator=user)))
    user.language_model = model
    reward = build_turn_reward({"name": "progress", "gamma": 0.9}, Training(make_env(simulator=user)))
    assert isinstance(reward, Progress)
    assert (reward.language_model, reward.gamma) == (model, 0.9)
    user.language_model = Mute()
    with pytest.raises(
        ValueError, match=r"progress: the language model Mute cannot score given texts \(no 'score'\)"
    ):
        build_turn_reward("progress", Training(make_env(simulator=user)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gamma": 0.0}, "progress: gamma must be above 0 and at most 1, got 0.0"),
        ({"weight": float("nan")}, "progress: weight must be a number, got nan"),
    ],
)
def test_settings_that_cannot_be(changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Progress(noise(), **changes)


def test_nothing_of_the_reference_comes_out() -> None:
    reward = Progress(noise())
    paid = reward.rewards([record("?", "a", "1", task=task(CANARY))])
    assert CANARY not in repr((paid, reward.identity()))


def test_with_the_tiny_model() -> None:
    """To know the facts makes the answer likelier."""
    pytest.importorskip("transformers")
    from dialogue_gym.envs import DialogueVectorEnv
    from dialogue_gym.rollout import RulePolicy, make_vector_env, play

    env: DialogueVectorEnv = make_vector_env("MathChat-v0", 8, simulator="prompted", language_model="tiny")
    trajectories = play(make_vector_env("MathChat-v0", 8), RulePolicy("math"), range(8), range(8))
    reward = build_turn_reward("progress", Training(env))
    assert isinstance(reward, Progress)
    potentials = reward.potentials([t.record for t in trajectories])
    rises = [p[-1] - p[0] for p in potentials if len(p) > 2 and p[0] is not None and p[-1] is not None]
    assert len(rises) >= 4
    assert sum(rises) / len(rises) > 0.5
