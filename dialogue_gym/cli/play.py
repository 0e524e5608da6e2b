"""``dialogue-gym play``: a person in one seat of a dialogue, at the terminal."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dialogue_gym.cli.talking import (
    AGENT_BRIEF,
    RATINGS,
    Table,
    TalkSettings,
    ending,
    keep,
    open_log,
    rate,
    verdict,
)
from dialogue_gym.dialogue import Conversation
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout import PolicyReply, PolicyRequest
from dialogue_gym.simulators import UserReply, UserRequest
from dialogue_gym.simulators.human import PersonLeft, at_terminal, read_line, show_message
from dialogue_gym.tasks.base import Kind

_NOTICE_S = 4.0
_COMMANDS = "/brief shows this again, /leave breaks off."


@dataclass
class PlaySettings(TalkSettings):
    r"""Talk with a policy as its user, or with a user as their agent, at the terminal.

    Who plays the user reads what they want and know, and asks for it in their own words; /stop ends the
    dialogue when they are content. The dialogue and a rating go into --out, as people's dialogues do, and
    only after a yes to that. One that is broken off (/leave, Ctrl-C) is kept too, as unfinished.

    Examples:
      The user of a math problem, with a model of your own as the agent:
        dialogue-gym play MathChat-v0 --policy transformers:FOLDER --out runs/people.jsonl
      The same with the rules, which understand the brief's own wording and no other:
        dialogue-gym play MathChat-v0 --policy rule
      The agent of a scripted user who wants a notice:
        dialogue-gym play DocEditChat-v0 --as agent --out runs/people.jsonl
    """

    out: Path | None = None
    """The log that the dialogue is added to; without one, nothing is kept."""


def run(settings: PlaySettings) -> int:
    """Ask for consent, play, ask for a rating, keep."""
    if settings.out is not None:
        open_log(settings.out)
    table = Table(settings)
    person = _AtTerminal(table.kind)
    sitting = table.seat(person)
    if table.note:
        print(table.note)
    log = _consented(settings.out)
    try:
        record = sitting.play()
        person.end(record)
        _rate(record)
        if record.reward is not None:
            print(verdict(record))
    except PersonLeft:
        record = sitting.left()
    except KeyboardInterrupt:
        _keep(log, sitting.left())
        raise
    _keep(log, record)
    return 0


class _AtTerminal:
    """A person at the terminal, as a ``Person``; who waits for long is told so."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._seen = 0
        self._waiting = threading.Timer(0, print)

    def reply(self, request: UserRequest) -> UserReply:
        with self._turn(request.conversation):
            return at_terminal(request)

    def act(self, request: PolicyRequest) -> PolicyReply:
        with self._turn(request.conversation):
            if len(request.conversation) == 1:
                self._show_brief()
            show_message(request.conversation[-1])
            while not (text := read_line("you> ")) or text.startswith("/"):
                self._obey(text)
            return PolicyReply(text)

    def _obey(self, command: str) -> None:
        """What a person types as the agent that is no message; nothing of it reaches the user."""
        if command == "/brief":
            self._show_brief()
        elif command.partition(" ")[0] == "/stop":
            print(f"Only the user ends the dialogue. {_COMMANDS}")
        elif command:
            print(f"There is no command {command.partition(' ')[0]!r}. {_COMMANDS}")

    def _show_brief(self) -> None:
        print(f"\n{AGENT_BRIEF[self._kind]} {_COMMANDS}")

    def end(self, record: DialogueRecord) -> None:
        """Show what the person has not seen yet, and how it ended."""
        self._waiting.cancel()
        for message in record.messages[self._seen :]:
            show_message(message)
        print(f"The dialogue is over: {ending(record)}.")

    @contextmanager
    def _turn(self, conversation: Conversation) -> Iterator[None]:
        self._waiting.cancel()
        yield
        self._seen = len(conversation) + 1
        notice = "  ... still waiting; Ctrl-C breaks off, and loses nothing"
        self._waiting = threading.Timer(_NOTICE_S, print, [notice])
        self._waiting.daemon = True  # of a process that ends meanwhile nobody waits
        self._waiting.start()


def _consented(log: Path | None) -> Path | None:
    """The log, if there is one and the person agrees."""
    if log is None:
        print("Nothing of this dialogue is kept; --out LOG would keep it.")
        return None
    print(f"What you write, and your rating of it, would be kept in {log}; nothing else about you.")
    try:
        if read_line("Keep them? [y/N] ").lower() in ("y", "yes"):
            return log
    except PersonLeft:
        raise ValueError("nobody said whether the dialogue may be kept, so none was begun") from None
    print("Nothing of this dialogue is kept.")
    return None


def _rate(record: DialogueRecord) -> None:
    """Ask for a rating, which the person may leave out."""
    while text := read_line("How good was it, from 1 (bad) to 5 (good)? Enter for no rating: "):
        if text in map(str, RATINGS):
            rate(record, int(text))
            return
        print(f"{text!r} is no number from 1 to 5.")


def _keep(log: Path | None, record: DialogueRecord) -> None:
    if log is not None:
        print(f"The dialogue is in {log}." if keep(log, record) else "You said nothing, so nothing is kept.")
