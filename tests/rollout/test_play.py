from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.rollout import PolicyReply, PolicyRequest, RulePolicy, Trajectory, play
from dialogue_gym.seeding import NoiseKey

MakeEnv = Callable[..., DialogueVectorEnv]


def vector(num_envs: int, kind: str = "math", **keywords: Any) -> DialogueVectorEnv:
    return DialogueVectorEnv(kind, num_envs, "Disabled", **keywords)  # type: ignore[arg-type]


def test_dialogues_come_back_in_the_order_of_the_seeds_with_their_seeds(make_env: MakeEnv) -> None:
    seen: list[Trajectory] = []
    played = play(make_env(num_envs=4), RulePolicy("math"), range(10), range(50, 60), on_dialogue=seen.append)
    assert [(t.record.task_seed, t.record.reply_seed) for t in played] == list(
        zip(range(10), range(50, 60), strict=True)
    )
    assert seen == played
    for trajectory in played:
        assert trajectory.record.policy == RulePolicy("math").identity()
        assert trajectory.reward == trajectory.record.reward == sum(trajectory.rewards)
        assert len(trajectory.rewards) == sum(m["role"] == "assistant" for m in trajectory.record.messages)
        assert trajectory.record.end_reason == "user_stop"


@given(
    seeds=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=9),
    first=st.integers(1, 5),
    second=st.integers(1, 5),
    data=st.data(),
)
@settings(max_examples=25)
def test_a_dialogue_does_not_depend_on_what_is_played_beside_it(
    seeds: list[tuple[int, int]], first: int, second: int, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(seeds))))

    def run(num_envs: int, pairs: Sequence[tuple[int, int]]) -> list[Trajectory]:
        policy = RulePolicy("math", ask_rate=0.5)
        return play(vector(num_envs), policy, [t for t, _ in pairs], [r for _, r in pairs], policy_seed=3)

    played, shuffled = run(first, seeds), run(second, [seeds[i] for i in order])
    assert [played[i].record for i in order] == [t.record for t in shuffled]


def test_the_policys_noise_has_its_own_seed(make_env: MakeEnv, speaker: Any) -> None:
    keys = []
    for policy_seed in (0, 0, 1):
        policy = speaker(lambda _: "ok")
        play(make_env(max_turns=2), policy, [1, 2], [1, 1], policy_seed=policy_seed)
        keys.append([request.key for request in policy.requests])
    assert keys[0] == keys[1]
    assert len({key.bits() for key in keys[0] + keys[2]}) == 8


def test_a_group_shares_the_opening_and_differs_in_replies(make_env: MakeEnv) -> None:
    played = play(make_env("document", num_envs=8), RulePolicy("document"), [5] * 8, range(8))
    assert len({t.record.messages[0]["content"] for t in played}) == 1
    assert len({str(t.record.messages) for t in played}) > 4


def test_a_policy_that_fails_ends_its_dialogue_unscored_and_no_other(make_env: MakeEnv, speaker: Any) -> None:
    def fail(conversation: Any) -> PolicyReply | str:
        reply = "The answer is 5."
        if len(conversation) < 3:
            return "ok"
        return PolicyReply("", error="full", overflow=True) if "have" in conversation[0]["content"] else reply

    played = play(make_env(num_envs=5), speaker(fail), range(30), range(30))
    failed = [t for t in played if t.record.end_reason == "context_overflow"]
    assert 0 < len(failed) < 30
    for trajectory in failed:
        assert trajectory.reward is None
        assert trajectory.rewards == [0.0, 0.0]
        assert trajectory.record.extra == {"failure": "full"}
    assert {t.record.end_reason for t in played if t not in failed} <= {"user_stop", "turn_limit"}
    broken = speaker(lambda _: PolicyReply("", error="broken"))
    assert play(make_env(), broken, [1], [1])[0].record.end_reason == "policy_failure"


