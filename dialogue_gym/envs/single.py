"""One dialogue at a time, as a ``gymnasium.Env``."""

from typing import Any, ClassVar, Unpack

import gymnasium as gym

from dialogue_gym.dialogue import EndReason, Message
from dialogue_gym.envs.driver import Driver
from dialogue_gym.envs.laboratory import Laboratory
from dialogue_gym.envs.parts import RENDER_MODES, EnvKeywords, build_parts
from dialogue_gym.envs.rendering import render_messages
from dialogue_gym.envs.starts import single_start
from dialogue_gym.spaces import Text, conversation_space
from dialogue_gym.tasks.base import Kind

Observation = tuple[Message, ...]


class DialogueEnv(Laboratory, gym.Env[Observation, str]):
    """A user with a hidden goal talks to the agent; the agent's action is its next message.

    Observation: the whole conversation, a tuple of ``{"role", "content"}`` dicts, the user first; with
    ``observe="new"`` what was added since the agent last spoke (at the turn limit nothing: ``()``).
    Action: any text; lone surrogates become U+FFFD.

    Reward: the scorer's, on the step that ends the dialogue, else 0.0. ``terminated``: the user
    stopped, or ``max_turns`` was reached (the user does not reply to the last message); scored.
    ``truncated``: a failure or an abort; not scored, pays 0.0.

    Info: ``turns_left`` (int), ``end_reason`` ("" while it runs, then an ``EndReason`` value),
    ``scored`` (bool), and ``metrics`` (floats) once it is scored.

    ``reset`` cannot end an episode. Where the persona or the user's message fails there, or the user
    stops at once, ``info`` has the end reason already, the observation holds what was said (``()`` for
    a failed opening), and the next step returns the end, whatever the action. Stepping on after the end
    changes nothing.

    Options of ``reset``: ``task_seed`` and ``reply_seed`` (ints) replace the seeds that follow from
    ``seed`` and the number of resets since; ``dialogue`` goes on from a ``DialogueRecord`` or a dict
    with ``messages``, ``task`` and optionally ``persona``, ``task_seed``, ``reply_seed``. A history
    that ends with the agent's message gets the user's reply during reset; an empty one, an opening.
    ``max_turns`` gives this one dialogue a turn limit of its own: one turn more than a history has, and
    the dialogue ends scored with the agent's next message.

    Args:
        kind: "math" or "document".
        **keywords: see ``EnvKeywords``.

    Raises:
        ValueError: a keyword, name or value that cannot be, in one line with the nearest valid names.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": list(RENDER_MODES), "render_fps": 1}  # type: ignore[misc]

    def __init__(self, kind: Kind, **keywords: Unpack[EnvKeywords]) -> None:
        parts = build_parts(kind, type(self).__name__, (), keywords)
        self.render_mode = keywords.get("render_mode")
        self._driver = Driver(parts, 1)
        self._printed = 0
        self.observation_space = conversation_space()
        self.action_space = Text()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a dialogue; see the class for the options."""
        start = single_start(options)
        super().reset(seed=seed)
        self._driver.seeds[0].advance(seed, default=self.np_random_seed)
        self._driver.start({0: start})
        self._printed = 0
        self._show()
        return self._driver.observation(0), self._driver.info(0)

    def step(self, action: str) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Say ``action`` to the user and hear the reply.

        Raises:
            TypeError: the action is not a str.
        """
        ending = bool(self._driver.step((0,), (action,)))
        dialogue = self._driver.report(0) if ending else self._driver.row(0)
        reason = dialogue.end_reason
        self._show()
        return (
            self._driver.observation(0),
            dialogue.reward if ending else 0.0,
            reason is not None and reason.scored,
            reason is not None and not reason.scored,
            self._driver.info(0),
        )

    def abort(self, reason: EndReason = EndReason.ABORTED, detail: str = "") -> None:
        """End the dialogue unscored; the next step returns ``truncated``, whatever the action.

        Raises:
            ValueError: the reason is one that is scored.
        """
        self._driver.abort([0], reason, detail)

    def render(self) -> str | None:
        """The dialogue as text ("ansi"), or None after printing what is new ("human")."""
        if self.render_mode == "ansi":
            return render_messages(self._driver.row(0).transcript)
        self._show()
        return None

    def close(self) -> None:
        """Tell the simulator that the dialogue will not go on."""
        self._driver.forget_all()

    def _show(self) -> None:
        if self.render_mode == "human":
            transcript = self._driver.row(0).transcript
            if len(transcript) > self._printed:
                print(render_messages(transcript.messages(self._printed)), flush=True)
            self._printed = len(transcript)
