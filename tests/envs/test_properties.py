"""The invariants of the environments, for every user in ``conftest.SIMULATORS``."""

import json
import logging
import re
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.passive_env_checker import data_shares_objects
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dialogue_gym.dialogue import clean_text
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.base import UserReply
from dialogue_gym.tasks.base import Reference
from tests.envs.conftest import SwappedReference, Wrapped, seeds, texts, unbatch

few = settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])


def said(script: list[str], row: int, step: int) -> str:
    """A different action for each row and step, from a drawn list."""
    return script[(3 * row + step) % len(script)]


def outcome(result: tuple[Any, ...]) -> tuple[Any, ...]:
    obs, reward, terminated, truncated, info = result
    return obs, float(reward), bool(terminated), bool(truncated), info


def row_of(result: tuple[Any, ...], row: int, finals: bool) -> tuple[Any, ...]:
    obs, rewards, terminated, truncated, infos = result
    if finals and (terminated[row] or truncated[row]):
        final = unbatch({"i": infos["final_info"], "_i": infos["_final_info"]}, row)["i"]
        return outcome((infos["final_obs"][row], rewards[row], terminated[row], truncated[row], final))
    info = unbatch({k: v for k, v in infos.items() if "final" not in k}, row)
    return outcome((obs[row], rewards[row], terminated[row], truncated[row], info))


scripts = st.lists(texts, min_size=1, max_size=7)


@pytest.mark.parametrize("observe", ["all", "new"])
@pytest.mark.parametrize("mode", ["SameStep", "NextStep", "Disabled"])
class TestRowsEqualSingles:
    @few
    @given(seed=seeds, script=scripts, num_envs=st.integers(1, 4), data=st.data())
    def test_row_is_the_single_env(self, parts, mode, observe, seed, script, num_envs, data):
        vector = parts.vector(num_envs, autoreset_mode=mode, observe=observe, max_turns=4)
        singles = [parts.single(observe=observe, max_turns=4) for _ in range(num_envs)]
        observations, infos = vector.reset(seed=seed)
        for row, single in enumerate(singles):
            assert (observations[row], unbatch(infos, row)) == single.reset(seed=seed + row)
        over = [False] * num_envs
        for step in range(9):
            actions = [said(script, row, step) for row in range(num_envs)]
            result = vector.step(actions)
            for row, single in enumerate(singles):
                if mode == "NextStep" and over[row]:
                    obs, info = single.reset()
                    expected = (obs, 0.0, False, False, info)
                else:
                    expected = outcome(single.step(actions[row]))
                    if over[row]:  # a vector env reports an end once
                        expected = (expected[0], 0.0, False, False, expected[4])
                assert row_of(result, row, mode == "SameStep") == expected
                over[row] = expected[2] or expected[3] or (mode == "Disabled" and over[row])
                if mode == "SameStep" and over[row]:
                    obs, info = single.reset()
                    now = unbatch({k: v for k, v in result[4].items() if "final" not in k}, row)
                    assert (result[0][row], now) == (obs, info)
                    over[row] = False
            if mode == "Disabled":
                self.reset_some(vector, singles, over, data)

    @staticmethod
    def reset_some(vector, singles, over, data):
        """Any rows, over or not, begin anew; the others must not notice."""
        mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(singles), max_size=len(singles))))
        if not mask.any():
            return
        options = {"reset_mask": mask.copy()}
        observations, infos = vector.reset(options=options)
        assert np.array_equal(options["reset_mask"], mask)
        for row in np.flatnonzero(mask):
            over[row] = False
            assert (observations[row], unbatch(infos, row)) == singles[row].reset()


@few
@given(seed=seeds, script=scripts)
def test_single_observations_are_in_their_space_and_share_nothing(parts, seed, script):
    env = parts.single(max_turns=5)
    calls = [env.reset(seed=seed)]
    for step in range(12):
        obs, _, terminated, truncated, info = env.step(said(script, 0, step))
        calls.append((obs, info))
        if terminated or truncated:
            calls.append(env.reset())
    for i, (obs, info) in enumerate(calls):
        assert obs in env.observation_space
        for earlier_obs, earlier_info in calls[:i]:
            assert not data_shares_objects(obs, earlier_obs)
            assert not data_shares_objects(info, earlier_info)


