"""Sixty-four short pieces of writing in eight genres, with the facts that each must hold.

Written for this package, so that ``DocEditChat`` has tasks of many kinds without any download. They are
JSON Lines of the simple shape, in ``pieces.jsonl`` beside this file; of each genre five are for training,
one for validation and two for the test, by the rank of the hash of their names.
"""

from pathlib import Path

from dialogue_gym.tasks.base import task_sources
from dialogue_gym.tasks.jsonl import JsonLinesTasks

GENRES = ("letter", "notice", "how-to", "product text", "summary", "minutes", "story", "report")


class Pieces(JsonLinesTasks):
    """Letters, notices, how-tos, product texts, summaries, minutes, stories and reports.

    Example:
        >>> pieces = Pieces()
        >>> [len(pieces.tasks(split)) for split in ("train", "validation", "test")]
        [40, 8, 16]
        >>> pieces.tasks("test")[0].brief.genre
        'letter'
    """

    def __init__(self) -> None:
        super().__init__(Path(__file__).with_name("pieces.jsonl"), "document")

    def identity(self) -> dict[str, object]:
        """JSON-able name, for logs, with the SHA-256 of the pieces."""
        return {"name": "pieces", "sha256": self._digest}


task_sources["document"].register("pieces", Pieces)
