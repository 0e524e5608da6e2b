"""Where dialogues start: seeds, and the options of ``reset``."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from dialogue_gym.dialogue import Transcript
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.registry import check_options, nearest
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.personas import Persona
from dialogue_gym.tasks.base import Task, task_from_dict

_RECORD_FIELDS = [field.name for field in fields(DialogueRecord)]


@dataclass(frozen=True, slots=True)
class Start:
    """How one dialogue begins; what is None is drawn or derived from the row's seed.

    Attributes:
        task_seed: keys the task, the persona and the opening.
        reply_seed: keys the user's replies.
        messages: a history to go on from, checked; empty for a fresh opening.
        task: given with a history, else drawn.
        persona: given with a history, else drawn.
        turns_metadata: one dict for each user message of the history.
        max_turns: a turn limit of this dialogue's own, else the environment's.
    """

    task_seed: int | None = None
    reply_seed: int | None = None
    messages: Transcript | None = None
    task: Task | None = None
    persona: Persona | None = None
    turns_metadata: tuple[dict[str, Any], ...] = ()
    max_turns: int | None = None


@dataclass(slots=True)
class EpisodeSeeds:
    """The seed of one row and how often it was reset since: together they name a dialogue.

    Example:
        >>> seeds = EpisodeSeeds()
        >>> seeds.advance(7, default=0)
        >>> first = seeds.task_seed
        >>> seeds.advance(None, default=0)
        >>> first == seeds.task_seed
        False
    """

    base: int | None = None
    episode: int = 0

    def advance(self, seed: int | None, default: int) -> None:
        """Go to the row's next episode, or to the first of ``seed``."""
        if seed is not None:
            self.base, self.episode = seed, 0
        elif self.base is None:
            self.base = default
        else:
            self.episode += 1

    @property
    def task_seed(self) -> int:
        """The episode's own seed for what is asked."""
        return NoiseKey((self.base or 0, self.episode, "task")).seed()

    @property
    def reply_seed(self) -> int:
        """The episode's own seed for what the user replies."""
        return NoiseKey((self.base or 0, self.episode, "reply")).seed()


def check_option_names(options: Mapping[str, Any], valid: Sequence[str]) -> None:
    """Raise ValueError, with the nearest names, for options that ``reset`` does not know."""
    for name in options:
        if name not in valid:
            raise ValueError(f"reset has no option {name!r}: {nearest(str(name), valid)}")


def single_start(options: Mapping[str, Any] | None) -> Start:
    """The start that the options of a single environment's ``reset`` ask for.

    Raises:
        ValueError: unknown option or a value that cannot be.
    """
    options = options or {}
    check_option_names(options, ("task_seed", "reply_seed", "dialogue", "max_turns"))
    return _start(
        _seed(options.get("task_seed"), "task_seed"),
        _seed(options.get("reply_seed"), "reply_seed"),
        options.get("dialogue"),
        _limit(options.get("max_turns"), "max_turns"),
    )


def vector_starts(options: Mapping[str, Any] | None, rows: Iterable[int], num_envs: int) -> dict[int, Start]:
    """One start for each of ``rows``; seeds and limits may be one int for all or one for each row.

    Raises:
        ValueError: unknown option, wrong length or a value that cannot be.
    """
    options = options or {}
    check_option_names(options, ("task_seed", "reply_seed", "dialogue", "max_turns", "reset_mask"))
    task_seeds = _per_row(options.get("task_seed"), "task_seed", num_envs)
    reply_seeds = _per_row(options.get("reply_seed"), "reply_seed", num_envs)
    limits = _per_row(options.get("max_turns"), "max_turns", num_envs, _limit)
    dialogues = options.get("dialogue")
    if dialogues is None:
        dialogues = [None] * num_envs
    if not isinstance(dialogues, list | tuple) or len(dialogues) != num_envs:
        raise ValueError(
            f"option 'dialogue' must be a list of {num_envs}, one dialogue or None for each row, "
            f"got {_describe(dialogues)}"
        )
    return {row: _start(task_seeds[row], reply_seeds[row], dialogues[row], limits[row]) for row in rows}


def reset_rows(options: Mapping[str, Any] | None, num_envs: int) -> list[int]:
    """The rows that ``options["reset_mask"]`` selects, all without one. Reads the mask, leaves it there.

    Raises:
        ValueError: the mask is not a boolean array of shape ``(num_envs,)`` with a True in it.
    """
    mask = (options or {}).get("reset_mask")
    if mask is None:
        return list(range(num_envs))
    if not (isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and mask.shape == (num_envs,)):
        raise ValueError(
            f"option 'reset_mask' must be a boolean array of shape ({num_envs},), got {_describe(mask)}"
        )
    if not mask.any():
        raise ValueError("option 'reset_mask' selects no row")
    return [int(row) for row in np.flatnonzero(mask)]


