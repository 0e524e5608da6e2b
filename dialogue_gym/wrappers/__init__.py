"""Views of the environments for others: dialogue acts, features, and a bridge to Stable-Baselines3.

As in Gymnasium, ``dialogue_gym.wrappers`` wraps single environments, and ``dialogue_gym.wrappers.vector``
vector environments under the same names.
"""

from typing import Any

from dialogue_gym.wrappers import vector
from dialogue_gym.wrappers.acts import Acts, PromptedActs, TemplateActs, default_templates
from dialogue_gym.wrappers.features import DEFAULT_FEATURES, Feature, FeatureReader
from dialogue_gym.wrappers.single import DialogueActs, Features

__all__ = [
    "DEFAULT_FEATURES",
    "Acts",
    "BatchedVecEnv",
    "DialogueActs",
    "Feature",
    "FeatureReader",
    "Features",
    "PromptedActs",
    "TemplateActs",
    "default_templates",
    "vector",
]


def __getattr__(name: str) -> Any:
    """``BatchedVecEnv`` needs Stable-Baselines3, which is imported with it only."""
    if name != "BatchedVecEnv":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import stable_baselines3  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'BatchedVecEnv needs Stable-Baselines3: pip install "dialogue-gym[sb3]" ({error})'
        ) from error
    from dialogue_gym.wrappers.bridge import BatchedVecEnv

    return BatchedVecEnv
