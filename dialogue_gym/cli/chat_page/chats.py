"""Dialogues of people at a page: each is played by a thread of its own, which waits for its person."""

import secrets
import sys
import threading
import time
from pathlib import Path
from typing import Any

from dialogue_gym.cli.talking import Sitting, Table, ending, keep, rate, verdict
from dialogue_gym.dialogue import Conversation, Message
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout import PolicyReply, PolicyRequest
from dialogue_gym.simulators import UserReply, UserRequest
from dialogue_gym.simulators.human import PersonLeft, brief_lines

MAX_CHATS = 200
"""Dialogues under way at once; each has a thread."""


class Refused(Exception):
    """What the page asked for cannot be now; the message is for the person."""


class Chat:
    """One person's dialogue, as a ``Person`` for the thread that plays it and as a state for the page.

    The thread waits in ``reply`` or ``act`` until ``say`` or ``leave`` is called. A dialogue that is over is
    kept when its person has rated it, declined to, or left.

    Args:
        table: where they sit down.
        number: of the dialogue.
        log: where it is kept; None where the person does not agree to that.
    """

    def __init__(self, table: Table, number: int, log: Path | None) -> None:
        self.id = secrets.token_urlsafe(16)
        self.role = table.role
        self.version = 0
        self.seen = time.monotonic()
        self.done = False
        self._log = log
        self._changed = threading.Condition(threading.RLock())
        self._brief: list[str] = []
        self._messages: list[Message] = []
        self._listening = False
        self._said: tuple[str, bool] | None = None
        self._gone = ""
        self._record: DialogueRecord | None = None
        self._kept = False
        self._trouble = ""
        self._sitting: Sitting = table.seat(self, number)
        self._thread = threading.Thread(target=self._play, name=f"chat-{number}", daemon=True)
        self._thread.start()

    # what the thread calls

    def reply(self, request: UserRequest) -> UserReply:
        """What the person says as the user."""
        self._brief = brief_lines(request.kind, request.brief)
        return UserReply(*self._listen(request.conversation))

    def act(self, request: PolicyRequest) -> PolicyReply:
        """What the person says as the agent."""
        return PolicyReply(self._listen(request.conversation)[0])

    def _listen(self, conversation: Conversation) -> tuple[str, bool]:
        with self._changed:
            self._show(list(conversation), listening=True)
            while self._said is None and not self._gone:
                self._changed.wait()
            if self._said is None:
                raise PersonLeft
            said, self._said = self._said, None
            return said

    def _play(self) -> None:
        try:
            self._end(self._sitting.play())
        except PersonLeft:
            self._end(self._sitting.left(self._gone))
        except Exception as error:  # a fault of this dialogue: its person reads it, the others go on
            self._fail(f"{type(error).__name__}: {error}".splitlines()[0])

    # what the page calls

    def say(self, text: str, stop: bool) -> None:
        """The person speaks, or ends the dialogue as the user.

        Raises:
            Refused: it is over, it is not their turn, or there is nothing to say or to end.
        """
        with self._changed:
            if self._record is not None:
                raise Refused("This dialogue is over.")
            if not self._listening:
                raise Refused("It is not your turn: wait for the other side.")
            if stop and (self.role == "agent" or not self._messages):
                raise Refused("Only the user ends a dialogue, once the agent has said something.")
            if not text.strip() and not stop:
                raise Refused("There is nothing in this message.")
            self._said = (text.strip(), stop)
            own: Message = {"role": "user" if self.role == "user" else "assistant", "content": text.strip()}
            self._show([*self._messages, own] if own["content"] else self._messages, listening=False)

    def rate(self, rating: int | None) -> None:
        """Rate the dialogue that is over, or (None) decline to; then it is kept.

        Raises:
            Refused: it is not over, or was rated before.
            ValueError: the rating is not from 1 to 5.
        """
        with self._changed:
            if self._record is None or self.done:
                raise Refused("There is no dialogue to rate.")
            if rating is not None:
                rate(self._record, rating)
            self._keep()

    def leave(self, why: str = "the person left") -> None:
        """The person has gone; what was said is kept as soon as the thread notices."""
        with self._changed:
            self._gone = self._gone or why
            if self._record is not None:
                self._keep()
            self._changed.notify_all()

    def close(self, deadline: float) -> None:
        """Keep the dialogue as it stands, even where a model does not come to an end.

        Args:
            deadline: until when (``time.monotonic``) to wait for that.
        """
        with self._changed:  # whose holder may be writing to the log
            if self.done:
                return
        self.leave("the server was stopped")
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._end(self._sitting.left("the server was stopped"))

    def view(self) -> dict[str, Any]:
        """The state for the page, JSON-able; it has nothing of the task but the user's brief."""
        with self._changed:
            return {
                "version": self.version,
                "brief": self._brief,
                "messages": self._messages,
                "your_turn": self._listening,
                "over": "" if self._record is None else ending(self._record),
                "verdict": verdict(self._record) if self._record is not None and self.done else "",
                "done": self.done,
                "kept": self._kept,
                "trouble": self._trouble,
            }

    def _show(self, messages: list[Message], *, listening: bool) -> None:
        self._messages, self._listening = messages, listening
        self.version += 1
        self._changed.notify_all()

    def _end(self, record: DialogueRecord) -> None:
        with self._changed:
            if self._record is not None:  # kept already, while a model was still at it
                return
            self._record = record
            self._show(list(record.messages), listening=False)
            if self._gone:
                self._keep()

    def _fail(self, why: str) -> None:
        print(f"error: a dialogue broke off: {why}", file=sys.stderr)
        with self._changed:
            self._trouble = f"The dialogue broke off: {why}"
            if self._messages:  # else it never began, and there is no record
                self._end(self._sitting.left(why))
            self._keep()

    def _keep(self) -> None:
        if self.done:
            return
        self.done = True
        self.version += 1
        if self._log is None or self._record is None:
            return
        try:
            self._kept = keep(self._log, self._record)
        except OSError as error:
            self._trouble = (
                "The dialogue could not be added to the log; whoever runs this page has it elsewhere."
            )
            print(f"error: {error}", file=sys.stderr)


