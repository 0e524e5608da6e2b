"""The audit's figures are those of users who are known."""

import json
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import pytest

from dialogue_gym.calibration.audit import AGENTS, Audit, audit
from dialogue_gym.scoring import extract_draft
from dialogue_gym.scoring.documents import fact_share
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import Persona, UserReply, UserRequest

Stops = Callable[[UserRequest], bool]


class Listener:
    """Ends the dialogue when a function of the request says so."""

    def __init__(self, stops: Stops) -> None:
        self.stops = stops
        self.heard: list[UserRequest] = []

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        self.heard += requests
        return [UserReply("ok", stop=self.stops(request)) for request in requests]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None: ...

    def draw_persona(self, kind: Any, key: NoiseKey) -> Persona:
        return Persona()

    def identity(self) -> dict[str, Any]:
        return {"name": "listener"}


def last(request: UserRequest) -> str:
    return request.conversation[-1]["content"]


def knows(request: UserRequest) -> bool:
    return fact_share(extract_draft(request.conversation), tuple(f.value for f in request.brief.facts)) == 1.0


def means(result: Audit, user: str = "simulator") -> dict[str, float]:
    return {name: getattr(contrast, user).acceptance.mean for name, contrast in result.agents.items()}


@pytest.mark.parametrize("env_id", ["MathChat-v0", "DocEditChat-v0"])
def test_who_accepts_everything_and_who_accepts_nothing(env_id: str) -> None:
    everything = audit(Listener(lambda _: True), env_id=env_id, n=12)
    assert means(everything) == dict.fromkeys(AGENTS, 1.0)
    nothing = audit(Listener(lambda _: False), env_id=env_id, n=12)
    assert means(nothing) == dict.fromkeys(AGENTS, 0.0)
    for result, sign in ((everything, 1), (nothing, -1)):
        assert result.discrimination.simulator is not None
        assert result.discrimination.simulator.mean == 0.0
        assert all(c.difference and sign * c.difference.mean >= 0 for c in result.agents.values())
    assert everything.agents["wrong"].simulator.by_statement[1:] == [None, None]
    assert [e.n for e in nothing.agents["wrong"].simulator.by_statement if e] == [12, 12, 12]
    # the reference user heard the same, whoever it is compared with
    assert means(everything, "reference") == means(nothing, "reference")


def test_who_knows_the_answer_discriminates() -> None:
    result = audit(Listener(knows), env_id="DocEditChat-v0", n=12)
    assert means(result) == {"right": 1.0, "wrong": 0.0, "contradicting": 0.0, "flattering": 0.0}
    assert result.discrimination.simulator is not None
    assert result.discrimination.simulator.mean == 1.0
    assert result.discrimination.difference is not None
    assert result.discrimination.difference.mean > 0.0


def test_who_falls_for_praise_is_found_out() -> None:
    result = audit(Listener(lambda r: "!" in last(r) and "Draft" not in last(r)), n=12)
    assert means(result) == {"right": 0.0, "wrong": 0.0, "contradicting": 0.0, "flattering": 1.0}


def test_who_gives_in_at_the_second_try() -> None:
    result = audit(Listener(lambda r: r.conversation[-1] == r.conversation[-3]), n=12)
    wrong = result.agents["wrong"].simulator
    assert [e and e.mean for e in wrong.by_statement] == [0.0, 1.0, None]
    assert wrong.within is not None
    assert wrong.within.mean == 1.0
    assert means(result)["contradicting"] == 0.0  # says another thing every time


def test_the_reference_against_itself_differs_in_nothing() -> None:
    for env_id in ("MathChat-v0", "DocEditChat-v0"):
        result = audit("scripted", "scripted", env_id=env_id, n=30, seed=4)
        for contrast in result.agents.values():
            assert contrast.simulator == contrast.reference
            assert contrast.difference is not None
            assert (contrast.difference.mean, contrast.difference.low, contrast.difference.high) == (0, 0, 0)
        assert result.discrimination.difference is not None
        assert result.discrimination.difference.mean == 0.0


def test_scripted_users_see_what_is_wrong_with_a_draft_but_not_with_a_number() -> None:
    document = audit("scripted", env_id="DocEditChat-v0", n=40)
    assert document.discrimination.reference is not None
    assert document.discrimination.reference.low > 0.3
    math = audit("scripted", n=40)
    assert math.discrimination.reference is not None
    assert math.discrimination.reference.mean == 0.0  # they do not know the answer


def test_every_user_meets_the_same_contexts() -> None:
    one, other = Listener(lambda _: False), Listener(lambda _: False)
    audit(one, n=8, batch=8)
    audit(other, n=8, batch=3)

    def met(user: Listener) -> set[tuple[str, ...]]:
        return {tuple(m["content"] for m in request.conversation) for request in user.heard}

    assert met(one) == met(other)


def test_lost_patience_is_not_acceptance() -> None:
    def users(patience: int) -> dict[str, Any]:
        population = {"patience": [patience, patience], "trust": [0.0, 0.0]}
        return {"name": "scripted", "population": population}

    result = audit(users(7), users(7), n=20)
    assert means(result) == dict.fromkeys(AGENTS, 0.0)
    assert result.agents["wrong"].simulator.within is not None
    assert result.agents["wrong"].simulator.within.mean == 0.0
    with pytest.raises(ValueError, match=r"only 0 of 25 dialogues got to where .* patience for 7 turns"):
        audit(users(2), users(2), n=5)


def test_failed_dialogues_are_left_out() -> None:
    class Broken(Listener):
        def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
            replies = super().reply(requests)
            return [
                UserReply("", error="down") if "eat question" in last(request) else reply
                for request, reply in zip(requests, replies, strict=True)
            ]

    result = audit(Broken(lambda _: True), n=20)
    flattering = result.agents["flattering"]
    assert 0 < flattering.simulator.failed < 20
    assert flattering.simulator.acceptance is not None
    assert flattering.simulator.acceptance.n == 20 - flattering.simulator.failed
    assert flattering.difference is not None
    assert flattering.difference.n == flattering.simulator.acceptance.n
    assert f"flattering {flattering.simulator.failed}/0" in result.table()
    assert result.agents["wrong"].simulator.failed == 0


def test_contexts_are_counted_and_the_same_again() -> None:
    ticks: list[int] = []
    result = audit("scripted", env_id="DocEditChat-v0", n=10, on_dialogue=lambda: ticks.append(1))
    assert len(ticks) == 9 * 10
    assert result == audit("scripted", env_id="DocEditChat-v0", n=10, batch=7)
    assert result != audit("scripted", env_id="DocEditChat-v0", n=10, seed=1)
    assert json.loads(json.dumps(result.to_dict())) == result.to_dict()


def test_a_reference_that_leaves_before_any_statement_gives_no_context() -> None:
    with pytest.raises(ValueError, match="only 0 of 15 dialogues"):
        audit("scripted", Listener(lambda r: bool(r.conversation)), n=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be at least 1"),
        ({"env_id": "MathChat-v8"}, "MathChat-v8"),
        ({"simulator": "promted"}, "did you mean 'prompted'"),
        ({"reference": "scriptd"}, "did you mean 'scripted'"),
        ({"env_options": {"task": "x"}}, "did you mean 'tasks'"),
        ({"env_options": {"split": "test"}}, "the audit sets split itself"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        audit(**{"simulator": "scripted", **arguments})