def row_seeds(seed: int | Sequence[int | None] | None, num_envs: int) -> list[int | None]:
    """One seed or None for each row: an int counts up, a list is taken as it is.

    Raises:
        ValueError: wrong length, or a seed that is not a non-negative int.
    """
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, int | np.integer):
        first = _seed(seed, "seed")
        assert first is not None
        return [first + row for row in range(num_envs)]
    if not isinstance(seed, list | tuple | np.ndarray) or np.shape(seed) != (num_envs,):
        raise ValueError(f"seed must be an int or a list of {num_envs}, got {_describe(seed)}")
    return [_seed(value, f"seed[{row}]") for row, value in enumerate(seed)]


def _seed(value: Any, name: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise ValueError(f"{name} must be a non-negative int, got {value!r}")
    return int(value)


def _per_row(
    value: Any, name: str, num_envs: int, check: Callable[[Any, str], int | None] = _seed
) -> list[int | None]:
    if value is None or isinstance(value, int | np.integer):
        return [check(value, name)] * num_envs
    if not isinstance(value, list | tuple | np.ndarray) or np.shape(value) != (num_envs,):
        raise ValueError(f"option {name!r} must be an int or {num_envs} of them, got {_describe(value)}")
    return [check(item, f"{name}[{row}]") for row, item in enumerate(value)]


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    size = f" of {len(value)}" if isinstance(value, list | tuple) else ""
    return type(value).__name__ + size


def _limit(value: Any, name: str) -> int | None:
    limit = _seed(value, name)
    if limit == 0:
        raise ValueError(f"{name} must be at least 1, got 0")
    return limit


def _start(task_seed: int | None, reply_seed: int | None, dialogue: Any, max_turns: int | None) -> Start:
    if dialogue is None:
        return Start(task_seed, reply_seed, max_turns=max_turns)
    given = _as_mapping(dialogue)
    if task_seed is None:
        task_seed = _seed(given.get("task_seed"), "the dialogue's task_seed")
    if reply_seed is None:
        reply_seed = _seed(given.get("reply_seed"), "the dialogue's reply_seed")
    task = _task(given.get("task"))
    if task is None and task_seed is None:
        raise ValueError("a dialogue to start from needs its 'task', or the 'task_seed' that draws it")
    messages = _history(given.get("messages", ()))
    return Start(
        task_seed,
        reply_seed,
        messages,
        task,
        _persona(given.get("persona")),
        _metadata(given.get("turns_metadata"), len(messages.contents("user"))),
        max_turns,
    )


def _as_mapping(dialogue: Any) -> Mapping[str, Any]:
    if isinstance(dialogue, DialogueRecord):
        return {name: getattr(dialogue, name) for name in _RECORD_FIELDS}
    if not isinstance(dialogue, Mapping):
        raise ValueError(f"a dialogue to start from is a DialogueRecord or a dict, got {_describe(dialogue)}")
    for name in dialogue:
        # a line of a log, parsed by hand, has its version beside the fields
        if name not in _RECORD_FIELDS and name != "schema_version":
            raise ValueError(f"a dialogue has no field {name!r}: {nearest(str(name), _RECORD_FIELDS)}")
    return dialogue


def _task(task: Any) -> Task | None:
    if task is None or isinstance(task, Task):
        return task
    if not isinstance(task, Mapping):
        raise ValueError(f"the dialogue's task is a Task or a dict, got {type(task).__name__}")
    return task_from_dict(task)


def _persona(persona: Any) -> Persona | None:
    if persona is None or isinstance(persona, Persona):
        return persona
    if not isinstance(persona, Mapping):
        raise ValueError(f"the dialogue's persona is a Persona or a dict, got {type(persona).__name__}")
    check_options(Persona, persona, "a persona")
    return Persona(**persona)


def _history(messages: Any) -> Transcript:
    transcript = Transcript()
    if isinstance(messages, str | Mapping) or not hasattr(messages, "__iter__"):
        raise ValueError(f"the dialogue's messages are a list, got {type(messages).__name__}")
    for i, message in enumerate(messages):
        content = message.get("content") if isinstance(message, Mapping) else None
        if not isinstance(content, str):
            raise ValueError(f"message {i} of the dialogue is not a dict with 'role' and a text 'content'")
        transcript.add(str(message.get("role")), content)
    return transcript


def _metadata(metadata: Any, count: int) -> tuple[dict[str, Any], ...]:
    """Kept where there is one dict for each user message; a bare history has none."""
    if metadata is None or metadata == [] or metadata == ():
        return tuple({} for _ in range(count))
    if not isinstance(metadata, list | tuple) or not all(isinstance(item, Mapping) for item in metadata):
        raise ValueError("the dialogue's turns_metadata is a list of dicts, one for each user message")
    if len(metadata) != count:
        raise ValueError(
            f"the dialogue's turns_metadata has {len(metadata)} entries for {count} user messages"
        )
    return tuple(dict(item) for item in metadata)
