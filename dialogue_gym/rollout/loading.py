"""From names to what is played: environments and policies, with errors of one line."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym

from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.language_models import (
    Sampling,
    language_models,
    load_language_model,
    named_language_model,
)
from dialogue_gym.registry import check_options, nearest
from dialogue_gym.rollout.base import Policy
from dialogue_gym.rollout.policies import LanguageModelPolicy
from dialogue_gym.rollout.rules import RulePolicy
from dialogue_gym.rollout.text_policy import TextPolicy
from dialogue_gym.tasks.base import ENV_IDS, Kind

_OF_POLICY = ("system_prompt", *Sampling.__dataclass_fields__)


def make_vector_env(env_id: str, num_envs: int, /, **keywords: Any) -> DialogueVectorEnv:
    """A vector environment for ``play``, which begins dialogues itself.

    Args:
        env_id: of a registered dialogue environment.
        num_envs: dialogues at once.
        **keywords: see ``EnvKeywords``.

    Raises:
        ValueError: no such environment, or names and keywords that there are not.
    """
    try:
        env = gym.make_vec(env_id, num_envs=num_envs, autoreset_mode="Disabled", **keywords)
    except gym.error.NameNotFound:  # Gymnasium would offer the nearest of its own
        offer = nearest(env_id, ENV_IDS.values())
        raise ValueError(f"env {env_id!r} cannot be used, it is not registered: {offer}") from None
    except (gym.error.Error, TypeError) as error:
        raise ValueError(f"env {env_id!r} cannot be used: {error}") from error
    if not isinstance(env, DialogueVectorEnv):
        raise ValueError(f"env {env_id!r} is not a dialogue environment of this package")
    return env


def load_policy(spec: str | Mapping[str, Any] | Policy, kind: Kind, **options: Any) -> Policy:
    """Turn a name, or a dict of a name and options, into a policy; objects pass through.

    The names are "rule" and those of the language models: ``"tiny"``, ``"transformers:PATH"``,
    ``"http://HOST:PORT/v1#MODEL"``.

    Args:
        spec: ``"rule"``, ``"transformers:PATH"``, ``{"name": "rule", "ask_rate": 0.5}`` or an object.
        kind: what its dialogues are about, "math" or "document".
        **options: more options. "rule" takes ``ask_rate``; a language model takes the fields of
            ``Sampling``, ``system_prompt``, and the options of ``load_language_model``.

    Raises:
        ValueError: an unknown name or option, with the nearest ones; options for an object.
        FileNotFoundError: nothing loadable at the path.
        ImportError: an extra is not installed; the message names it.

    Example:
        >>> load_policy("rule", "math", ask_rate=0.5).identity()
        {'name': 'rules', 'kind': 'math', 'ask_rate': 0.5}
        >>> load_policy("rules", "math")
        Traceback (most recent call last):
        ...
        ValueError: unknown policy 'rules': did you mean 'rule'?
    """
    if not isinstance(spec, str | Mapping):
        if options:
            raise ValueError(f"a policy object takes no options, got {', '.join(options)}")
        return spec
    chosen = {**_as_dict(spec), **options}
    name = chosen.get("name")
    valid = ["rule", *language_models.names()]
    if name not in valid:
        raise ValueError(f"unknown policy {name!r}: {nearest(str(name), valid, language_models.forms)}")
    if name == "rule":
        return _rules(kind, {k: v for k, v in chosen.items() if k != "name"})
    return _language_model(chosen)


def _as_dict(spec: str | Mapping[str, Any]) -> dict[str, Any]:
    return named_language_model(spec) if isinstance(spec, str) else dict(spec)


def _rules(kind: Kind, options: Mapping[str, Any]) -> Policy:
    if "kind" in options:
        raise ValueError("policy 'rule' has the kind of its environment; leave 'kind' out")
    check_options(RulePolicy, options, "policy 'rule'")
    return RulePolicy(kind, **options)


def _language_model(chosen: Mapping[str, Any]) -> Policy:
    own = {k: v for k, v in chosen.items() if k in _OF_POLICY}
    model: Any = load_language_model({k: v for k, v in chosen.items() if k not in own})
    prompt = own.pop("system_prompt", None)
    policy = LanguageModelPolicy if hasattr(model, "codec") else TextPolicy
    return policy(model, Sampling(**own), prompt)
