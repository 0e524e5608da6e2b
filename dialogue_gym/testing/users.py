"""Does a user simulator keep the protocol?"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from dialogue_gym.dialogue import Conversation, Message, Transcript
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.base import ScoringUserSimulator, UserReply, UserRequest, UserSimulator
from dialogue_gym.simulators.personas import Persona
from dialogue_gym.tasks import Brief, Kind, task_sources
from dialogue_gym.testing.common import (
    ODD_TEXTS,
    check_copy,
    check_identity,
    check_json,
    check_methods,
    no_error,
    run_checks,
    shown,
)

_AGENT_TEXTS = (
    "What is missing?",
    "Could you tell me more?",
    "The answer is 7.",
    "Draft: Come on Friday.",
    "ok",
)
_IMPOSSIBLE = "zq " * 150


def check_user_simulator(
    simulator: UserSimulator, kind: Kind = "math", n: int = 8, *, deterministic: bool = True
) -> list[str]:
    """Check that a user simulator keeps the protocol, in the manner of Gymnasium's ``check_env``.

    Plays ``n`` procedural tasks by hand, without an environment. The first fault ends the check.

    Args:
        simulator: yours.
        kind: which tasks it is checked with, "math" or "document".
        n: number of dialogues, at least 2.
        deterministic: False relaxes the checks that equal requests get equal replies, for servers and
            for models that compute differently in batches of other shapes.

    Returns:
        What was checked, one line each.

    Raises:
        AssertionError: the first thing that is wrong, in one line.
        ValueError: ``n`` below 2.

    Example:
        >>> from dialogue_gym.simulators import ScriptedUser
        >>> check_user_simulator(ScriptedUser(), "document")[0]
        'has the methods of a UserSimulator'
    """
    if n < 2:
        raise ValueError(f"n must be at least 2 dialogues, got {n}")
    checks: list[tuple[str, Callable[[_Checker], None]]] = [
        ("has the methods of a UserSimulator", _check_protocol),
        ("identity is JSON-able and stays the same", _check_identity),
        ("draw_persona is a pure function of kind and key", _check_personas),
        ("opens dialogues from an empty conversation", _check_openings),
        ("gives one proper reply for each request", _check_replies),
        ("leaves requests and conversations as they are", _check_mutation),
        ("bears odd agent messages", _check_odd_texts),
        ("bears a brief without facts", _check_bare_brief),
        ("can be copied without copying a model", _check_copy),
    ]
    if deterministic:
        checks += [
            ("gives equal replies to equal requests", _check_repeats),
            ("replies do not depend on order or neighbours", _check_batches),
            ("forgetting changes no reply", _check_forget),
        ]
    if hasattr(simulator, "log_prob"):
        checks.append(("log-probabilities fit its own and impossible replies", _check_log_prob))
    return run_checks(checks, _Checker(simulator, kind, n))


class _Checker:
    """A simulator under check, with requests for it."""

    def __init__(self, simulator: UserSimulator, kind: Kind, n: int) -> None:
        self.simulator, self.kind = simulator, kind
        tasks = task_sources[kind].build("procedural")
        self.keys = [NoiseKey(("check", i)) for i in range(n)]
        self.briefs = [tasks.draw("train", key.child("task")).brief for key in self.keys]

    def openings(self) -> list[UserRequest]:
        """Requests to open a dialogue, one for each task."""
        return [
            UserRequest(("check", i), self.kind, brief, Persona(), (), key.child("opening"))
            for i, (brief, key) in enumerate(zip(self.briefs, self.keys, strict=True))
        ]

    def requests(self) -> list[UserRequest]:
        """Requests in the middle of dialogues of one to three turns; the last messages differ."""
        return [
            self.request(i, [_AGENT_TEXTS[(i + t) % len(_AGENT_TEXTS)] for t in range(1 + i % 3)])
            for i in range(len(self.keys))
        ]

    def request(
        self, i: int, spoken: Sequence[str], view: Callable[[Conversation], Any] = list
    ) -> UserRequest:
        """A request after the agent has said ``spoken``; ``view`` makes the conversation that is shown."""
        brief = self.briefs[i]
        told = [brief.goal, *(fact.text for fact in brief.facts), *["ok"] * len(spoken)]
        messages: list[Message] = []
        for user, agent in zip(told, spoken, strict=False):
            messages += [{"role": "user", "content": user}, {"role": "assistant", "content": agent}]
        key = self.keys[i].child("reply", len(spoken))
        return UserRequest(("check", i), self.kind, brief, Persona(), view(messages), key)

    def reply(self, requests: Sequence[UserRequest], when: str) -> list[UserReply]:
        """The simulator's replies, or an AssertionError that says what was asked."""
        with no_error("reply()", when):
            replies: Any = self.simulator.reply(requests)
        assert isinstance(replies, list), f"reply() must return a list, got {type(replies).__name__} ({when})"
        assert len(replies) == len(requests), (
            f"reply() must return one reply per request, got {len(replies)} for {len(requests)} ({when})"
        )
        for reply in replies:
            _check_reply(reply, when)
        return replies


