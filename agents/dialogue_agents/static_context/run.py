"""One run on logged contexts: evaluate, train, evaluate again."""

from typing import Any

from dialogue_agents.grpo.run import log_of_training, train
from dialogue_agents.static_context.contexts import read_contexts
from dialogue_agents.static_context.rollouts import StaticContextRollout
from dialogue_agents.static_context.settings import StaticContextSettings


def run(settings: StaticContextSettings) -> dict[str, Any]:
    """GRPO on the contexts of a log; see ``grpo.run.train``.

    Raises:
        FileNotFoundError: no such log; or as ``train``.
        ValueError: a log that cannot be used; or as ``train``.
    """
    held_out = settings.eval_split if settings.eval_dialogues else None
    contexts = read_contexts(settings.logs, settings.env, settings.contexts, held_out)
    return train(
        settings,
        lambda codec: StaticContextRollout(settings, codec, contexts, on_batch=log_of_training(settings)),
    )