@pytest.mark.parametrize("how", ["raise", "short", "junk", "text"])
def test_a_policy_that_raises_is_asked_again_for_each_dialogue_alone(
    make_env: MakeEnv, speaker: Any, how: str
) -> None:
    class Fragile(speaker):  # type: ignore[misc]
        def act(self, requests: Sequence[PolicyRequest]) -> Any:
            replies: list[Any] = super().act(requests)
            for i, request in enumerate(requests):
                if "have" in request.conversation[0]["content"]:
                    if how == "raise":
                        raise OSError("out of\nmemory")
                    replies[i] = {"junk": "a text", "text": PolicyReply(None)}.get(how)  # type: ignore[arg-type]
            return [r for r in replies if r is not None]

    answer = "The answer is 5."
    played = play(make_env(num_envs=10), Fragile(lambda _: answer), range(30), range(30))
    sound = play(make_env(num_envs=10), speaker(lambda _: answer), range(30), range(30))
    failed = [t for t in played if t.record.end_reason == "policy_failure"]
    assert 0 < len(failed) < 30
    for trajectory, twin in zip(played, sound, strict=True):
        if trajectory in failed:
            assert "have" in trajectory.record.messages[0]["content"]
            assert (trajectory.reward, trajectory.token_ids) == (None, [])
            detail = trajectory.record.extra["failure"]
            assert detail == "OSError: out of" if how == "raise" else detail.startswith("TypeError: act()")
        else:
            assert trajectory == twin


def test_a_policy_that_raises_once_loses_nothing(make_env: MakeEnv, speaker: Any) -> None:
    class Flaky(speaker):  # type: ignore[misc]
        calls = 0

        def act(self, requests: Sequence[PolicyRequest]) -> Any:
            self.calls += 1
            if self.calls == 1:
                raise RuntimeError
            return super().act(requests)

    played = play(make_env(), Flaky(lambda _: "The answer is 5."), range(3), range(3))
    assert played == play(make_env(), speaker(lambda _: "The answer is 5."), range(3), range(3))


def test_an_interrupt_ends_the_rollout(make_env: MakeEnv, speaker: Any) -> None:
    def interrupt(_: Any) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(make_env(), speaker(interrupt), [1], [1])


def test_rows_that_a_batch_does_not_need_are_never_asked(make_env: MakeEnv, speaker: Any) -> None:
    env = make_env(num_envs=4, max_turns=1)
    asked: list[int] = []

    class Counting(type(env.simulator)):  # type: ignore[misc]
        def reply(self, requests: Any) -> Any:
            asked.append(len(requests))
            return super().reply(requests)

    env.simulator = Counting()
    play(env, speaker(lambda _: "ok"), range(6), range(6))
    assert asked == [4, 2]
    play(env, speaker(lambda _: "ok"), [1], [1])
    assert asked == [4, 2, 1]


def test_a_policy_is_told_what_is_over(make_env: MakeEnv, speaker: Any) -> None:
    policy = speaker(lambda _: "The answer is 5.")
    play(make_env(num_envs=4), policy, range(6), range(6))
    assert len(policy.forgotten) == len(set(policy.forgotten)) == 6
    assert set(policy.forgotten) == {request.dialogue_id for request in policy.requests}


def test_a_policy_is_told_what_was_broken_off(make_env: MakeEnv, speaker: Any) -> None:
    def interrupt(conversation: Any) -> str:
        if len(conversation) > 2:
            raise KeyboardInterrupt
        return "ok"

    policy = speaker(interrupt)
    with pytest.raises(KeyboardInterrupt):
        play(make_env(num_envs=4), policy, range(4), range(4))
    assert set(policy.forgotten) == {request.dialogue_id for request in policy.requests}


def test_groups_are_told_when_all_of_them_are_there(make_env: MakeEnv) -> None:
    told: list[list[Trajectory]] = []
    seeds = [1, 1, 1, 2, 2, 1, 3]
    played = play(make_env(num_envs=2), RulePolicy("math"), seeds, range(7), on_group=told.append)
    assert told == [played[:3], played[3:5], played[5:6], played[6:]]