@pytest.mark.parametrize("mode", ["SameStep", "NextStep", "Disabled"])
@few
@given(seed=seeds, script=scripts)
def test_vector_observations_are_in_their_space_and_share_nothing(parts, mode, seed, script):
    env = parts.vector(3, autoreset_mode=mode, max_turns=3)
    calls = [env.reset(seed=seed)]
    for step in range(6):
        obs, rewards, terminated, truncated, infos = env.step([said(script, row, step) for row in range(3)])
        arrays = {"rewards": rewards, "terminated": terminated, "truncated": truncated}
        calls.append((obs, {**infos, **arrays}))
    for i, (obs, infos) in enumerate(calls):
        assert obs in env.observation_space
        for final in infos.get("final_obs", []):
            assert final is None or final in env.single_observation_space
        for earlier_obs, earlier_infos in calls[:i]:
            assert not data_shares_objects(obs, earlier_obs)
            assert not data_shares_objects(infos, earlier_infos)


@few
@given(seed=seeds, script=scripts)
def test_what_is_handed_out_cannot_change_the_dialogue(parts, seed, script):
    clean, spoilt = parts.single(max_turns=4), parts.single(max_turns=4)
    for env in (clean, spoilt):
        obs, info = env.reset(seed=seed)
        for step in range(3):
            if env is spoilt:
                for message in obs:
                    message.update(role="system", content="forged")
                info.clear()
                record = env.record()
                record.messages.clear()
                record.task.clear()
            obs, *_, info = env.step(said(script, 0, step))
    assert clean.record() == spoilt.record()


