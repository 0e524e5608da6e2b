"""A user that says what a log says."""

import difflib
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from dialogue_gym.dialogue import Conversation, EndReason
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.registry import check_options, nearest
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.base import UserReply, UserRequest, simulators
from dialogue_gym.simulators.personas import Persona
from dialogue_gym.simulators.replay_log import can_be_replayed, fingerprint, read_records, seed_of
from dialogue_gym.simulators.state import texts
from dialogue_gym.simulators.user_turns import brief_of
from dialogue_gym.tasks.base import Brief, Kind

OnDeparture = Literal["stop", "nearest", "error"]

_COMPARED = 200  # words of a message that similarity reads: half from its beginning, half from its end
_WORD = re.compile(r"\w+")
_FAILED = (EndReason.SIMULATOR_FAILURE, EndReason.SIMULATOR_TIMEOUT)


class ReplayUser:
    """Says what the user of a logged dialogue said, as long as the agent says what the logged agent said.

    A dialogue of the log is found by its task's brief and by the seeds in the noise key; where several are
    left, by what has been said so far; the first of those in the log that went like that is played. So a
    log that is played again with its own tasks and seeds (``replay_starts``, or ``tasks={"name": "log",
    "log": ...}``) and its agent's messages gives the logged dialogues bit for bit: personas, metadata and
    failures of the user included. One who left the logged dialogue without a word leaves with an empty
    message here.

    The agent departs when it says something else, or goes on where the log ends. What then happens:

    - "stop": the user leaves without a word;
    - "nearest": the user says what followed the agent's message that is most like this one, of all logged
      dialogues on the task, and that this user has not said yet; when nothing is left, the user leaves.
      Likeness is ``difflib``'s ratio of the words;
    - "error": the dialogue ends unscored, with the reason.

    A reply's metadata is the logged one; after a departure it says instead where the reply comes from
    (``replayed``, the number of the dialogue in the log and of the message in it, or None) and how like the
    agent's message is to the logged one (``similarity``).

    Args:
        log: a log file, or records. Dialogues without a task and those whose beginning nobody logged
            are passed over.
        on_departure: "stop", "nearest" or "error".

    Raises:
        FileNotFoundError: no such log.
        ValueError: a bad line, no dialogue that can be replayed, or an unknown ``on_departure``.

    Example:
        >>> gym.make("MathChat-v0", simulator={"name": "replay", "log": "runs/log.jsonl"})  # doctest: +SKIP
    """

    def __init__(
        self, log: str | Path | Sequence[DialogueRecord], on_departure: OnDeparture = "stop"
    ) -> None:
        if on_departure not in get_args(OnDeparture):
            valid = get_args(OnDeparture)
            raise ValueError(f"unknown on_departure {on_departure!r}: {nearest(str(on_departure), valid)}")
        self.on_departure: OnDeparture = on_departure
        self.name, records = read_records(log)
        self._digest = fingerprint(records)
        self._dialogues: dict[Brief, list[_Logged]] = defaultdict(list)
        self._personas: dict[int, Persona] = {}
        for number, record in enumerate(records):
            if can_be_replayed(record):
                self._dialogues[brief_of(record)].append(_Logged(number, record))
                if record.persona is not None:
                    check_options(Persona, record.persona, f"{self.name}: dialogue {number}: its persona")
                    self._personas.setdefault(record.task_seed, Persona(**record.persona))
        if not self._dialogues:
            raise ValueError(f"{self.name}: has no dialogue with a task and a beginning; nothing to replay")

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        """What the log says, one by one."""
        return [self._reply(request) for request in requests]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Nothing is cached."""

    def draw_persona(self, kind: Kind, key: NoiseKey) -> Persona:
        """The logged persona of the dialogue with this task seed, else a default."""
        return self._personas.get(seed_of(key), Persona())

    def identity(self) -> dict[str, Any]:
        """Name, the log's name and hash, and what happens when the agent departs from it."""
        return {"name": "replay", "log": self.name, "sha256": self._digest, "on_departure": self.on_departure}

    def __deepcopy__(self, memo: dict[int, Any]) -> "ReplayUser":
        """Copies of an environment share the log, which nothing changes."""
        return self

    def _reply(self, request: UserRequest) -> UserReply:
        logged = self._dialogues.get(request.brief, [])
        if not logged:
            return UserReply("", error=f"{self.name}: has no dialogue about this task to replay")
        spoken = [message["content"] for message in request.conversation]
        dialogue = _best(logged, spoken, request.key)
        if dialogue.agreement(spoken) == len(spoken):
            reply = dialogue.reply(len(spoken))
            if reply is not None:
                return reply
        return self._depart(dialogue, logged, request.conversation)

    def _depart(
        self, dialogue: "_Logged", logged: Sequence["_Logged"], conversation: Conversation
    ) -> UserReply:
        if self.on_departure == "nearest":
            return _nearest([dialogue, *(other for other in logged if other is not dialogue)], conversation)
        if self.on_departure == "error":
            at = dialogue.agreement([message["content"] for message in conversation])
            return UserReply(
                "",
                error=f"{self.name}: message {at} departs from dialogue {dialogue.number} of the log "
                f"(which has {len(dialogue.contents)} messages)",
            )
        return UserReply("", stop=True, metadata={"replayed": None})


