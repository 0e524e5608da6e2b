"""Records by hand, and a language model whose log-probabilities can be worked out by hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import pytest

from dialogue_gym.dialogue import Message
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout import PolicyReply
from dialogue_gym.scoring import Score
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import ScriptedUser, UserReply

CANARY = "qzcanary"


def talk(*texts: str) -> list[Message]:
    return [{"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(texts)]


def task(answer: str = "6", kind: str = "math", text: str = "", facts: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "id": "hand-made",
        "kind": kind,
        "brief": {
            "goal": "How many?",
            "facts": [{"name": "start", "value": "4", "text": "Tom has 4"}],
            "text": "Tom has 4 and gets 2. How many?",
            "unit": "",
            "genre": "",
        },
        "reference": {"answer": answer, "text": text, "facts": list(facts)},
        "split": "train",
        "family": "",
        "level": 1,
    }


def record(*texts: str, **changes: Any) -> DialogueRecord:
    """A dialogue that ended with score 1, unless changes say something else."""
    persona = ScriptedUser().draw_persona("math", NoiseKey((0,))).to_dict()
    made = DialogueRecord(
        "MathChat-v0", "train", task(), persona, 11, 12,
        {"name": "x"}, {"name": "y"}, talk(*texts), [{} for _ in texts[::2]],
        "user_stop", 1.0, {"accuracy": 1.0},
    )  # fmt: skip
    return replace(made, **changes)


def running(*texts: str, **changes: Any) -> DialogueRecord:
    return record(*texts, **{"end_reason": None, "reward": None, "metrics": {}, **changes})


class Letters:
    """A codec whose tokens are characters; 0 ends a turn, and every message has a header of its role."""

    end_of_turn_id = 0

    def content_ids(self, text: str) -> list[int]:
        return [ord(c) for c in text]

    def encode(self, messages: Any) -> list[int]:
        assert messages[-1]["role"] == "user"
        said = "".join(f"{m['role'][0]}:{m['content']}\n" for m in messages)
        return self.content_ids(said + "a:")

    def identity(self) -> dict[str, Any]:
        return {"codec": "letters"}


@dataclass
class Scores:
    """Scores each token by a function of the text before the reply and the token."""

    log_prob: Callable[[str, str], float]
    max_context: int = 10_000

    def __post_init__(self) -> None:
        self.codec = Letters()
        self.asked: list[tuple[str, str]] = []

    def score(self, requests: Any, replies: Any) -> list[list[float]]:
        found = []
        for request, reply in zip(requests, replies, strict=True):
            context = "".join(map(chr, request.prompt_ids))
            self.asked.append((context, "".join(map(chr, reply))))
            found.append([self.log_prob(context, chr(token)) for token in reply])
        return found

    def generate(self, requests: Any, sampling: Any) -> Any:
        raise NotImplementedError

    def forget(self, dialogue_ids: Any) -> None:
        pass

    def identity(self) -> dict[str, Any]:
        return {"engine": "scores"}


class Speaker:
    """Says what a function makes of the conversation and the key, as one token."""

    def __init__(self, speak: Callable[[Any, NoiseKey], str]) -> None:
        self.speak = speak

    def act(self, requests: Any) -> list[PolicyReply]:
        return [PolicyReply(self.speak(r.conversation, r.key), [1], [2], [-0.5]) for r in requests]

    def forget(self, dialogue_ids: Any) -> None:
        pass

    def identity(self) -> dict[str, Any]:
        return {"name": "speaker"}


class Talker:
    """Says a number; stops or fails with these probabilities. Counts what it said."""

    def __init__(self, stop: float = 0.0, fail: float = 0.0) -> None:
        self.stop, self.fail = stop, fail
        self.said = 0

    def __deepcopy__(self, memo: Any) -> "Talker":
        return self

    def reply(self, requests: Any) -> list[UserReply]:
        self.said += len(requests)
        return [self._answer(r) for r in requests]

    def _answer(self, request: Any) -> UserReply:
        begun = bool(request.conversation)
        if begun and request.key.child("fail").uniform() < self.fail:
            return UserReply("", error="in a bad mood")
        stop = begun and request.key.child("stop").uniform() < self.stop
        return UserReply(str(request.key.child("say").integer(0, 99)), stop)

    def forget(self, dialogue_ids: Any) -> None:
        pass

    def draw_persona(self, kind: Any, key: Any) -> Any:
        return ScriptedUser().draw_persona(kind, key)

    def identity(self) -> dict[str, Any]:
        return {"name": "talker"}


class Scorer:
    """What a function makes of the conversation."""

    def __init__(self, function: Callable[[Any], float]) -> None:
        self.function = function

    def score(self, task: Any, conversation: Any) -> Score:
        reward = self.function(conversation)
        return Score(reward, {"half": reward / 2})

    def identity(self) -> dict[str, Any]:
        return {"name": "function"}


def tenths(conversation: Any) -> float:
    """A tenth for each message of the agent."""
    return sum(m["role"] == "assistant" for m in conversation) / 10


@pytest.fixture
def make_env() -> Callable[..., DialogueVectorEnv]:
    def make(num_envs: int = 4, **keywords: Any) -> DialogueVectorEnv:
        defaults = {"scorer": Scorer(tenths), "simulator": Talker(), "max_turns": 4}
        env = gym.make_vec(
            "dialogue_gym:MathChat-v0",
            num_envs=num_envs,
            autoreset_mode="Disabled",
            **{**defaults, **keywords},
        )
        assert isinstance(env, DialogueVectorEnv)
        return env

    return make
