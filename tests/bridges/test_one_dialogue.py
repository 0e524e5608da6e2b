import threading

import pytest

from dialogue_gym.bridges import OneDialogue, shared_env
from dialogue_gym.bridges.one_dialogue import task_seed
from dialogue_gym.dialogue import Message
from dialogue_gym.rollout import PolicyRequest, RulePolicy, make_vector_env, play
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import UserReply
from dialogue_gym.simulators.scripted import ScriptedUser


class FailingUser(ScriptedUser):
    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def reply(self, requests):  # type: ignore[no-untyped-def]
        replies = super().reply(requests)
        failed = [len(r.conversation) == self.at for r in requests]
        return [UserReply("", error="gone") if f else r for f, r in zip(failed, replies, strict=True)]


@pytest.mark.parametrize("kind", ["math", "document"])
def test_it_is_the_dialogue_that_play_plays(kind: str) -> None:
    env = shared_env({"math": "MathChat-v0", "document": "DocEditChat-v0"}[kind])
    rules = RulePolicy(kind, ask_rate=0.5)  # type: ignore[arg-type]
    for seed in range(12):
        dialogue = OneDialogue(env, seed, seed + 1, max_turns=1 + seed % 4)
        messages: list[Message] = list(dialogue.opening)
        while not dialogue.over:
            key = NoiseKey((0, seed, seed + 1, "policy", len(messages) // 2))
            [reply] = rules.act([PolicyRequest(0, messages, key)])
            messages += [{"role": "assistant", "content": reply.text}, *dialogue.say(reply.text)]
        [played] = play(env, rules, [seed], [seed + 1], max_turns=[1 + seed % 4])
        assert messages == played.record.messages
        played.record.policy = {}
        assert dialogue.record == played.record
        with pytest.raises(RuntimeError, match="is over"):
            dialogue.say("more")


@pytest.mark.parametrize("at", [0, 2])
def test_a_user_who_fails_ends_it_unscored(at: int) -> None:
    env = make_vector_env("MathChat-v0", 1, simulator=FailingUser(at))
    dialogue = OneDialogue(env, 3)
    assert dialogue.over == (at == 0)
    assert len(dialogue.opening) == (at > 0)
    if not dialogue.over:
        assert dialogue.say("How many?") == []
    assert (dialogue.over, dialogue.record.reward) == (True, None)
    assert dialogue.record.end_reason == "simulator_failure"


def test_members_of_a_group_differ_in_their_replies_alone() -> None:
    records = [OneDialogue(shared_env("MathChat-v0"), 3).record for _ in range(5)]
    assert len({r.reply_seed for r in records}) == 5
    assert len({(r.task_seed, r.messages[0]["content"], str(r.task)) for r in records}) == 1
    assert len({task_seed(seed, index) for seed in range(9) for index in range(9)}) == 81


def test_an_environment_is_built_once_whoever_asks() -> None:
    found = []
    keywords = '{"max_turns": 7}'
    threads = [
        threading.Thread(target=lambda: found.append(shared_env("MathChat-v0", keywords))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(env) for env in found}) == 1
    with pytest.raises(ValueError, match="max_turn"):
        shared_env("MathChat-v0", '{"max_turn": 7}')
