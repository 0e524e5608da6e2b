"""GRPO on logged contexts: a logged prefix is the prompt, one reply is trained."""

from dialogue_agents.static_context.settings import StaticContextSettings

__all__ = ["StaticContextSettings"]
