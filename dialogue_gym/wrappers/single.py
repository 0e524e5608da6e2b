"""Views of one dialogue environment for agents that neither read nor write."""

from collections.abc import Mapping
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from dialogue_gym.dialogue import Conversation
from dialogue_gym.envs import DialogueEnv
from dialogue_gym.wrappers.acts import Acts, build_acts
from dialogue_gym.wrappers.checks import act_numbers, check_wrapped, end_reason, speaks_next
from dialogue_gym.wrappers.features import Feature, FeatureReader


class DialogueActs(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Discrete dialogue acts in place of text: action k is said in the words of the k-th act.

    The words are a function of the dialogue so far and the act, so that a dialogue repeats. By default there
    are two acts, "ask" and "answer": see ``default_templates`` for what they know. Where a language model
    fails to word an act, the dialogue ends unscored, as ``policy_failure`` or ``context_overflow``.

    Args:
        env: a dialogue environment, made with ``observe="all"``; ``Features`` goes around this wrapper.
        acts: templates by name (texts, or functions of the conversation and a key), or an ``Acts`` object.
            With a language model, its instructions by name.
        language_model: words the acts; not trained. A name or an object, see ``load_language_model``.

    Raises:
        ValueError: an environment that cannot be wrapped, or acts that cannot be.

    Example:
        >>> env = DialogueActs(gym.make("dialogue_gym:MathChat-v0"))
        >>> env.action_space, env.acts.names
        (Discrete(2), ('ask', 'answer'))
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        acts: Mapping[str, Any] | Acts | None = None,
        language_model: Any = None,
    ) -> None:
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, acts=acts, language_model=language_model)
        super().__init__(env)
        dialogue_env = check_wrapped(self, env, DialogueEnv)
        self.acts = build_acts(acts, dialogue_env.kind, language_model)
        self.action_space = spaces.Discrete(len(self.acts.names))
        self._conversation: Conversation = ()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """As the environment's."""
        self._conversation, info = self.env.reset(seed=seed, options=options)
        return self._conversation, info

    def step(self, action: int) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Do an act.

        Raises:
            ValueError: there is no such act.
        """
        (act,) = act_numbers([action], self.acts)
        step: tuple[Any, Any, bool, bool, dict[str, Any]] = self.env.step(self._words(act))
        self._conversation = step[0]
        return step

    def _words(self, act: int) -> str:
        if not speaks_next(self._conversation):
            return ""
        (said,) = self.acts.render([self._conversation], [act])
        if failure := end_reason(said):
            cast(DialogueEnv, self.unwrapped).abort(failure, said.error or said.finish_reason)
        return said.text


class Features(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Numbers from 0 to 1 in place of the conversation, the turns left among them.

    Args:
        env: a dialogue environment, made with ``observe="all"``, or ``DialogueActs`` around one.
        features: functions of the conversation and the turns left, by name; ``DEFAULT_FEATURES`` if None.

    Raises:
        ValueError: an environment that cannot be wrapped, or features that cannot be.

    Example:
        >>> env = Features(DialogueActs(gym.make("dialogue_gym:MathChat-v0")))
        >>> observation, info = env.reset(seed=1)
        >>> observation.shape, float(observation[0])
        ((10,), 1.0)
    """

    def __init__(self, env: gym.Env[Any, Any], features: Mapping[str, Feature] | None = None) -> None:
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, features=features)
        super().__init__(env)
        check_wrapped(self, env, DialogueEnv)
        self.read = FeatureReader(features)
        self.observation_space = self.read.space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """As the environment's, but for the observation."""
        conversation, info = self.env.reset(seed=seed, options=options)
        return self.read(conversation, info["turns_left"]), info

    def step(self, action: Any) -> tuple[NDArray[np.float32], Any, bool, bool, dict[str, Any]]:
        """As the environment's, but for the observation."""
        conversation, reward, terminated, truncated, info = self.env.step(action)
        return self.read(conversation, info["turns_left"]), reward, terminated, truncated, info
