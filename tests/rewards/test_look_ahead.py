"""Look-ahead: values by hand, gains that sum to the score, and what cannot be."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialogue_gym.rewards import LookAhead, Training, build_turn_reward, totals
from dialogue_gym.rollout import make_vector_env, play
from dialogue_gym.seeding import NoiseKey
from tests.rewards.conftest import Scorer, Speaker, Talker, record, running, task, tenths

HELLO = Speaker(lambda conversation, key: "hello")


def look(env: Any, policy: Any = HELLO, **changes: Any) -> LookAhead:
    return LookAhead(env, policy, **changes)


def test_values_by_hand(make_env: Any) -> None:
    """A tenth a message; futures of two turns within four: three messages after the first, then four."""
    env = make_env()
    talked = record("?", "a", "1", "b", "2", "c", "3", "d", end_reason="turn_limit", reward=0.45)
    (values,) = look(env, pays="value").rewards([talked])
    assert values == pytest.approx([0.3, 0.4, 0.4, 0.45])
    (gains,) = look(env).rewards([talked])
    assert gains == pytest.approx([0.3, 0.1, 0.0, 0.05])


def test_the_last_reply_of_a_user_who_left(make_env: Any) -> None:
    """The value asks how it goes on when this is said; the gain, how it went."""
    left = record("?", "a", "1", "b", "bye", reward=0.9)
    reward = look(make_env(), pays="value")
    assert reward.rewards([left]) == [pytest.approx([0.3, 0.4])]
    assert look(make_env()).rewards([left]) == [pytest.approx([0.3, 0.6])]


def test_a_running_dialogue_is_valued_so_far(make_env: Any) -> None:
    talked = running("?", "a", "1", "b", "2")
    assert look(make_env()).rewards([talked]) == [pytest.approx([0.3, 0.1])]
    assert look(make_env()).totals([talked, running("?")]) == pytest.approx([0.4, 0.0])
    assert look(make_env()).rewards([running("?"), record("?", reward=None, end_reason="aborted")]) == [
        [],
        None,
    ]


def test_the_value_is_the_mean_over_scored_futures(make_env: Any) -> None:
    """Played again here, one by one."""
    env = make_env(simulator=Talker(stop=0.3, fail=0.3), scorer=Scorer(lambda c: hash_of(c) % 100 / 100))
    reward = look(env, continuations=6, pays="value", seed=3)
    dialogues = [running(f"number {i}?", "a", "1", "b", "2") for i in range(5)]
    found = reward.rewards(dialogues)
    several = 0
    for dialogue, values in zip(dialogues, found, strict=True):
        for turn in range(2):
            start = {**as_dict(dialogue), "messages": dialogue.messages[: 2 * turn + 2], "turns_metadata": []}
            key = NoiseKey((3, "look_ahead", 11, 12, turn + 1))
            futures = [
                play(
                    env, HELLO, [11], [key.child(n).seed()], policy_seed=3, starts=[start], max_turns=[limit]
                )[0]
                for n in range(6)
                for limit in [min(turn + 3, 4)]
            ]
            scored = [t.reward for t in futures if t.reward is not None]
            several += len(set(scored)) > 1
            if values is not None:
                assert values[turn] == pytest.approx(sum(scored) / len(scored))
    assert several


def test_nothing_is_known_where_every_future_failed(make_env: Any) -> None:
    env = make_env(simulator=Talker(fail=1.0))
    assert look(env).rewards([running("?", "a", "1"), running("?")]) == [None, []]
    ended = record("?", "a", "1", reward=0.5)
    assert look(env).rewards([ended]) == [[0.5]]  # there is nothing to look ahead to
    assert look(env, pays="value").rewards([ended]) == [None]


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.floats(0, 1)), max_size=4),
    st.sampled_from(["gain", "value"]),
)
def test_gains_sum_to_the_score_and_totals_are_sums(dialogues: Any, pays: Any) -> None:
    env = _env(tenths)
    records = []
    for turns, over, score in dialogues:
        texts = ["?", *("a", "1") * turns]
        if turns == 4:
            texts, over = texts[:-1], True
        reason = "turn_limit" if turns == 4 else "user_stop"
        ended = record(*texts, reward=score, end_reason=reason)
        records.append(ended if over else running(*texts))
    reward = look(env, continuations=2, pays=pays)
    found = reward.rewards(records)
    sums = [None if values is None else sum(values) for values in found]
    assert totals(reward, records) == pytest.approx(sums)
    for made, total in zip(records, sums, strict=True):
        if pays == "gain" and made.reward is not None and len(made.messages) > 1:
            assert total == pytest.approx(made.reward)


def test_what_it_cost_is_known(make_env: Any) -> None:
    """Two futures of two turns after the first reply, two after the second, none after the third and last."""
    user = Talker()
    reward = look(make_env(simulator=user), continuations=2)
    talked = record("?", "a", "1", "b", "2", "c", "bye")
    reward.rewards([talked])
    spent = reward.take_spent()
    assert spent.tokens == 2 * 2 + 2 * 2
    assert len(spent.heard) == user.said == 2 * 2 + 2 * 2
    assert reward.take_spent().heard == []
    reward.totals([running("?", "a", "1"), talked])
    assert reward.take_spent().tokens == 2 * 2  # one value is all that is needed


def test_neighbours_change_nothing(make_env: Any) -> None:
    env = make_env(simulator=Talker(stop=0.4), scorer=Scorer(lambda c: hash_of(c) % 100 / 100))
    reward = look(env)
    dialogues = [running(f"{i}", "a", "1", "b", "2", task_seed=i) for i in range(3)]
    together = reward.rewards(dialogues)
    assert together == [reward.rewards([dialogue])[0] for dialogue in dialogues]
    assert len({str(values) for values in together}) > 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"continuations": 0}, "look_ahead: continuations must be an int of at least 1, got 0"),
        ({"window": 1.5}, "look_ahead: window must be an int of at least 1, got 1.5"),
        ({"pays": "gian"}, "look_ahead: unknown pays 'gian': did you mean 'gain'?"),
        ({"windw": 1}, "turn reward 'look_ahead' has no option 'windw': did you mean 'window'?"),
    ],
)
def test_settings_that_cannot_be(make_env: Any, spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        build_turn_reward({"name": "look_ahead", **spec}, Training(make_env()))
    assert str(caught.value) == message


def test_dialogues_that_cannot_go_on(make_env: Any) -> None:
    reward = look(make_env(max_turns=2))
    with pytest.raises(ValueError, match=r"of 3 turns cannot go on after turn 2 in .* with max_turns=2"):
        reward.rewards([record("?", "a", "1", "b", "2", "c", "bye")])
    with pytest.raises(ValueError, match="look_ahead: a dialogue without its task cannot go on"):
        reward.rewards([replace(running("?", "a", "1"), task=None)])


def test_without_a_policy(make_env: Any) -> None:
    training = Training(make_env())
    reward = build_turn_reward("look_ahead", training)
    with pytest.raises(ValueError, match="needs the policy under training, and was given none"):
        reward.rewards([running("?", "a", "1")])
    training.policy.policy = HELLO
    assert reward.rewards([running("?", "a", "1")]) == [pytest.approx([0.3])]
    assert reward.identity()["simulator"] == {"name": "talker"}


def test_the_scorer_sees_the_task_of_the_dialogue(make_env: Any) -> None:
    """Futures are scored on the dialogue's own task, not on one that the environment draws."""
    seven = Speaker(lambda conversation, key: "The answer is 7.")
    env = make_env(scorer="answer", simulator=Talker())
    right, wrong = running("?", "a", "1", task=task("7")), running("?", "a", "1", task=task("6"))
    assert look(env, seven).rewards([right, wrong]) == [[1.0], [0.0]]


def hash_of(conversation: Any) -> int:
    return NoiseKey(tuple(m["content"] for m in conversation)).bits()


def as_dict(dialogue: Any) -> dict[str, Any]:
    return {name: getattr(dialogue, name) for name in ("task", "persona", "task_seed")}


def _env(score: Any) -> Any:
    return make_vector_env(
        "dialogue_gym:MathChat-v0", 4, simulator=Talker(), scorer=Scorer(score), max_turns=4
    )