class _Logged:
    """One dialogue of the log."""

    def __init__(self, number: int, record: DialogueRecord) -> None:
        self.number, self.record = number, record
        self.contents = [message["content"] for message in record.messages]

    def agreement(self, spoken: Sequence[str]) -> int:
        """How many messages from the beginning are the same."""
        pairs = zip(spoken, self.contents, strict=False)
        return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(spoken), len(self.contents)))

    def reply(self, index: int) -> UserReply | None:
        """What the user did at message ``index``; None where the log has ended."""
        record, ended = self.record, index >= len(self.contents)
        if not ended:
            return self._said(index)
        if record.end_reason == EndReason.USER_STOP and index == len(self.contents):
            return UserReply("", stop=True)
        if record.end_reason in _FAILED:
            failure = str(record.extra.get("failure") or "the logged user failed here")
            return UserReply("", error=failure, timed_out=record.end_reason == EndReason.SIMULATOR_TIMEOUT)
        return None

    def _said(self, index: int) -> UserReply:
        last = index == len(self.contents) - 1
        stop = last and self.record.end_reason == EndReason.USER_STOP
        return UserReply(self.contents[index], stop, dict(self.record.turns_metadata[index // 2]))

    def turns(self) -> Iterator[tuple[str, UserReply, int]]:
        """The agent's messages, what the user said to each, and where that stands."""
        for index in range(2, len(self.contents), 2):
            yield self.contents[index - 1], self._said(index), index


def _best(logged: Sequence[_Logged], spoken: Sequence[str], key: NoiseKey) -> _Logged:
    """The dialogue that agrees longest; then the one of the key's seed, then the first.

    Before anybody has spoken, a key of none of them picks one.
    """
    seed = seed_of(key)
    own = [d for d in logged if seed == (d.record.reply_seed if spoken else d.record.task_seed)]
    if not spoken:
        return own[0] if own else key.choice(logged)
    longest = max(d.agreement(spoken) for d in logged)
    return next(d for d in (*own, *logged) if d.agreement(spoken) == longest)


def _nearest(logged: Sequence[_Logged], conversation: Conversation) -> UserReply:
    """What followed the agent's message that is most like the last one; the first of equals."""
    said = set(texts(conversation, "user"))
    best, found = -1.0, UserReply("", stop=True, metadata={"replayed": None})
    # the second sequence is what difflib prepares once
    matcher = difflib.SequenceMatcher(b=_compared(conversation[-1]["content"]), autojunk=False)
    for dialogue in logged:
        for message, reply, index in dialogue.turns():
            if reply.text in said:
                continue
            matcher.set_seq1(_compared(message))
            if min(matcher.real_quick_ratio(), matcher.quick_ratio()) <= best:  # bounds, which cost less
                continue
            if (ratio := matcher.ratio()) > best:
                metadata = {"replayed": [dialogue.number, index], "similarity": round(ratio, 4)}
                best, found = ratio, UserReply(reply.text, reply.stop, metadata)
    return found


def _compared(text: str) -> list[str]:
    """Words of a message, at most ``_COMPARED``; of a long one its beginning and its end."""
    words = _WORD.findall(text[: 20 * _COMPARED].lower())
    if len(words) <= _COMPARED:
        return words
    tail = _WORD.findall(text[-20 * _COMPARED :].lower())
    return words[: _COMPARED // 2] + tail[-_COMPARED // 2 :]


simulators.register("replay", ReplayUser)