class TokenPolicy:
    """Samples the numbers of its turn; the context grows by what the user said."""

    def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
        return [self._reply(len(r.conversation) // 2) for r in requests]

    def _reply(self, turn: int) -> PolicyReply:
        return PolicyReply("ok", [100 + turn] * (turn + 2), [turn, turn], [-0.5, -0.25])

    def forget(self, dialogue_ids: Any) -> None:
        pass

    def identity(self) -> dict[str, Any]:
        return {"name": "tokens"}


def test_tokens_are_joined_and_only_sampled_ones_are_masked_in(make_env: MakeEnv) -> None:
    (trajectory,) = play(make_env(max_turns=3), TokenPolicy(), [1], [1])
    assert trajectory.token_ids == [100, 100, 0, 0, 101, 101, 101, 1, 1, 102, 102, 102, 102, 2, 2]
    assert trajectory.loss_mask == [0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1]
    assert trajectory.turn_index == [-1, -1, 0, 0, -1, -1, -1, 1, 1, -1, -1, -1, -1, 2, 2]
    assert trajectory.log_probs == [0, 0, -0.5, -0.25, 0, 0, 0, -0.5, -0.25, 0, 0, 0, 0, -0.5, -0.25]
    assert trajectory.prompt_length == 2


def test_a_dialogue_can_be_gone_on_from_and_comes_out_as_if_never_stopped(make_env: MakeEnv) -> None:
    policy = RulePolicy("document")
    whole = [t.record for t in play(make_env("document"), policy, range(12), range(12))]
    starts = []
    for i, record in enumerate(whole):
        kept = 2 * (i % 3) + 1  # ends with the user's message
        kept = kept if kept < len(record.messages) else 1
        starts.append(
            {
                "messages": record.messages[:kept],
                "task": record.task,
                "persona": record.persona,
                "turns_metadata": record.turns_metadata[: (kept + 1) // 2],
            }
        )
    resumed = play(make_env("document", num_envs=5), policy, range(12), range(12), starts=starts)
    assert [t.record for t in resumed] == whole


def test_limits_end_dialogues_one_by_one(make_env: MakeEnv, speaker: Any) -> None:
    limits = [1, 3, 2, 1, 2]
    env, policy = make_env(num_envs=2, max_turns=9), speaker(lambda _: "hm")
    trajectories = play(env, policy, range(5), range(5), max_turns=limits)
    assert [len(t.rewards) for t in trajectories] == limits
    assert {t.record.end_reason for t in trajectories} == {"turn_limit"}
    assert len(policy.requests) == sum(limits)
    with pytest.raises(ValueError, match="or limits"):
        play(env, policy, [1], [1], max_turns=[1, 2])


def test_a_dialogue_that_is_over_when_it_starts_keeps_its_score(make_env: MakeEnv) -> None:
    whole = play(make_env(), RulePolicy("math"), range(20), range(20))
    done = next(t.record for t in whole if t.reward == 1.0 and t.record.end_reason == "user_stop")
    start = {"messages": done.messages[:-1], "task": done.task, "persona": done.persona}
    (again,) = play(make_env(), RulePolicy("math"), [done.task_seed], [done.reply_seed], starts=[start])
    assert again.record.messages == done.messages
    assert (again.reward, again.rewards) == (1.0, [])


@pytest.mark.parametrize(
    ("keywords", "message"),
    [({"autoreset_mode": "SameStep"}, "Disabled"), ({"observe": "new"}, 'observe="all"')],
)
def test_an_environment_that_cannot_be_played_is_refused(
    make_env: MakeEnv, keywords: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        play(make_env(**keywords), RulePolicy("math"), [1], [1])


def test_numbers_of_seeds_must_agree(make_env: MakeEnv) -> None:
    with pytest.raises(ValueError, match="2 task seeds and 1 reply seeds"):
        play(make_env(), RulePolicy("math"), [1, 2], [1])
    assert play(make_env(), RulePolicy("math"), [], []) == []


def test_keys_are_noise_keys(make_env: MakeEnv, speaker: Any) -> None:
    policy = speaker(lambda _: "ok")
    play(make_env(max_turns=1), policy, [1], [2], policy_seed=9)
    assert policy.requests[0].key == NoiseKey((9, 1, 2, "policy", 0))


def test_wrapped_environments_are_refused_by_name() -> None:
    from dialogue_gym.rollout import make_vector_env
    from dialogue_gym.wrappers import vector

    env = vector.Features(vector.DialogueActs(make_vector_env("MathChat-v0", 2)))
    with pytest.raises(ValueError, match="got Features: leave out the wrappers; Features and DialogueActs"):
        play(env, RulePolicy("math"), [1], [1])  # type: ignore[arg-type]
