"""The conformance check passes good simulators and names what is wrong with broken ones."""

import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import (
    Persona,
    Population,
    ReplyLogProb,
    ScriptedUser,
    UserReply,
    UserRequest,
)
from dialogue_gym.testing import check_user_simulator


@pytest.mark.parametrize("kind", ["math", "document"])
def test_the_scripted_user_conforms(kind: Any) -> None:
    checked = check_user_simulator(ScriptedUser(), kind, n=20)
    assert len(checked) == len(set(checked)) == 13
    assert "log-probabilities fit its own and impossible replies" in checked


class Minimal:
    """The least that conforms; no log-probabilities. Broken ones below change one thing."""

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        return [self.one(request) for request in requests]

    def one(self, request: UserRequest) -> UserReply:
        return UserReply(f"{request.brief.goal} {request.key.integer(0, 9)} {len(request.conversation)}")

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        pass

    def draw_persona(self, kind: Any, key: NoiseKey) -> Persona:
        return Population().draw(key)

    def identity(self) -> dict[str, Any]:
        return {"name": "minimal"}


def test_the_least_simulator_conforms() -> None:
    assert len(check_user_simulator(Minimal())) == 12
    assert len(check_user_simulator(Minimal(), deterministic=False)) == 9


class NoForget(Minimal):
    forget = None  # type: ignore[assignment]


class IdentityOfObjects(Minimal):
    def identity(self) -> dict[str, Any]:
        return {"name": "x", "model": object()}


class Nameless(Minimal):
    def identity(self) -> dict[str, Any]:
        return {}


class CountingIdentity(Minimal):
    calls = 0

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        self.calls += 1
        return super().reply(requests)

    def identity(self) -> dict[str, Any]:
        return {"name": "x", "calls": self.calls}


class StreamedPersonas(Minimal):
    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def draw_persona(self, kind: Any, key: NoiseKey) -> Persona:
        return Persona(trust=float(self.rng.random()))


class NeedsHistory(Minimal):
    def one(self, request: UserRequest) -> UserReply:
        return UserReply(request.conversation[-1]["content"])


class Silent(Minimal):
    def one(self, request: UserRequest) -> UserReply:
        return UserReply("")


class OneShort(Minimal):
    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        return super().reply(requests)[1:]


class Texts(Minimal):
    def reply(self, requests: Sequence[UserRequest]) -> Any:
        return [reply.text for reply in super().reply(requests)]


class StopsWithOne(Minimal):
    def one(self, request: UserRequest) -> UserReply:
        return UserReply("bye", stop=1)  # type: ignore[arg-type]


class MetadataOfSets(Minimal):
    def one(self, request: UserRequest) -> UserReply:
        return UserReply("hm", metadata={"told": {1}})


class Failing(Minimal):
    def one(self, request: UserRequest) -> UserReply:
        return UserReply("", error="no connection") if request.conversation else super().one(request)


class Edits(Minimal):
    def one(self, request: UserRequest) -> UserReply:
        if isinstance(request.conversation, list):
            request.conversation.append({"role": "user", "content": "me"})
        return UserReply("ok")


class EditsMessages(Minimal):
    def one(self, request: UserRequest) -> UserReply:
        for message in request.conversation:
            message["content"] = message["content"].strip() + "."
        return UserReply("ok")


class SplitsWords(Minimal):
    def one(self, request: UserRequest) -> UserReply:
        last = request.conversation[-1]["content"].split()[0] if request.conversation else "hi"
        return UserReply(last)


class ReadsFirstFact(Minimal):
    def one(self, request: UserRequest) -> UserReply:
        return UserReply(request.brief.facts[0].text)


class HoldsAModel(Minimal):
    def __init__(self) -> None:
        self.weights = {"layer": [np.zeros(400_000)]}


class HoldsALock(Minimal):
    def __init__(self) -> None:
        self.lock = threading.Lock()