class Chats:
    """All dialogues of a page, by their secret ids.

    Args:
        table: where people sit down.
        log: where their dialogues are kept.
        idle_s: seconds without a sign of a page, after which its person has left.
    """

    def __init__(self, table: Table, log: Path, idle_s: float) -> None:
        self.table, self.log, self._idle_s = table, log, idle_s
        self._chats: dict[str, Chat] = {}
        self._lock = threading.Lock()
        self._begun = 0

    def begin(self, consent: bool) -> Chat:
        """A new dialogue.

        Raises:
            Refused: too many are under way.
        """
        with self._lock:
            if sum(not chat.done for chat in self._chats.values()) >= MAX_CHATS:
                raise Refused(f"{MAX_CHATS} dialogues are under way; try again later.")
            chat = Chat(self.table, self._begun, self.log if consent else None)
            self._begun += 1
            self._chats[chat.id] = chat
            return chat

    def find(self, chat_id: str) -> Chat:
        """The dialogue with this id, whose page has just been heard of.

        Raises:
            KeyError: there is none, or it was over long ago.
        """
        with self._lock:
            chat = self._chats[chat_id]
        chat.seen = time.monotonic()
        return chat

    def sweep(self) -> None:
        """Let go of people whose pages have not been heard of for too long."""
        before = time.monotonic() - self._idle_s
        with self._lock:
            silent = [chat for chat in self._chats.values() if chat.seen < before]
            for chat in silent:
                if chat.done:
                    del self._chats[chat.id]
        for chat in silent:
            chat.leave()

    def close(self, patience_s: float = 5.0) -> None:
        """Keep every dialogue as it stands; slow models are waited for so long, all together."""
        with self._lock:
            chats = list(self._chats.values())
        deadline = time.monotonic() + patience_s
        for chat in chats:
            chat.leave("the server was stopped")
        for chat in chats:
            chat.close(deadline)
