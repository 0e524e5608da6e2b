"""Contexts cut from logs, and what a reply to one earns."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st

from dialogue_agents.grpo.run import load_policy
from dialogue_agents.grpo.unscored import check_scored
from dialogue_agents.static_context.contexts import Context, cut, read_contexts
from dialogue_agents.static_context.rollouts import StaticContextRollout
from dialogue_agents.static_context.settings import StaticContextSettings
from dialogue_agents.unscored import NothingScored
from dialogue_gym.dialogue import Message
from dialogue_gym.language_models import Sampling
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.language_models.transformers_engine import TransformersModel
from dialogue_gym.logs import DialogueRecord, append
from dialogue_gym.rollout import LanguageModelPolicy, PolicyReply, RulePolicy, make_vector_env, play
from dialogue_gym.scoring import scorers
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import ScriptedUser, UserReply
from dialogue_gym.tasks.base import task_from_dict

CANARY = "qzcanary"
TASK = {
    "id": "hand-made",
    "kind": "math",
    "brief": {
        "goal": "How many?",
        "facts": [{"name": "start", "value": "4", "text": f"{CANARY} has 4", "topics": ["start"]}],
        "text": f"{CANARY} has 4 and gets 2. How many?",
        "unit": CANARY,
        "genre": "",
    },
    "reference": {"answer": "6", "text": CANARY, "facts": [CANARY]},
    "split": "train",
    "family": CANARY,
    "level": 1,
}


def talk(*texts: str) -> list[Message]:
    return [{"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(texts)]


def logged(*texts: str, **changes: Any) -> DialogueRecord:
    messages = talk(*texts)
    metadata = [{"held": [CANARY], "n": i} for i in range((len(messages) + 1) // 2)]
    persona = asdict(ScriptedUser().draw_persona("math", NoiseKey((0,))))
    record = DialogueRecord(
        "MathChat-v0", "train", TASK, persona, 11, 12, {"name": "x"}, {"name": CANARY}, messages, metadata,
        "user_stop", 1.0, {"accuracy": 1.0}, {"note": CANARY},
    )  # fmt: skip
    return replace(record, **changes)


THREE = logged("how many?", "what is the start?", "4", "and then?", "2 more", "The answer is 6.", "thanks")


class Speaker:
    """Says what a function makes of the conversation and the key."""

    def __init__(self, speak: Callable[[Any, NoiseKey], str]) -> None:
        self.speak = speak

    def act(self, requests: Any) -> list[PolicyReply]:
        # one token, so that there is something to train
        return [PolicyReply(self.speak(r.conversation, r.key), [1], [2], [-0.5]) for r in requests]

    def forget(self, dialogue_ids: Any) -> None:
        pass

    def identity(self) -> dict[str, Any]:
        return {"name": "speaker"}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The hand-made dialogue."""
    append(tmp_path / "three.jsonl", [THREE])
    return tmp_path / "three.jsonl"


@pytest.fixture
def make_rollout(make_static: Any, codec: ChatCodec) -> Callable[..., StaticContextRollout]:
    def make(contexts: Any, user: Any = None, **changes: Any) -> StaticContextRollout:
        return StaticContextRollout(make_static(env_kwargs="{}", **changes), codec, contexts, user)

    return make


@pytest.fixture(scope="session")
def codec(policy_folder: Path) -> ChatCodec:
    return ChatCodec(load_policy(StaticContextSettings(logs=Path(), policy=str(policy_folder)))[1])


def contexts_of(*records: DialogueRecord, which: Any = "all") -> list[Context]:
    return [Context(start, line) for line, record in enumerate(records, 1) for start in cut(record, which)]


# contexts ------------------------------------------------------------------------------------------


def test_the_final_context_is_what_stood_before_the_last_reply() -> None:
    (final,) = cut(THREE, "final")
    assert final.messages == talk("how many?", "what is the start?", "4", "and then?", "2 more")
    assert final.turns_metadata == THREE.turns_metadata[:3]
    assert (final.task, final.persona, final.task_seed) == (THREE.task, THREE.persona, THREE.task_seed)
    assert (final.end_reason, final.reward, final.metrics, final.extra, final.policy) == (
        None, None, {}, {}, {},
    )  # fmt: skip


def test_all_contexts_are_those_before_every_reply() -> None:
    found = cut(THREE, "all")
    assert [len(start.messages) for start in found] == [1, 3, 5]
    assert all(start.messages == THREE.messages[: len(start.messages)] for start in found)


def test_a_user_who_left_without_a_word_and_one_who_never_heard_a_reply() -> None:
    silent = logged("how many?", "6")
    assert [s.messages for s in cut(silent, "final")] == [talk("how many?")]
    waiting = logged("how many?", "which?", "this", end_reason="policy_failure", reward=None)
    assert [s.messages for s in cut(waiting, "final")] == [talk("how many?")]
    assert cut(logged("how many?"), "final") == cut(logged(), "all") == []


