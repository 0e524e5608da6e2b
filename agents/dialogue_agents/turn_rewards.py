"""The setting ``reward``, which all learners share: what is trained on in place of the score."""

from typing import Any

from dialogue_gym.cli.arguments import json_object
from dialogue_gym.registry import nearest
from dialogue_gym.rewards import turn_rewards


def reward_spec(text: str) -> str | dict[str, Any]:
    """A turn reward as a command line names it: by its name, or as a JSON object of name and options.

    Raises:
        ValueError: there is no such reward, with the nearest names; or it is no JSON object.

    Example:
        >>> reward_spec('{"name": "progress", "weight": 0.2}')
        {'name': 'progress', 'weight': 0.2}
        >>> reward_spec("look-ahead")
        Traceback (most recent call last):
        ...
        ValueError: unknown reward 'look-ahead': did you mean 'look_ahead'?
    """
    spec = json_object(text, "reward") if text.lstrip().startswith("{") else {"name": text}
    name = spec.get("name")
    if name not in turn_rewards.names():
        raise ValueError(f"unknown reward {name!r}: {nearest(str(name), turn_rewards.names())}")
    return spec if len(spec) > 1 else str(name)
