"""Single environments that pay by turns, for any Gymnasium learner."""

from typing import Any, cast

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from dialogue_gym.envs import DialogueEnv
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rewards.base import TurnReward, check_paying, totals


class PayByTurn(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Pays with each step what the dialogue's rewards have risen by.

    With ``S(d)``, the sum of the rewards of a dialogue as it stands, a step pays ``S(after) - S(before)``, so
    that the steps of an episode sum to the rewards of the whole dialogue. A reward that can tell only at
    the end, as ``ImplicitTurnReward``, pays everything in the last step. Where there is no reward (None), as
    at an unscored end, a step pays 0.0; in a dialogue that goes on, the next one pays for both.

    What the environment itself paid is in ``info["score"]`` once the dialogue is scored; metrics and records
    are untouched.

    Args:
        env: a dialogue environment, or a wrapper around one, such as ``DialogueActs``.
        reward: what to pay.

    Raises:
        ValueError: the environment is not one of dialogues, or the reward is no ``TurnReward``.

    Example:
        >>> env = PayByTurn(gym.make("dialogue_gym:MathChat-v0"), Progress("tiny"))  # doctest: +SKIP
    """

    def __init__(self, env: gym.Env[Any, Any], reward: TurnReward) -> None:
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, reward=reward)
        super().__init__(env)
        check_paying(self, env, DialogueEnv, reward)
        self.reward = reward
        self._paid = 0.0
        self._over = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """As the environment's; turns that the dialogue has had before are not paid."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._paid, self._over = totals(self.reward, [self._record()])[0] or 0.0, False
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As the environment's, but for the reward."""
        observation, _, terminated, truncated, info = self.env.step(action)
        record, reward = self._record(), 0.0
        if info["scored"]:
            info["score"] = record.reward
        if not self._over and (standing := totals(self.reward, [record])[0]) is not None:
            reward, self._paid = standing - self._paid, standing
        self._over = self._over or terminated or truncated
        return observation, reward, terminated, truncated, info

    def _record(self) -> DialogueRecord:
        return cast(DialogueEnv, self.unwrapped).record()