class Streamed(Minimal):
    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def one(self, request: UserRequest) -> UserReply:
        return UserReply(f"{self.rng.integers(2**60)}")


class HearsNeighbours(Minimal):
    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        return [UserReply(f"we are {len(requests)}") for _ in requests]


class HearsOrder(Minimal):
    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        return [UserReply(f"I am number {i}") for i, _ in enumerate(requests)]


class Remembers(Minimal):
    def __init__(self) -> None:
        self.gone: set[Hashable] = set()

    def one(self, request: UserRequest) -> UserReply:
        return UserReply("who are you?" if request.dialogue_id in self.gone else "hello again")

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        self.gone.update(dialogue_ids)


class ForgetsOnce(Minimal):
    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        raise KeyError("unknown")


class ScoredSilently(Minimal):
    def log_prob(self, requests: Sequence[UserRequest], replies: Sequence[UserReply]) -> list[ReplyLogProb]:
        return [ReplyLogProb(0.0, -1.0) for _ in replies]


class Scored(Minimal):
    decides_stop_first = True
    value: Callable[[UserReply], float]

    def log_prob(self, requests: Sequence[UserRequest], replies: Sequence[UserReply]) -> list[ReplyLogProb]:
        return [ReplyLogProb(0.0, type(self).value(reply)) for reply in replies]


class ScoredAboveOne(Scored):
    value = staticmethod(lambda reply: 0.5)


class ScoredImpossible(Scored):
    value = staticmethod(lambda reply: float("-inf"))


class ScoredFlat(Scored):
    value = staticmethod(lambda reply: -1.0)


BROKEN = [
    (NoForget, r"needs a method forget\(\)"),
    (IdentityOfObjects, r"identity\(\) must be JSON-able"),
    (Nameless, "needs a field 'name'"),
    (CountingIdentity, r"identity\(\) must not change"),
    (StreamedPersonas, "the same persona for the same key"),
    (NeedsHistory, r"reply\(\) raised IndexError.*\(openings\)"),
    (Silent, "an opening must say something"),
    (OneShort, "one reply per request, got 7 for 8"),
    (Texts, "must be a UserReply, got str"),
    (StopsWithOne, "UserReply.stop must be a bool, got int"),
    (MetadataOfSets, "UserReply.metadata .* must be JSON-able"),
    (Failing, "a reply failed: no connection"),
    (Edits, "must not change a conversation"),
    (EditsMessages, "must not change a conversation"),
    (SplitsWords, r"raised IndexError.*the agent said ''"),
    (ReadsFirstFact, r"raised IndexError.*a brief without facts"),
    (HoldsAModel, "copying the simulator copies 3,20"),
    (HoldsALock, r"copy.deepcopy\(\) of the simulator raised TypeError"),
    (Streamed, "take all noise from request.key"),
    (HearsNeighbours, "must not depend on its neighbours"),
    (HearsOrder, "must not depend on the order"),
    (Remembers, r"forget\(\) must change no reply"),
    (ForgetsOnce, r"forget\(\) raised KeyError"),
    (ScoredSilently, "must say decides_stop_first"),
    (ScoredAboveOne, "must not be above 0"),
    (ScoredImpossible, "must be finite"),
    (ScoredFlat, "must be very low"),
]


@pytest.mark.parametrize(("broken", "message"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_each_fault_is_found_and_said_in_one_line(broken: type[Minimal], message: str) -> None:
    with pytest.raises(AssertionError, match=message) as caught:
        check_user_simulator(broken())
    assert "\n" not in str(caught.value)


def test_randomness_is_allowed_where_it_is_asked_for() -> None:
    for relaxed in (Streamed, HearsNeighbours, Remembers):
        check_user_simulator(relaxed(), deterministic=False)


def test_two_dialogues_are_the_least() -> None:
    with pytest.raises(ValueError, match="n must be at least 2 dialogues, got 1"):
        check_user_simulator(Minimal(), n=1)