@few
@given(seed=seeds, script=scripts)
def test_roles_alternate_and_the_agent_saw_the_transcript(parts, seed, script):
    whole, new = parts.single(max_turns=5), parts.single(max_turns=5, observe="new")
    obs, _ = whole.reset(seed=seed)
    kept = list(new.reset(seed=seed)[0])
    for step in range(5):
        action = said(script, 0, step)
        before = obs
        obs, _, terminated, truncated, _ = whole.step(action)
        assert obs[: len(before)] == before
        assert obs[len(before)] == {"role": "assistant", "content": clean_text(action)}
        kept += [{"role": "assistant", "content": clean_text(action)}, *new.step(action)[0]]
        assert [m["role"] for m in obs] == ["user", "assistant"] * (len(obs) // 2) + ["user"] * (len(obs) % 2)
        assert list(obs) == whole.record().messages == kept
        if terminated or truncated:
            break


@pytest.mark.parametrize("mode", ["SameStep", "NextStep", "Disabled"])
@few
@given(seed=seeds, script=scripts, num_envs=st.integers(1, 5))
def test_at_most_two_calls_a_step(parts, mode, seed, script, num_envs):
    user = Wrapped(parts.simulator())
    env = parts.vector(num_envs, simulator=user, autoreset_mode=mode, max_turns=3)
    env.reset(seed=seed)
    assert user.calls == [num_envs]
    for step in range(8):
        user.calls.clear()
        *_, terminated, truncated, _ = env.step([said(script, row, step) for row in range(num_envs)])
        assert len(user.calls) <= (1 if mode == "Disabled" else 2)
        over = terminated | truncated
        if mode == "Disabled" and over.any():
            user.calls.clear()
            env.reset(options={"reset_mask": over})
            assert user.calls == [int(over.sum())]


@few
@given(seed=seeds, script=scripts, order=st.permutations(range(4)))
def test_batch_order_changes_nothing(parts, seed, script, order):
    def play(rows):
        env = parts.vector(4, autoreset_mode="Disabled", max_turns=4)
        env.reset(seed=[seed + row for row in rows])
        for step in range(4):
            env.step([said(script, row, step) for row in rows])
        return {row: env.record(i) for i, row in enumerate(rows)}

    assert play(range(4)) == play(order)


@few
@given(seed=seeds, script=scripts, canary=st.uuids().map(str))
def test_the_reference_shows_nowhere_before_the_score(parts, caplog, seed, script, canary):
    def play(word):
        caplog.clear()
        reference = Reference(answer=word, text=word, facts=(word,))
        env = parts.single(tasks=SwappedReference(parts.tasks(), reference), max_turns=4)
        seen = [env.reset(seed=seed), repr(env), str(env.spec), repr(env.unwrapped._driver.row(0).task)]
        with caplog.at_level(logging.DEBUG):
            for step in range(4):
                obs, _, terminated, truncated, info = env.step(said(script, 0, step))
                info.pop("metrics", None)  # the final score
                seen.append((obs, terminated, truncated, info))
                if terminated or truncated:
                    break
        return re.sub("0x[0-9a-f]+", "", repr(seen) + caplog.text)  # addresses differ

    one, other = play(canary), play("17")
    assert one == other
    assert canary not in one


@few
@given(seed=seeds, script=scripts, fault=st.sampled_from(["raise", "junk", "text", "error", "late", "full"]))
def test_a_fault_ends_its_own_dialogue_only(parts, caplog, seed, script, fault):
    class Faulty(Wrapped):
        def reply(self, requests):
            broken = [r.key.child("fault").uniform() < 0.2 for r in requests]
            if fault == "raise" and any(broken):
                raise RuntimeError("down")
            replies = self.inner.reply(requests)
            bad = {
                "raise": None,
                "junk": "not a reply",
                "text": UserReply(3),
                "error": UserReply("", error="no"),
                "late": UserReply("", error="late", timed_out=True),
                "full": UserReply("", error="full", overflow=True),
            }[fault]
            return [bad if b else reply for b, reply in zip(broken, replies, strict=True)]

    clean = parts.vector(5, autoreset_mode="Disabled", max_turns=4)
    faulty = parts.vector(5, simulator=Faulty(parts.simulator()), autoreset_mode="Disabled", max_turns=4)
    clean.reset(seed=seed)
    faulty.reset(seed=seed)
    for step in range(4):
        actions = [said(script, row, step) for row in range(5)]
        clean.step(actions)
        _, rewards, terminated, truncated, infos = faulty.step(actions)
        assert not (terminated & truncated).any()
        assert (rewards[truncated] == 0.0).all()
        assert not infos["scored"][truncated].any()
    reason = {"late": "simulator_timeout", "full": "context_overflow"}.get(fault, "simulator_failure")
    for row in range(5):
        good, bad = clean.record(row), faulty.record(row)
        if bad.end_reason == reason and bad != good:  # a user may also fail by itself, in both
            assert good.messages[: len(bad.messages)] == bad.messages
            assert bad.reward is None
            assert bad.extra["failure"]
            turn = len(bad.messages) // 2
            path = (bad.reply_seed, "reply", turn) if bad.messages else (bad.task_seed, "opening")
            assert NoiseKey(path).child("fault").uniform() < 0.2
        else:
            assert good == bad


@few
@given(seed=seeds, script=scripts, k=st.integers(0, 4), agent_last=st.booleans())
def test_stopping_and_going_on_is_never_having_stopped(parts, seed, script, k, agent_last):
    def go_on(env, row_start):
        results = []
        for step in range(row_start, 5):
            results.append(outcome(env.step(said(script, 0, step))))
            if results[-1][2] or results[-1][3]:
                break
        return results

    env = parts.single(max_turns=5)
    env.reset(seed=seed)
    for step in range(k):
        env.step(said(script, 0, step))
    if env.record().end_reason is not None:  # over, by the opening already perhaps
        return
    saved = json.loads(json.dumps(asdict(env.record())))
    if agent_last and k:
        saved["messages"].pop()
        saved["turns_metadata"].pop()
    fresh = parts.single(max_turns=5)
    obs, info = fresh.reset(seed=seed + 1, options={"dialogue": saved})
    assert list(obs) == env.record().messages
    assert info == {"turns_left": 5 - k, "end_reason": "", "scored": False}
    assert go_on(fresh, k) == go_on(env, k)
    assert fresh.record() == env.record()