@given(st.lists(st.text(max_size=5), max_size=9), st.sampled_from(["final", "all"]))
def test_contexts_are_prefixes_that_wait_for_the_agent(texts: list[str], which: Any) -> None:
    record = logged(*texts)
    found = cut(record, which)
    replies = len(texts) // 2
    assert len(found) == (replies if which == "all" else min(replies, 1))
    for start in found:
        assert start.messages == record.messages[: len(start.messages)]
        assert start.messages[-1]["role"] == "user"
        assert len(start.turns_metadata) == (len(start.messages) + 1) // 2


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (None, "log.jsonl: no such log"),
        ([], "has no dialogue with a reply"),
        ([logged("how many?")], "has no dialogue with a reply"),
        (
            [THREE, replace(THREE, env_id="DocEditChat-v0")],
            r"log.jsonl:2: a dialogue of DocEditChat-v0, should",
        ),
        ([replace(THREE, task=None)], "log.jsonl:1: a dialogue without its task"),
        (
            [replace(THREE, task={"id": "x"})],
            "log.jsonl:1: a dialogue that no .* a task needs the field 'brief'",
        ),
        ([replace(THREE, persona={"mood": 1})], "a persona has no option 'mood'"),
        ([replace(THREE, split="test")], "of the split 'test', which evaluation uses"),
    ],
)
def test_logs_that_cannot_be_used(tmp_path: Path, records: Any, message: str) -> None:
    log = tmp_path / "log.jsonl"
    if records is not None:
        append(log, records)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        read_contexts(log, "MathChat-v0", "all", "test")
    assert "\n" not in str(caught.value)


# rewards -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", ["The answer is 6.", "The answer is 7.", "what is the start?"])
def test_without_look_ahead_the_reward_is_the_score_as_it_stands(
    make_rollout: Any, monkeypatch: pytest.MonkeyPatch, reply: str
) -> None:
    answered = logged("how many?", "The answer is 6.", "sure?", "Yes.", "ok", end_reason=None, reward=None)
    contexts = contexts_of(THREE, answered)
    rollout = make_rollout(contexts, groups=1, group_size=len(contexts))
    asked: list[Any] = []
    monkeypatch.setattr(ScriptedUser, "reply", lambda _, requests: asked.extend(requests))
    played = rollout.play(Speaker(lambda *_: reply), [str(i) for i in range(len(contexts))], 0)
    assert (asked, played.heard, played.look_ahead_tokens) == ([], [], 0)
    scorer = scorers["math"].build("answer")
    for draw, trajectory in enumerate(played.trajectories):
        prefix = rollout.drawn(draw).start.messages
        assert trajectory.record.messages == [*prefix, {"role": "assistant", "content": reply}]
        score = scorer.score(task_from_dict(TASK), trajectory.record.messages)
        assert (trajectory.reward, trajectory.record.metrics) == (score.reward, score.metrics)
        assert trajectory.loss_mask == [0, 1]
    earned = {t.reward for t in played.trajectories}
    assert earned == {"6": {1.0}, "7": {0.0}, "?": {0.0, 1.0}}[reply.rstrip(".")[-1]]


def test_contexts_longer_than_the_turn_limit_are_scored_as_they_stand(make_rollout: Any) -> None:
    rollout = make_rollout(contexts_of(THREE), groups=1, group_size=3, max_turns=1, look_ahead=2)
    played = rollout.play(Speaker(lambda *_: "The answer is 6."), ["0", "1", "2"], 0)
    assert [t.reward for t in played.trajectories] == [1.0] * 3
    assert played.heard == []


class Fickle:
    """Answers wrongly or rightly by its noise; asks first."""

    def __call__(self, conversation: Any, key: NoiseKey) -> str:
        if len(conversation) < 3:
            return "What is the start?"
        return f"The answer is {key.choice((6, 7))}."


@pytest.mark.parametrize("window", [1, 2])
def test_look_ahead_is_the_mean_over_continuations(make_rollout: Any, window: int) -> None:
    rollout = make_rollout(
        contexts_of(THREE), groups=1, group_size=4, look_ahead=3, window=window, max_turns=9, seed=5
    )
    policy = Speaker(Fickle())
    played = rollout.play(policy, ["0"] * 4, 0)
    heard, tokens = [], 0
    for member, trajectory in enumerate(played.trajectories):
        here = len(trajectory.record.messages) // 2
        rewards = []
        for number in range(3):
            # by hand, one dialogue at a time, in the environment that people use
            env: Any = gym.make("dialogue_gym:MathChat-v0").unwrapped
            seed = NoiseKey((5, "static_context", 0, member, "continuation", number)).seed()
            start = {n: getattr(trajectory.record, n) for n in ("messages", "task", "persona", "task_seed")}
            env.reset(options={"dialogue": start, "reply_seed": seed, "max_turns": here + window})
            while env.record().end_reason is None:
                turn = len(env.record().messages) // 2
                env.step(policy.speak(env.record().messages, NoiseKey((5, 11, seed, "policy", turn))))
                tokens += 1
            assert len(env.record().messages) // 2 <= here + window
            rewards.append(env.record().reward)
            heard += [m["content"] for m in env.record().messages[2 * here :: 2]]
        assert trajectory.record.extra["look_ahead"] == rewards
        assert trajectory.reward == pytest.approx(sum(rewards) / 3)
        assert trajectory.rewards == [trajectory.reward]
    assert (played.heard, played.look_ahead_tokens) == (heard, tokens)
    assert heard
    assert len({t.reward for t in played.trajectories}) > 1


