"""Which checkpoint of a trainer a killed run can go on from."""

import json
from pathlib import Path


def last_checkpoint(folder: str | Path) -> str | None:
    """The last checkpoint that is whole; None when there is none.

    A trainer writes ``trainer_state.json`` last, so that a checkpoint without it, or with half of it, is one
    that a kill has cut off.
    """
    whole = [path.parent for path in Path(folder).glob("checkpoint-*/trainer_state.json") if _is_json(path)]
    return str(max(whole, key=lambda path: int(path.name.split("-")[1]))) if whole else None


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True
