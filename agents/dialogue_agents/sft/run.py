"""One run of supervised fine-tuning: evaluate, train on the best of a log, evaluate again."""

from typing import Any

from dialogue_agents.imitation.run import held_out_split, imitate
from dialogue_agents.sft.best import read_best
from dialogue_agents.sft.settings import SFTSettings


def run(settings: SFTSettings) -> dict[str, Any]:
    """Train and evaluate; see ``imitate``.

    Raises:
        FileNotFoundError: no such log; or as ``imitate``.
        ValueError: a log that cannot be used; or as ``imitate``.
    """
    dialogues = read_best(
        settings.logs, settings.env, settings.share, settings.best_of, held_out_split(settings)
    )
    return imitate(settings, dialogues, "SFT")