def test_look_ahead_may_end_with_the_users_first_word(make_rollout: Any) -> None:
    class Leaver(ScriptedUser):
        def reply(self, requests: Any) -> list[UserReply]:
            return [UserReply("bye", stop=True) for _ in requests]

    rollout = make_rollout(contexts_of(THREE), Leaver(), groups=1, group_size=2, look_ahead=2, max_turns=9)
    played = rollout.play(Speaker(lambda *_: "The answer is 6."), ["0", "0"], 0)
    assert [t.reward for t in played.trajectories] == [1.0, 1.0]
    assert (played.heard, played.look_ahead_tokens) == (["bye"] * 4, 0)


def test_failed_continuations_count_in_no_mean(make_rollout: Any) -> None:
    class Moody(ScriptedUser):
        fail = 0.5

        def reply(self, requests: Any) -> list[UserReply]:
            return [
                UserReply("", error="x")
                if r.key.child("f").uniform() < self.fail
                else UserReply("", stop=True)
                for r in requests
            ]

    moody = Moody()
    rollout = make_rollout(contexts_of(THREE), moody, groups=2, group_size=4, look_ahead=2, max_turns=9)
    policy, prompts = Speaker(lambda *_: "The answer is 6."), ["0"] * 4 + ["1"] * 4
    played = rollout.play(policy, prompts, 0)
    means = [(t.record.extra["look_ahead"], t.reward) for t in played.trajectories]
    assert any(None in rewards and mean == 1.0 for rewards, mean in means)
    moody.fail = 1.0
    lost = rollout.play(policy, prompts, 0)
    assert [t.reward for t in lost.trajectories] == [None] * 8
    with pytest.raises(NothingScored, match="because of its continuations: simulator_failure: x"):
        check_scored(lost.trajectories, 0, Accelerator(cpu=True))
    assert lost.metrics == {"dialogue/unscored": 1.0, "dialogue/answers": 1.0}


# groups and prompts --------------------------------------------------------------------------------


def test_members_share_the_context_and_differ_in_noise(make_rollout: Any) -> None:
    rollout = make_rollout(contexts_of(THREE, which="all"), groups=3, group_size=4)
    prompts = [rollout.prompt(draw) for draw in (0, 1, 2) for _ in range(4)]
    whole = rollout.play(Speaker(lambda _, key: str(key.bits())), prompts, 0).trajectories
    for draw in (0, 1, 2):
        group = whole[4 * draw : 4 * draw + 4]
        assert len({str(t.record.messages[:-1]) for t in group}) == 1
        assert len({t.record.messages[-1]["content"] for t in group}) == 4
        assert {str(t.record.extra["context"]) for t in group} == {
            str({"line": 1, "turn": len(group[0].record.messages) // 2 - 1})
        }
    # another process plays the last third alone
    part = rollout.play(Speaker(lambda _, key: str(key.bits())), prompts[8:], 8).trajectories
    assert [t.record.messages for t in part] == [t.record.messages for t in whole[8:]]


def test_every_context_comes_once_in_each_pass(make_rollout: Any) -> None:
    rollout = make_rollout(contexts_of(THREE, THREE, THREE))
    passes = [[id(rollout.drawn(9 * p + i)) for i in range(9)] for p in range(3)]
    assert all(sorted(one) == sorted(map(id, rollout.contexts)) for one in passes)
    assert passes[0] != passes[1] != passes[2]


def test_the_prompt_is_the_prefix_and_nothing_of_task_persona_or_reference(
    make_rollout: Any, policy_folder: Path
) -> None:
    rollout = make_rollout(contexts_of(THREE), groups=1, group_size=3)
    model, _ = load_policy(rollout.settings)
    policy = LanguageModelPolicy(TransformersModel(model, rollout.codec), Sampling(4))
    played = rollout.play(policy, ["0", "1", "2"], 0)
    for draw, t in enumerate(played.trajectories):
        prompt = t.token_ids[: t.prompt_length]
        assert prompt == rollout.codec.encode(rollout.drawn(draw).start.messages)
        assert CANARY not in rollout.codec.decode(prompt)
        assert t.loss_mask == [0] * len(prompt) + [1] * (len(t.token_ids) - len(prompt))
        assert rollout.codec.decode(t.token_ids[len(prompt) :]) == t.record.messages[-1]["content"]


def test_a_collected_log_gives_contexts_of_every_turn(tmp_path: Path) -> None:
    env = make_vector_env("MathChat-v0", 16)
    records = [t.record for t in play(env, RulePolicy("math"), range(16), range(16))]
    append(tmp_path / "log.jsonl", records)
    found = read_contexts(tmp_path / "log.jsonl", "MathChat-v0", "all")
    assert len(found) == sum(len(r.messages) // 2 for r in records)
    assert [c.turns for c in found if c.line == 1] == [*range(len(records[0].messages) // 2)]
