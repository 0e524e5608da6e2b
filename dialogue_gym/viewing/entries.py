"""A log's dialogues with their numbers and flags, as commands show and filter them."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dialogue_gym.logs import DialogueRecord
from dialogue_gym.viewing.flags import FLAGS, Flag, flags_of, told_of


@dataclass(frozen=True)
class Entry:
    """One dialogue of a log.

    Attributes:
        number: its place in the log, from 1.
        record: the laboratory's view.
    """

    number: int
    record: DialogueRecord

    @cached_property
    def flags(self) -> list[list[Flag]]:
        """See ``flags_of``."""
        return flags_of(self.record)

    @cached_property
    def told(self) -> list[list[str]]:
        """See ``told_of``."""
        return told_of(self.record)

    @property
    def seeds(self) -> tuple[int, int] | None:
        """Task and reply seed; None where another program's dialogue was imported, which had none."""
        found = self.record.task_seed, self.record.reply_seed
        imported = isinstance(self.record.extra.get("source"), dict)
        return None if imported and found == (0, 0) else found

    @property
    def flag_names(self) -> list[str]:
        """Names of the flags that any of its messages has, in the order of ``FLAGS``."""
        found = {flag.name for flags in self.flags for flag in flags}
        return [name for name in FLAGS if name in found]


def entries(records: Iterable[DialogueRecord]) -> list[Entry]:
    """Records as entries, numbered from 1."""
    return [Entry(number, record) for number, record in enumerate(records, 1)]


def name_of(identity: dict[str, Any]) -> str:
    """What people call a simulator or a policy, from its identity.

    Example:
        >>> name_of({"name": "people", "source": "Bridge"}), name_of({})
        ('people (Bridge)', 'unknown')
        >>> name_of({"name": "prompted", "model": {"name": "transformers", "model": "some/model"}})
        'prompted (some/model)'
    """
    name = str(identity.get("name", "unknown"))
    model = identity.get("model")
    if isinstance(model, dict):
        model = next((model[key] for key in ("model", "path", "name", "engine") if key in model), None)
    inside = identity.get("source") or model
    return f"{name} ({inside})" if inside else name
