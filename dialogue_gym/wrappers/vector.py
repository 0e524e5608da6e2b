"""The same views of a vector environment; the users, and a language model, are called once for all rows."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from dialogue_gym.dialogue import Conversation
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.wrappers.acts import Acts, build_acts
from dialogue_gym.wrappers.checks import act_numbers, check_wrapped, end_reason, speaks_next
from dialogue_gym.wrappers.features import Feature, FeatureReader

Step = tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]


class DialogueActs(VectorWrapper[Any, Any, Any, Sequence[str], NDArray[Any]]):
    """Discrete dialogue acts in place of texts, in every row; see ``wrappers.DialogueActs``.

    Args:
        env: a dialogue vector environment, made with ``observe="all"``.
        acts: see there.
        language_model: see there.

    Raises:
        ValueError: an environment that cannot be wrapped, or acts that cannot be.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Sequence[str], NDArray[Any]],
        acts: Mapping[str, Any] | Acts | None = None,
        language_model: Any = None,
    ) -> None:
        super().__init__(env)
        dialogue_env = check_wrapped(self, env, DialogueVectorEnv)
        self.acts = build_acts(acts, dialogue_env.kind, language_model)
        self.single_action_space = spaces.Discrete(len(self.acts.names))
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._conversations: Sequence[Conversation] = [()] * self.num_envs

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the environment's."""
        self._conversations, infos = self.env.reset(seed=seed, options=options)
        return self._conversations, infos

    def step(self, actions: Any) -> Step:
        """Do an act in every row.

        Raises:
            ValueError: there is no such act, or not one for each row.
        """
        acts = act_numbers(actions, self.acts)
        if len(acts) != self.num_envs:
            raise ValueError(f"step takes {self.num_envs} acts, got {len(acts)}")
        step: Step = self.env.step(self._words(acts))
        self._conversations = step[0]
        return step

    def _words(self, acts: Sequence[int]) -> list[str]:
        words = [""] * self.num_envs
        rows = [row for row, conversation in enumerate(self._conversations) if speaks_next(conversation)]
        said = self.acts.render([self._conversations[row] for row in rows], [acts[row] for row in rows])
        for row, completion in zip(rows, said, strict=True):
            words[row] = completion.text
            if failure := end_reason(completion):
                env = cast(DialogueVectorEnv, self.unwrapped)
                env.abort([row], failure, completion.error or completion.finish_reason)
        return words


class Features(VectorWrapper[NDArray[np.float32], Any, Any, Any, NDArray[Any]]):
    """Numbers from 0 to 1 in place of the conversations, in every row; see ``wrappers.Features``.

    Observations have the shape (rows, features); ``final_obs`` holds vectors of features too.

    Args:
        env: a dialogue vector environment, made with ``observe="all"``, or ``DialogueActs`` around one.
        features: see there.

    Raises:
        ValueError: an environment that cannot be wrapped, or features that cannot be.
    """

    def __init__(
        self, env: VectorEnv[Any, Any, NDArray[Any]], features: Mapping[str, Feature] | None = None
    ) -> None:
        super().__init__(env)
        check_wrapped(self, env, DialogueVectorEnv)
        self.read = FeatureReader(features)
        self.single_observation_space = self.read.space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._left = np.zeros(self.num_envs, dtype=np.int64)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """As the environment's, but for the observations."""
        conversations, infos = self.env.reset(seed=seed, options=options)
        return self._observations(conversations, infos), infos

    def step(self, actions: Any) -> Step:
        """As the environment's, but for the observations."""
        conversations, rewards, terminated, truncated, infos = self.env.step(actions)
        if "final_obs" in infos:
            infos["final_obs"] = self._finals(infos)
        return self._observations(conversations, infos), rewards, terminated, truncated, infos

    def _observations(
        self, conversations: Sequence[Conversation], infos: dict[str, Any]
    ) -> NDArray[np.float32]:
        # a masked reset tells of its own rows only
        self._left = np.where(infos["_turns_left"], infos["turns_left"], self._left)
        return np.stack([self.read(*row) for row in zip(conversations, self._left.tolist(), strict=True)])

    def _finals(self, infos: dict[str, Any]) -> NDArray[Any]:
        finals = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(infos["_final_obs"]):
            left = int(infos["final_info"]["turns_left"][row])
            finals[row] = self.read(infos["final_obs"][row], left)
        return finals
