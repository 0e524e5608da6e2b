"""Many dialogues at once, as a ``gymnasium.vector.VectorEnv`` with batched simulator calls."""

import copy
from collections.abc import Iterable, Sequence
from typing import Any, Unpack

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from dialogue_gym.dialogue import EndReason
from dialogue_gym.envs.driver import Dialogue, Driver
from dialogue_gym.envs.laboratory import Laboratory
from dialogue_gym.envs.parts import RENDER_MODES, EnvKeywords, Parts, build_parts
from dialogue_gym.envs.rendering import render_messages
from dialogue_gym.envs.single import Observation
from dialogue_gym.envs.starts import reset_rows, row_seeds, vector_starts
from dialogue_gym.registry import nearest
from dialogue_gym.spaces import Text, conversation_space
from dialogue_gym.tasks.base import Kind

Observations = tuple[Observation, ...]
Flags = NDArray[np.bool_]


class DialogueVectorEnv(Laboratory, VectorEnv[Observations, Sequence[str], NDArray[Any]]):
    """N dialogues in step; row i of ``reset(seed=s)`` is a single environment's ``reset(seed=s + i)``.

    A step makes at most two simulator calls: one for all replies, one for all openings of rows that
    begin anew. Observations are a tuple of the rows' observations, actions a sequence of N texts; the
    rest is as in ``DialogueEnv``, infos by Gymnasium's vector conventions.

    Autoreset: SAME_STEP (default) begins a new dialogue in the step that ends one and returns
    ``final_obs`` and ``final_info``; NEXT_STEP does so one step later, ignoring that step's action;
    DISABLED leaves it to ``reset(options={"reset_mask": mask})``. Rows that are over and stepped all the
    same ignore their action, keep their observation and pay 0.0. The flags report an end once, in the
    step that it happens in, so collect them (``over |= terminated | truncated``).

    Faults stay in their row. A persona that cannot be drawn ends the new dialogue as
    ``simulator_failure``, in ``reset`` as well. A task that cannot be drawn raises in ``reset`` and
    changes no row; where a step begins rows anew, it ends the new dialogue of its row as ``aborted``.
    Either way the row shows ``()``, and the next step returns the end.

    Options of ``reset`` are those of ``DialogueEnv``: seeds and ``max_turns`` one int for all rows or one
    for each, ``dialogue`` a list with a dialogue or None for each; and ``reset_mask``, a boolean array.

    Args:
        kind: "math" or "document".
        num_envs: number of rows.
        autoreset_mode: an ``AutoresetMode`` or its value ("SameStep", "NextStep", "Disabled").
        **keywords: see ``EnvKeywords``.

    Raises:
        ValueError: a keyword, name or value that cannot be, in one line with the nearest valid names.
    """

    def __init__(
        self,
        kind: Kind,
        num_envs: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        **keywords: Unpack[EnvKeywords],
    ) -> None:
        parts = build_parts(kind, type(self).__name__, ("num_envs", "autoreset_mode"), keywords)
        if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
            raise ValueError(f"num_envs must be an int of at least 1, got {num_envs!r}")
        self.render_mode = keywords.get("render_mode")
        self._mode = _autoreset_mode(autoreset_mode)
        self.metadata = {
            "render_modes": list(RENDER_MODES),
            "render_fps": 1,
            "autoreset_mode": self._mode,
        }
        self.single_observation_space = conversation_space()
        self.single_action_space = Text()
        self._make_rows(parts, num_envs)

    def sibling(self, num_envs: int) -> "DialogueVectorEnv":
        """Another environment with the same parts (simulator, tasks, scorer, limits) and its own dialogues.

        Siblings may be played in several threads where their parts bear it, as those of this package do.
        Exchanging the simulator of one exchanges it for all.
        """
        other = copy.copy(self)
        other._make_rows(self._driver.parts, num_envs)
        return other

    def _make_rows(self, parts: Parts, num_envs: int) -> None:
        self.num_envs = num_envs
        self._driver = Driver(parts, num_envs)
        self._over = np.zeros(num_envs, dtype=np.bool_)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observations, dict[str, Any]]:
        """Begin a dialogue in every row, or in those that ``reset_mask`` selects, in one simulator call.

        Raises:
            ValueError: an option or a seed that cannot be.
            RuntimeError: a mask leaves out a row that was never reset.
        """
        rows = reset_rows(options, self.num_envs)
        starts = vector_starts(options, rows, self.num_envs)
        seeds = row_seeds(seed, self.num_envs)
        super().reset(seed=int(seed) if isinstance(seed, int | np.integer) else None)
        for row in range(self.num_envs):
            if row not in starts:
                self._driver.row(row)
        for row in rows:
            self._driver.seeds[row].advance(seeds[row], default=self._default_seed(row))
        self._driver.start(starts)
        self._over[rows] = False
        return self._observations(), self._infos(rows)

    def step(
        self, actions: Sequence[str]
    ) -> tuple[Observations, NDArray[np.float64], Flags, Flags, dict[str, Any]]:
        """Say ``actions[i]`` in row i and hear all users.

        Raises:
            TypeError: an action is not a str.
            ValueError: there is not one action for each row.
        """
        if isinstance(actions, str) or len(actions) != self.num_envs:
            got = "one str" if isinstance(actions, str) else str(len(actions))
            raise ValueError(f"step takes a sequence of {self.num_envs} texts, got {got}")
        anew = self._over_rows() if self._mode is AutoresetMode.NEXT_STEP else []
        stepping = [row for row in range(self.num_envs) if row not in anew] if anew else range(self.num_envs)
        ended = self._driver.step(stepping, actions)
        rewards = np.zeros(self.num_envs, dtype=np.float64)
        terminated, truncated = np.zeros((2, self.num_envs), dtype=np.bool_)
        for row in ended:
            dialogue = self._driver.report(row)
            rewards[row] = dialogue.reward
            terminated[row] = dialogue.score is not None
            truncated[row] = dialogue.score is None
        self._over[ended] = True
        infos = self._finals(ended) if self._mode is AutoresetMode.SAME_STEP else {}
        self._begin_anew(ended if self._mode is AutoresetMode.SAME_STEP else anew)
        infos = {**self._infos(range(self.num_envs)), **infos}
        return self._observations(), rewards, terminated, truncated, infos

    def abort(self, rows: Iterable[int], reason: EndReason = EndReason.ABORTED, detail: str = "") -> None:
        """End these dialogues unscored; the next step returns them truncated, whatever their actions.

        Args:
            rows: those that are over already stay as they ended.
            reason: for example ``CONTEXT_OVERFLOW`` or ``POLICY_FAILURE``.
            detail: one line for the record.

        Raises:
            ValueError: the reason is one that is scored.
        """
        self._driver.abort(rows, reason, detail)

    def render(self) -> tuple[str, ...] | None:
        """The dialogues as texts ("ansi"), or None after printing them ("human")."""
        texts = tuple(render_messages(self._driver.row(row).transcript) for row in range(self.num_envs))
        if self.render_mode == "human":
            print("\n\n".join(f"[{row}]\n{text}" for row, text in enumerate(texts)), flush=True)
            return None
        return texts

    def close_extras(self, **kwargs: Any) -> None:
        """Tell the simulator that no dialogue will go on."""
        self._driver.forget_all()

    def _default_seed(self, row: int) -> int:
        seed = self.np_random_seed
        assert seed is not None
        return seed + row

    def _over_rows(self) -> list[int]:
        return [int(row) for row in np.flatnonzero(self._over)]

    def _begin_anew(self, rows: Sequence[int]) -> None:
        if not rows:
            return
        for row in rows:
            self._driver.seeds[row].advance(None, default=self._default_seed(row))
        self._driver.start_anew(rows)
        self._over[rows] = False

    def _observations(self) -> Observations:
        """All rows' observations; ``()`` for rows without a dialogue."""
        return tuple(map(self._driver.observation, range(self.num_envs)))

    def _finals(self, rows: Iterable[int]) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        for row in rows:
            final = {"final_obs": self._driver.observation(row), "final_info": self._driver.info(row)}
            infos = self._add_info(infos, final, row)
        return infos

    def _infos(self, rows: Sequence[int]) -> dict[str, Any]:
        """What ``_add_info`` would build of the rows' infos, without its cost for each row and key."""
        dialogues = [self._driver.row(row) for row in rows]
        infos: dict[str, Any] = {}
        index = slice(None) if len(rows) == self.num_envs else rows  # a slice needs no array of indices
        for key, values, empty in (
            ("turns_left", [self._driver.turns_left(d) for d in dialogues], np.zeros(self.num_envs, int)),
            ("end_reason", [_reason(d) for d in dialogues], np.full(self.num_envs, None, object)),
            ("scored", [d.score is not None for d in dialogues], np.zeros(self.num_envs, bool)),
        ):
            mask = np.zeros(self.num_envs, dtype=np.bool_)
            empty[index], mask[index] = values, True
            infos[key], infos[f"_{key}"] = empty, mask
        for row, dialogue in zip(rows, dialogues, strict=True):
            if dialogue.score:
                infos = self._add_info(infos, {"metrics": dict(dialogue.score.metrics)}, row)
        return infos


def _reason(dialogue: Dialogue) -> str:
    return dialogue.end_reason.value if dialogue.end_reason else ""


def _autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    values = [m.value for m in AutoresetMode]
    if not isinstance(mode, AutoresetMode) and mode not in values:
        raise ValueError(f"unknown autoreset_mode {mode!r}: {nearest(str(mode), values)}")
    return AutoresetMode(mode)
