"""One run of DRIFT: evaluate, train on a weighted log, evaluate again."""

from typing import Any

from dialogue_agents.drift.settings import DriftSettings
from dialogue_agents.drift.weights import read_weighted
from dialogue_agents.imitation.run import held_out_split, imitate


def run(settings: DriftSettings) -> dict[str, Any]:
    """Train and evaluate; see ``imitate``.

    Raises:
        FileNotFoundError: no such log; or as ``imitate``.
        ValueError: a log that cannot be used; or as ``imitate``.
    """
    dialogues = read_weighted(
        settings.logs,
        settings.env,
        settings.beta,
        settings.gamma,
        settings.repeat_penalty,
        held_out_split(settings),
    )
    return imitate(settings, dialogues, "DRIFT")
