"""The turn logic, once: single and vector environments both drive it."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dialogue_gym.dialogue import EndReason, Message, Transcript
from dialogue_gym.envs.asking import Failure, ask, one_line
from dialogue_gym.envs.parts import ENV_IDS, Parts
from dialogue_gym.envs.starts import EpisodeSeeds, Start
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.scoring.base import Score
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.base import UserRequest
from dialogue_gym.simulators.personas import Persona
from dialogue_gym.tasks.base import Task, task_to_dict

logger = logging.getLogger(__name__)


@dataclass(slots=True, repr=False, eq=False)
class Dialogue:
    """One dialogue under way, or over.

    Attributes:
        id: what the simulator may cache under; a bare object tells it nothing and equals no other.
        task: what it is about; None when none could be drawn, and then it is over.
        persona: how its user behaves; None when none could be drawn, and then it is over.
        task_seed: keys the task, persona and opening.
        reply_seed: keys the user's replies.
        transcript: the messages so far.
        turns_metadata: one dict for each user message.
        max_turns: assistant messages that it may have.
        end_reason: None while it runs.
        score: None unless it ended scored.
        failure: one line about what went wrong, else "".
        seen: number of messages that the agent had seen or sent when it last spoke.
        reported: whether a step has returned its end.
    """

    id: object
    task: Task | None
    persona: Persona | None
    task_seed: int
    reply_seed: int
    transcript: Transcript
    turns_metadata: list[dict[str, Any]]
    max_turns: int
    end_reason: EndReason | None = None
    score: Score | None = None
    failure: str = ""
    seen: int = 0
    reported: bool = False

    @property
    def reward(self) -> float:
        """What its last step pays: 0.0 when it was not scored."""
        return self.score.reward if self.score else 0.0


class Driver:
    """Plays the user's side of N dialogues, one in each row, with batched simulator calls.

    A row is over when its dialogue has an end reason. That happens in ``step``; or already in ``start``,
    when the persona or the opening fails or the user stops at once, and by ``abort``: then the next step
    returns the end, whatever the action.

    What was asked for and cannot be raises in ``start``, a task that cannot be drawn included. Nobody
    asks ``start_anew`` for anything, and other rows' ends must not be lost in it, so it never raises:
    without a task, the row's new dialogue is over at once (``ABORTED``).
    """

    def __init__(self, parts: Parts, num_rows: int) -> None:
        self.parts = parts
        self.rows: list[Dialogue | None] = [None] * num_rows
        self.finished: list[Dialogue | None] = [None] * num_rows
        self.seeds = [EpisodeSeeds() for _ in range(num_rows)]

    def start(self, starts: Mapping[int, Start]) -> None:
        """Begin a new dialogue in each of these rows; all users speak in one simulator call.

        Raises:
            ValueError: a task cannot be drawn, or a history does not fit; no row has changed then.
        """
        self._enter({row: self._begin(start, self.seeds[row]) for row, start in starts.items()})

    def start_anew(self, rows: Iterable[int]) -> None:
        """Begin a fresh dialogue in each of these rows; a failure ends the dialogue that it belongs to."""
        self._enter({row: self._begin_anew(self.seeds[row]) for row in rows})

    def step(self, rows: Iterable[int], texts: Sequence[Any]) -> list[int]:
        """The agents speak and the users reply, in one simulator call.

        Args:
            rows: which rows step; those that are over ignore their text.
            texts: one action for every row of the driver.

        Returns:
            The rows whose end has to be returned by this step, in order.

        Raises:
            TypeError: an action is not text; no row has changed then.
        """
        dialogues = [(row, self.row(row)) for row in rows]
        speaking = [(d, _text(texts[row], row)) for row, d in dialogues if d.end_reason is None]
        waiting = []
        for dialogue, text in speaking:
            transcript = dialogue.transcript
            transcript.add("assistant", text)
            turns = transcript.turns
            dialogue.seen = 2 * turns
            if turns < dialogue.max_turns:
                waiting.append(dialogue)
            else:
                self._end(dialogue, EndReason.TURN_LIMIT)
                self._forget([dialogue])
        self._hear_users(waiting)
        return [row for row, d in dialogues if d.end_reason is not None and not d.reported]

    def report(self, row: int) -> Dialogue:
        """Mark the end of this row's dialogue as returned, and keep the dialogue for ``record``."""
        dialogue = self.row(row)
        dialogue.reported = True
        self.finished[row] = dialogue
        return dialogue

    def row(self, row: int) -> Dialogue:
        """The dialogue in this row.

        Raises:
            RuntimeError: the row was never reset.
        """
        dialogue = self.rows[row]
        if dialogue is None:
            raise RuntimeError(f"row {row} has no dialogue yet: call reset first")
        return dialogue

    def observation(self, row: int) -> tuple[Message, ...]:
        """What the agent sees of this row; fresh dicts."""
        dialogue = self.row(row)
        return dialogue.transcript.messages(dialogue.seen if self.parts.observe == "new" else 0)

    def info(self, row: int) -> dict[str, Any]:
        """The row's info, with the metrics of a dialogue that is over; nothing from its task."""
        dialogue = self.row(row)
        info: dict[str, Any] = {
            "turns_left": self.turns_left(dialogue),
            "end_reason": dialogue.end_reason.value if dialogue.end_reason else "",
            "scored": dialogue.score is not None,
        }
        if dialogue.score:
            info["metrics"] = dict(dialogue.score.metrics)
        return info

    def turns_left(self, dialogue: Dialogue) -> int:
        """Assistant messages that the turn limit still allows."""
        return dialogue.max_turns - dialogue.transcript.turns

    def abort(self, rows: Iterable[int], reason: EndReason, detail: str) -> None:
        """End these dialogues unscored; those that are over stay as they ended."""
        if EndReason(reason).scored:
            raise ValueError(f"{reason.value!r} is a scored end; abort with one that is not")
        running = [d for row in rows if (d := self.row(row)).end_reason is None]
        for dialogue in running:
            dialogue.end_reason, dialogue.failure = EndReason(reason), detail
        self._forget(running)

    def score(self, row: int) -> Score:
        """Score a dialogue as it stands; whatever the scorer raises comes through.

        Raises:
            RuntimeError: the dialogue has no task.
        """
        dialogue = self.row(row)
        if dialogue.task is None:
            raise RuntimeError(f"the dialogue in row {row} has no task to score: {dialogue.failure}")
        return self.parts.scorer.score(dialogue.task, dialogue.transcript.view())

    def forget_all(self) -> None:
        """Tell the simulator that no dialogue goes on with it."""
        self._forget(d for d in self.rows if d is not None and d.end_reason is None)

    def record(self, dialogue: Dialogue, env_id: str | None = None) -> DialogueRecord:
        """The laboratory's record of a dialogue, over or not."""
        return DialogueRecord(
            env_id=env_id or ENV_IDS[self.parts.kind],
            split=dialogue.task.split if dialogue.task else self.parts.split,
            task=task_to_dict(dialogue.task) if dialogue.task else None,
            persona=dialogue.persona.to_dict() if dialogue.persona else None,
            task_seed=dialogue.task_seed,
            reply_seed=dialogue.reply_seed,
            simulator=self.parts.simulator.identity(),
            policy={},
            messages=list(dialogue.transcript.messages()),
            turns_metadata=[dict(metadata) for metadata in dialogue.turns_metadata],
            end_reason=dialogue.end_reason.value if dialogue.end_reason else None,
            reward=dialogue.score.reward if dialogue.score else None,
            metrics=dict(dialogue.score.metrics) if dialogue.score else {},
            extra={"failure": dialogue.failure} if dialogue.failure else {},
        )

    def _enter(self, begun: Mapping[int, Dialogue]) -> None:
        self._forget(old for row in begun if (old := self.rows[row]) and old.end_reason is None)
        for row, dialogue in begun.items():
            self.rows[row] = dialogue
        # a history that ends with the user's message waits for the agent
        self._hear_users([d for d in begun.values() if d.end_reason is None and len(d.transcript) % 2 == 0])

    def _begin(self, start: Start, seeds: EpisodeSeeds) -> Dialogue:
        parts = self.parts
        task_seed = seeds.task_seed if start.task_seed is None else start.task_seed
        reply_seed = seeds.reply_seed if start.reply_seed is None else start.reply_seed
        task = start.task or parts.tasks.draw(parts.split, NoiseKey((task_seed, "task")))
        if task.kind != parts.kind:
            raise ValueError(f"the task is of kind {task.kind!r}, this environment's is {parts.kind!r}")
        # copied, so that one start can serve several dialogues
        transcript = Transcript(start.messages or ())
        max_turns = start.max_turns or parts.max_turns
        if transcript.turns >= max_turns:
            raise ValueError(
                f"the dialogue to start from has used {transcript.turns} turns of max_turns={max_turns}"
            )
        metadata = [dict(item) for item in start.turns_metadata]
        dialogue = Dialogue(
            object(), task, start.persona, task_seed, reply_seed, transcript, metadata, max_turns
        )
        if dialogue.persona is None:
            self._draw_persona(dialogue)
        return dialogue

    def _begin_anew(self, seeds: EpisodeSeeds) -> Dialogue:
        try:
            return self._begin(Start(), seeds)
        except Exception as error:
            # the type alone: the source's words may tell the reference
            failure = f"no task could be drawn: {type(error).__name__}"
            logger.warning("task source: %s; this dialogue ends unscored", failure)
            dialogue = Dialogue(
                object(),
                None,
                None,
                seeds.task_seed,
                seeds.reply_seed,
                Transcript(),
                [],
                self.parts.max_turns,
            )
            dialogue.end_reason, dialogue.failure = EndReason.ABORTED, failure
            return dialogue

    def _draw_persona(self, dialogue: Dialogue) -> None:
        """Ask the simulator for the persona; a fault of the simulator ends this dialogue."""
        try:
            persona = self.parts.simulator.draw_persona(
                self.parts.kind, NoiseKey((dialogue.task_seed, "persona"))
            )
            if not isinstance(persona, Persona):
                raise TypeError(f"draw_persona() must return a Persona, got {type(persona).__name__}")
        except Exception as error:
            dialogue.end_reason = EndReason.SIMULATOR_FAILURE
            dialogue.failure = f"no persona could be drawn: {one_line(error)}"
            logger.warning("user simulator: %s; this dialogue ends unscored", dialogue.failure)
        else:
            dialogue.persona = persona

    def _hear_users(self, dialogues: Sequence[Dialogue]) -> None:
        requests = [self._request(dialogue) for dialogue in dialogues]
        outcomes = ask(self.parts.simulator, requests, self.parts.deadline_s)
        for dialogue, outcome in zip(dialogues, outcomes, strict=True):
            if isinstance(outcome, Failure):
                dialogue.end_reason, dialogue.failure = outcome.reason, outcome.detail
                continue
            dialogue.transcript.add("user", outcome.text)
            dialogue.turns_metadata.append(outcome.metadata)
            if outcome.stop:
                self._end(dialogue, EndReason.USER_STOP)
        self._forget(d for d in dialogues if d.end_reason is not None)

    def _request(self, dialogue: Dialogue) -> UserRequest:
        transcript = dialogue.transcript
        assert dialogue.task is not None  # else it is over
        assert dialogue.persona is not None
        if turns := transcript.turns:
            key = NoiseKey((dialogue.reply_seed, "reply", turns))
        else:
            key = NoiseKey((dialogue.task_seed, "opening"))
        return UserRequest(
            dialogue.id, self.parts.kind, dialogue.task.brief, dialogue.persona, transcript.view(), key
        )

    def _end(self, dialogue: Dialogue, reason: EndReason) -> None:
        """End and score; a scorer that breaks its promise not to raise costs this dialogue its score."""
        assert dialogue.task is not None  # else it is over
        try:
            score = self.parts.scorer.score(dialogue.task, dialogue.transcript.view())
            if not (isinstance(score, Score) and math.isfinite(score.reward)):
                raise TypeError("a scorer returns a Score with a finite reward")
        except Exception as error:
            # the type alone: the scorer's words may tell the reference
            dialogue.failure = f"the scorer failed: {type(error).__name__}"
            dialogue.end_reason = EndReason.ABORTED
            logger.warning("task %s: %s; this dialogue ends unscored", dialogue.task.id, dialogue.failure)
        else:
            dialogue.end_reason, dialogue.score = reason, score

    def _forget(self, dialogues: Iterable[Dialogue]) -> None:
        ids = [dialogue.id for dialogue in dialogues]
        if ids:
            try:
                self.parts.simulator.forget(ids)
            except Exception as error:  # forgetting only frees memory: no dialogue may end over it
                logger.warning("user simulator: forget() raised %s", type(error).__name__)


def _text(action: Any, row: int) -> str:
    if not isinstance(action, str):
        raise TypeError(f"the action of row {row} must be a str, got {type(action).__name__}")
    return str(action)
