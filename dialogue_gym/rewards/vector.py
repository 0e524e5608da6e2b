"""Vector environments that pay by turns; each step asks the reward once for all rows."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from numpy.typing import NDArray

from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rewards.base import TurnReward, check_paying, totals


class PayByTurn(VectorWrapper[Any, Any, Any, Any, NDArray[Any]]):
    """Pays in every row what the dialogue's rewards have risen by; see ``rewards.PayByTurn``.

    What the environment itself paid for a scored dialogue is in ``infos["score"]``, and in that of
    ``final_info`` where rows begin anew in the step that ends them.

    Args:
        env: a dialogue vector environment, or a wrapper around one, such as ``DialogueActs``.
        reward: what to pay.

    Raises:
        ValueError: the environment is not one of dialogues, or the reward is no ``TurnReward``.
    """

    def __init__(self, env: VectorEnv[Any, Any, NDArray[Any]], reward: TurnReward) -> None:
        super().__init__(env)
        check_paying(self, env, DialogueVectorEnv, reward)
        self.reward = reward
        self._same_step = env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
        self._paid = np.zeros(self.num_envs)
        self._over = np.zeros(self.num_envs, dtype=np.bool_)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the environment's; turns that a dialogue has had before are not paid."""
        observations, infos = self.env.reset(seed=seed, options=options)
        rows = np.flatnonzero(infos["_scored"]).tolist()
        self._paid[rows] = [t or 0.0 for t in totals(self.reward, [self._record(row) for row in rows])]
        self._over[rows] = False
        return observations, infos

    def step(self, actions: Any) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """As the environment's, but for the rewards."""
        observations, scores, terminated, truncated, infos = self.env.step(actions)
        ended = terminated | truncated
        rewards = self._rewards(np.flatnonzero(~self._over).tolist(), ended)
        self._note_scores(infos, scores, terminated)
        if self._same_step:
            self._paid[ended] = 0.0
        else:  # a row that is over stays so until it shows a dialogue that is not
            going = np.array([reason == "" for reason in infos["end_reason"]])
            self._paid[self._over & going] = 0.0
            self._over = ended | (self._over & ~going)
        return observations, rewards, terminated, truncated, infos

    def _rewards(self, rows: Sequence[int], ended: NDArray[np.bool_]) -> NDArray[np.float64]:
        rewards = np.zeros(self.num_envs)
        records = [self._record(row, finished=bool(ended[row])) for row in rows]
        for row, standing in zip(rows, totals(self.reward, records), strict=True):
            if standing is not None:
                rewards[row] = standing - self._paid[row]
                self._paid[row] = standing
        return rewards

    def _note_scores(
        self, infos: dict[str, Any], scores: NDArray[Any], terminated: NDArray[np.bool_]
    ) -> None:
        if terminated.any():
            told = infos["final_info"] if self._same_step else infos
            told["score"], told["_score"] = np.where(terminated, scores, 0.0), terminated.copy()

    def _record(self, row: int, finished: bool = False) -> DialogueRecord:
        return cast(DialogueVectorEnv, self.unwrapped).record(row, finished=finished)
