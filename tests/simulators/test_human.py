"""A person as the user: the protocol, the terminal, and what is left of a dialogue that is broken off."""

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import pytest

import dialogue_gym  # noqa: F401
from dialogue_gym.dialogue import EndReason
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import HumanUser, Persona, UserReply, UserRequest
from dialogue_gym.simulators.human import PersonLeft, brief_lines
from dialogue_gym.simulators.user_turns import by_people
from dialogue_gym.tasks import Brief, Fact
from dialogue_gym.testing import check_user_simulator

Typed = Callable[..., None]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Lets somebody type these lines; then the input ends. Exceptions are raised in their place."""

    def sit_down(*lines: str | type[BaseException]) -> None:
        waiting: Iterator[Any] = iter((*lines, EOFError))

        def read(prompt: str = "") -> str:
            line = next(waiting)
            if isinstance(line, str):
                return line
            raise line

        monkeypatch.setattr("builtins.input", read)

    return sit_down


def request(*said: str, kind: Any = "math", brief: Brief | None = None) -> UserRequest:
    roles = ("user", "assistant")
    conversation: Any = [{"role": roles[i % 2], "content": text} for i, text in enumerate(said)]
    brief = brief or Brief("What is 2 + 2?", (), "Two and two. What is it?")
    return UserRequest(0, kind, brief, Persona(), conversation, NoiseKey((0,)))


def test_it_keeps_the_protocol() -> None:
    def say(request: UserRequest) -> UserReply:
        return UserReply(f"{request.brief.goal} {len(request.conversation)}")

    check_user_simulator(HumanUser(say))


def test_its_dialogues_are_people_s() -> None:
    env = gym.make("MathChat-v0", simulator=HumanUser(lambda request: UserReply("help")))
    env.reset(seed=0)
    assert by_people(env.unwrapped.record())  # type: ignore[attr-defined]


def test_by_name_it_reads_the_terminal(typed: Typed, capsys: Any) -> None:
    typed("how many?", "/stop thanks")
    env = gym.make("MathChat-v0", simulator="human")
    observation, _ = env.reset(seed=3)
    record = env.unwrapped.record()  # type: ignore[attr-defined]
    shown = capsys.readouterr().out
    assert record.task["brief"]["text"] in shown
    assert observation == ({"role": "user", "content": "how many?"},)
    *_, terminated, _, info = env.step("about \x1b[2J9")
    assert "agent: about \\x1b[2J9" in capsys.readouterr().out
    assert terminated
    assert info["end_reason"] == "user_stop"
    assert env.unwrapped.record().messages[-1]["content"] == "thanks"  # type: ignore[attr-defined]


def test_the_end_of_the_input_says_what_it_is(typed: Typed) -> None:
    typed()
    with pytest.raises(PersonLeft, match="standard input is at its end"):
        gym.make("MathChat-v0", simulator="human").reset(seed=0)


@pytest.mark.parametrize("gone", [("/leave",), (), (KeyboardInterrupt,)])
def test_who_leaves_is_not_asked_again_and_loses_nothing(typed: Typed, gone: tuple[Any, ...]) -> None:
    typed("help", *gone)
    env = gym.make("MathChat-v0", simulator="human")
    env.reset(seed=0)
    with pytest.raises((PersonLeft, KeyboardInterrupt)):
        env.step("with what?")
    inner: Any = env.unwrapped
    inner.abort(EndReason.ABORTED, "the person left")
    record = inner.record()
    assert [m["content"] for m in record.messages] == ["help", "with what?"]
    assert (record.end_reason, record.reward) == ("aborted", None)


def test_the_terminal_explains_what_it_does_not_know(typed: Typed, capsys: Any) -> None:
    typed("/stop", "/quit", "", "  ", "/brief", " hi ")
    assert HumanUser().reply([request()]) == [UserReply("hi")]
    shown = capsys.readouterr().out
    assert "not said anything" in shown
    assert "no command '/quit'" in shown
    assert shown.count("Two and two. What is it?") == 2


def test_a_message_may_have_several_lines_and_an_end_none(typed: Typed) -> None:
    typed("one\\", "two", "/stop")
    asked = request("hi", "yes?")
    assert HumanUser().reply([asked, asked]) == [UserReply("one\ntwo"), UserReply("", stop=True)]


def test_the_brief_has_what_the_user_must_know() -> None:
    facts = (Fact("day", "Friday", "it's on Friday"), Fact("place", "park", "we meet in the park"))
    brief = Brief("a notice", facts, "Please write a notice: it's on Friday, we meet in the park.")
    assert brief_lines("document", brief) == ["a notice", "it's on Friday", "we meet in the park"]
    assert brief_lines("math", brief) == [brief.text]