def _check_reply(reply: Any, when: str) -> None:
    assert isinstance(reply, UserReply), f"a reply must be a UserReply, got {type(reply).__name__} ({when})"
    for name, kind in (("text", str), ("stop", bool), ("metadata", dict)):
        value = getattr(reply, name)
        assert isinstance(value, kind), (
            f"UserReply.{name} must be a {kind.__name__}, got {type(value).__name__} ({when})"
        )
    assert reply.error is None or isinstance(reply.error, str), (
        f"UserReply.error must be a str or None ({when})"
    )
    check_json(reply.metadata, f"UserReply.metadata ({when})")


def _check_protocol(checker: _Checker) -> None:
    check_methods(checker.simulator, "UserSimulator", "reply", "forget", "draw_persona", "identity")


def _check_identity(checker: _Checker) -> None:
    check_identity(
        checker.simulator, lambda: checker.reply(checker.openings(), "openings"), "replies are given"
    )


def _check_personas(checker: _Checker) -> None:
    first = [checker.simulator.draw_persona(checker.kind, key) for key in checker.keys]
    for persona in first:
        assert isinstance(persona, Persona), (
            f"draw_persona() must return a Persona, got {type(persona).__name__}"
        )
    again = [checker.simulator.draw_persona(checker.kind, key) for key in reversed(checker.keys)]
    assert first == again[::-1], "draw_persona() must return the same persona for the same key"


def _check_openings(checker: _Checker) -> None:
    for reply in checker.reply(checker.openings(), "openings"):
        assert reply.error is None, f"an opening failed: {reply.error}"
        assert reply.text.strip(), "an opening must say something"


def _check_replies(checker: _Checker) -> None:
    for reply in checker.reply(checker.requests(), "dialogues of one to three turns"):
        assert reply.error is None, f"a reply failed: {reply.error}"
    checker.reply([checker.request(0, ["ok"], Transcript)], "a conversation that is a Transcript")


def _check_mutation(checker: _Checker) -> None:
    requests = checker.requests()
    kept = list(requests), [[dict(m) for m in r.conversation] for r in requests]
    checker.reply(requests, "dialogues of one to three turns")
    assert requests == kept[0], "reply() must not change the list of requests"
    for request, before in zip(requests, kept[1], strict=True):
        assert list(request.conversation) == before, "reply() must not change a conversation"


def _check_odd_texts(checker: _Checker) -> None:
    for text in ODD_TEXTS:
        requests = [checker.request(0, [text]), checker.request(1, ["ok", text])]
        checker.reply(requests, f"the agent said {shown(text)}")


def _check_bare_brief(checker: _Checker) -> None:
    bare = Brief("What is 2 + 2?", (), "What is 2 + 2?")
    requests = [replace(r, brief=bare) for r in (*checker.openings()[:1], *checker.requests()[:2])]
    checker.reply(requests, "a brief without facts")


def _check_copy(checker: _Checker) -> None:
    check_copy(checker.simulator, "simulator")


def _said(replies: Sequence[UserReply]) -> list[tuple[str, bool, bool]]:
    return [(reply.text, reply.stop, reply.error is None) for reply in replies]


def _check_repeats(checker: _Checker) -> None:
    for requests in (checker.openings(), checker.requests()):
        first = checker.reply(requests, "the first time")
        assert _said(first) == _said(checker.reply(requests, "again")), (
            "equal requests must get equal replies: take all noise from request.key"
        )


def _check_batches(checker: _Checker) -> None:
    requests = [*checker.openings(), *checker.requests()]
    together = _said(checker.reply(requests, "openings and replies in one batch"))
    backwards = _said(checker.reply(requests[::-1], "the same in reverse order"))
    assert together == backwards[::-1], "a reply must not depend on the order of the batch"
    alone = [_said(checker.reply([request], "a request alone"))[0] for request in requests]
    assert together == alone, "a reply must not depend on its neighbours in the batch"


def _check_forget(checker: _Checker) -> None:
    requests = checker.requests()
    before = _said(checker.reply(requests, "before forget()"))
    with no_error("forget()", "known and unknown dialogues"):
        checker.simulator.forget([request.dialogue_id for request in requests])
        checker.simulator.forget([("check", "never seen")])
    assert before == _said(checker.reply(requests, "after forget()")), (
        "forget() must change no reply: what is cached has to be rebuilt from the request"
    )


def _check_log_prob(checker: _Checker) -> None:
    assert isinstance(checker.simulator, ScoringUserSimulator), (
        "a simulator with log_prob() must say decides_stop_first, True or False"
    )
    requests = [*checker.openings(), *checker.requests()]
    replies = checker.reply(requests, "to be scored")
    try:
        own = checker.simulator.log_prob(requests, replies)
    except NotImplementedError:  # some language models can score, servers mostly cannot
        return
    assert len(own) == len(requests), f"log_prob() returned {len(own)} for {len(requests)} replies"
    for value in own:
        for part in (value.stop, value.text):
            assert math.isfinite(part), f"log_prob() of its own reply must be finite, got {part}"
            assert part <= 1e-6, f"a log-probability must not be above 0, got {part}"
    for value in checker.simulator.log_prob(requests[:2], [UserReply(_IMPOSSIBLE)] * 2):
        assert value.total < -20, (
            f"log_prob() of a reply that it never gives must be very low, got {value.total}"
        )
