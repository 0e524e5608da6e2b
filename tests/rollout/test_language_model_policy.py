"""A language model as the agent: masks, overflow, and going on, with the scripted user and with itself."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("transformers")

from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.language_models import GenerationRequest, Sampling
from dialogue_gym.language_models.transformers_engine import TransformersModel
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout import LanguageModelPolicy, Trajectory, play
from tests.envs.tiny_users import HEARD, near_ties, tiny

fewer = settings(max_examples=3)
kinds = st.sampled_from(["math", "document"])
users = st.sampled_from(["scripted", "prompted"])
BRIEFLY = Sampling(max_tokens=10)  # cuts some messages off and lets others end


def vector(kind: Any, user: str, rows: int, **keywords: Any) -> DialogueVectorEnv:
    if user == "prompted":
        keywords["language_model"] = HEARD
    return DialogueVectorEnv(kind, rows, "Disabled", simulator=user, **{"max_turns": 4, **keywords})


def spoken(trajectory: Trajectory) -> list[str]:
    return [m["content"] for m in trajectory.record.messages if m["role"] == "assistant"]


def sampled(trajectory: Trajectory, turn: int) -> list[int]:
    pairs = zip(trajectory.token_ids, trajectory.turn_index, strict=True)
    return [token for token, index in pairs if index == turn]


@fewer
@given(kind=kinds, user=users, seed=st.integers(0, 2**40))
def test_masked_tokens_are_the_agents_messages(kind, user, seed):
    codec = tiny().codec
    trajectories = play(vector(kind, user, 6), LanguageModelPolicy(HEARD, BRIEFLY), [seed] * 6, range(6))
    lengths = set()
    for trajectory in trajectories:
        messages = spoken(trajectory)
        assert max(trajectory.turn_index) == len(messages) - 1
        assert trajectory.loss_mask == [int(turn >= 0) for turn in trajectory.turn_index]
        for turn, message in enumerate(messages):
            tokens = sampled(trajectory, turn)
            assert codec.decode(tokens) == message
            lengths.add((len(tokens) == 10, tokens[-1] == codec.end_of_turn_id))
        assert trajectory.loss_mask[-1] == 1
        assert all(
            lp == 0.0 for lp, m in zip(trajectory.log_probs, trajectory.loss_mask, strict=True) if not m
        )
    assert lengths <= {(True, False), (True, True), (False, True)}


@fewer
@given(kind=kinds, user=users, seed=st.integers(0, 2**40))
def test_what_is_not_masked_is_what_the_user_said_and_markup(kind, user, seed):
    codec = tiny().codec
    for trajectory in play(vector(kind, user, 4), LanguageModelPolicy(HEARD, BRIEFLY), [seed] * 4, range(4)):
        ids: list[int] = []
        for turn, message in enumerate(trajectory.record.messages):
            if turn == 0:
                ids = codec.encode([message])
            elif message["role"] == "assistant":
                tokens = sampled(trajectory, turn // 2)
                ids += tokens
                closed = tokens[-1] == codec.end_of_turn_id
            elif turn < len(trajectory.record.messages) - 1:  # the last reply is nobody's context
                ids += ([] if closed else [codec.end_of_turn_id]) + codec.extend([message])
        assert trajectory.token_ids == ids


@fewer
@given(kind=kinds, seed=st.integers(0, 2**40))
def test_behaviour_log_probabilities_are_those_of_the_whole_sequence(kind, seed):
    for trajectory in play(
        vector(kind, "scripted", 4), LanguageModelPolicy(HEARD, BRIEFLY), [seed] * 4, range(4)
    ):
        recomputed = score(trajectory.token_ids)
        for at, masked in enumerate(trajectory.loss_mask):
            if masked:
                assert trajectory.log_probs[at] == pytest.approx(recomputed[at], abs=1e-4)


def score(ids: list[int]) -> list[float]:
    import torch

    with torch.no_grad():
        log_probs = tiny().model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return [0.0, *(float(log_probs[i - 1, ids[i]]) for i in range(1, len(ids)))]


@fewer
@given(kind=kinds, user=users, seed=st.integers(0, 2**40), k=st.integers(0, 3))
def test_going_on_from_turn_k_is_never_having_stopped(kind, user, seed, k):
    HEARD.calls.clear()
    policy = LanguageModelPolicy(HEARD, Sampling(max_tokens=40))
    whole = play(vector(kind, user, 4), policy, [seed] * 4, range(4))
    starts = [start_at(trajectory.record, k) for trajectory in whole]
    resumed = play(vector(kind, user, 4), policy, [seed] * 4, range(4), starts=starts)
    if not near_ties(HEARD.said()):
        for one, other in zip(whole, resumed, strict=True):
            if spelt_as_read(one):
                assert one.record == other.record
                assert one.token_ids == other.token_ids


def spelt_as_read(trajectory: Trajectory) -> bool:
    """Whether the codec reads each message as the tokens that were sampled (all but one in two thousand).

    A record keeps texts; a policy that goes on from one sees the codec's spelling of what it said.
    """
    codec = tiny().codec
    return all(
        codec.content_ids(message)
        == [token for token in sampled(trajectory, turn) if token != codec.end_of_turn_id]
        for turn, message in enumerate(spoken(trajectory))
    )


def start_at(record: DialogueRecord, k: int) -> dict[str, Any] | None:
    """The record up to the user's message after k turns; None, from the beginning, if it was over by then."""
    if 2 * k + 1 >= len(record.messages):
        return None
    return {
        "messages": record.messages[: 2 * k + 1],
        "turns_metadata": record.turns_metadata[: k + 1],
        "task": record.task,
        "persona": record.persona,
    }


@pytest.mark.parametrize("user", ["scripted", "prompted"])
@pytest.mark.parametrize("kind", ["math", "document"])
def test_a_full_context_ends_that_dialogue_unscored(kind, user):
    env = vector(kind, user, 8, max_turns=8)
    small = TransformersModel(tiny().model, tiny().codec, max_context=60)
    played = play(env, LanguageModelPolicy(small, BRIEFLY), range(16), range(16))
    full = [t for t in played if t.record.end_reason == "context_overflow"]
    assert len(full) > 0
    for trajectory in full:
        assert trajectory.reward is None
        assert trajectory.record.reward is None
        assert trajectory.rewards[-1] == 0.0
        assert "60" in trajectory.record.extra["failure"]
        assert len(trajectory.token_ids) <= 60
        assert trajectory.record.messages[-1]["role"] == "user"
        assert sum(trajectory.loss_mask) == sum(t >= 0 for t in trajectory.turn_index)
    roomy = play(env, LanguageModelPolicy(tiny(), BRIEFLY), range(16), range(16))
    assert all(t.record.end_reason in ("user_stop", "turn_limit") for t in roomy)
    for one, other in zip(played, roomy, strict=True):
        if one not in full and len(one.token_ids) < 60:  # a message was never cut off by the limit
            assert one.record.messages == other.record.messages


def test_the_policy_and_the_user_share_a_model_without_sharing_caches():
    """Both live in one store under the same dialogue ids."""
    HEARD.calls.clear()
    before = len(tiny()._store)
    play(vector("math", "prompted", 4), LanguageModelPolicy(HEARD, BRIEFLY), range(4), range(4))
    assert len(tiny()._store) == before
    for request, completion in HEARD.said():
        alone = tiny().generate(
            [GenerationRequest("alone", (), request.key, completion.prompt_ids)],
            BRIEFLY if request.dialogue_id[0] == "policy" else Sampling(max_tokens=128),
        )
        tiny().forget(["alone"])
        near_ties([(request, completion), (request, alone[0])])
