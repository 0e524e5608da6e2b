"""From constructor keywords to the parts of an environment."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

# these rooms register their parts when they are imported
import dialogue_gym.scoring
import dialogue_gym.simulators
import dialogue_gym.tasks  # noqa: F401
from dialogue_gym.registry import nearest
from dialogue_gym.scoring.base import Scorer, scorers
from dialogue_gym.simulators.base import UserSimulator, simulators
from dialogue_gym.tasks.base import ENV_IDS as ENV_IDS  # the driver has it from here
from dialogue_gym.tasks.base import Kind, TaskSource, check_split, task_sources

DEFAULT_SCORERS: dict[Kind, str] = {"math": "answer", "document": "facts_and_bleu"}
RENDER_MODES = ("ansi", "human")


class EnvKeywords(TypedDict, total=False):
    """Keywords that single and vector environments share.

    ``simulator``, ``tasks``, ``scorer`` and ``language_model`` may each be a registered name, a dict
    ``{"name": ..., **options}``, or an object; names and dicts keep ``env.spec`` JSON-able.

    Attributes:
        simulator: plays the user; default "scripted".
        tasks: where tasks come from; default "procedural".
        scorer: judges finished dialogues; default that of the tasks (``default_scorer``), else the kind's
            own ("answer", "facts_and_bleu").
        language_model: handed to simulators that take one; default None (the simulator's own default).
        max_turns: assistant messages that a dialogue may have; default 12.
        split: "train" (default), "validation" or "test".
        observe: "all" (default), the whole conversation, or "new", what was added since the agent spoke.
        deadline_s: seconds that one simulator call may take; default None, no limit.
        render_mode: "ansi", "human" or None (default).
    """

    simulator: Any
    tasks: Any
    scorer: Any
    language_model: Any
    max_turns: int
    split: str
    observe: Literal["all", "new"]
    deadline_s: float | None
    render_mode: str | None


@dataclass(slots=True)
class Parts:
    """What an environment is made of, resolved and checked."""

    kind: Kind
    simulator: UserSimulator
    tasks: TaskSource
    scorer: Scorer
    max_turns: int
    split: str
    observe: Literal["all", "new"]
    deadline_s: float | None


def build_parts(kind: Kind, where: str, also: tuple[str, ...], keywords: EnvKeywords) -> Parts:
    """Resolve names and check values.

    Args:
        kind: "math" or "document".
        where: what error messages call the environment.
        also: keywords that the constructor took itself, offered in error messages.
        keywords: what the user gave; may hold wrong names.

    Raises:
        ValueError: an unknown keyword or name, or a value that cannot be; one line.
    """
    if kind not in ENV_IDS:
        raise ValueError(f"unknown kind {kind!r}: {nearest(str(kind), ENV_IDS)}")
    valid = [*EnvKeywords.__annotations__, *also]
    for name in keywords:
        if name not in valid:
            raise ValueError(f"{where} has no keyword {name!r}: {nearest(name, valid)}")
    render_mode = keywords.get("render_mode")
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise ValueError(f"unknown render_mode {render_mode!r}: {nearest(str(render_mode), RENDER_MODES)}")
    if keywords.get("language_model") is not None and "simulator" not in keywords:
        raise ValueError(
            f"{where}: language_model is for the user simulator, and the default, 'scripted', takes none; "
            "give simulator='prompted' (any model) or simulator='calibrated' (a calibrated folder) with it"
        )
    tasks = task_sources[kind].build(keywords.get("tasks", "procedural"))
    usual = getattr(tasks, "default_scorer", DEFAULT_SCORERS[kind])
    parts = Parts(
        kind=kind,
        simulator=build_simulator(keywords.get("simulator", "scripted"), keywords.get("language_model")),
        tasks=tasks,
        scorer=scorers[kind].build(keywords.get("scorer") or usual),
        max_turns=keywords.get("max_turns", 12),
        split=keywords.get("split", "train"),
        observe=keywords.get("observe", "all"),
        deadline_s=keywords.get("deadline_s"),
    )
    _check(parts, where)
    return parts


def build_simulator(spec: Any, language_model: Any = None) -> UserSimulator:
    """The user simulator for a name, a dict or an object, with a language model where one is given.

    Raises:
        ValueError: unknown name, or a simulator that takes no language model.
    """
    if language_model is not None:
        if isinstance(spec, str):
            spec = {"name": spec}
        if not isinstance(spec, Mapping):
            raise ValueError("language_model cannot be given with a simulator object, which has its own")
        if "language_model" in spec:
            raise ValueError("language_model is given twice, to the environment and in simulator=")
        spec = {**spec, "language_model": language_model}
    simulator = simulators.build(spec)
    if not isinstance(simulator, UserSimulator):
        raise ValueError(f"simulator must be {_wanted(UserSimulator, simulator)}")
    return simulator


def _wanted(protocol: type, part: object) -> str:
    """What a part should be, and what the one that was given is or lacks."""
    names = sorted({*vars(protocol), *protocol.__annotations__})
    lacking = [name for name in names if name[0] != "_" and not hasattr(part, name)]
    return f"a {protocol.__name__}, a name or a dict, got a {type(part)}, which has no {', '.join(lacking)}"


def _check(parts: Parts, where: str) -> None:
    if not isinstance(parts.tasks, TaskSource):
        raise ValueError(f"{where}: tasks must be {_wanted(TaskSource, parts.tasks)}")
    if parts.tasks.kind != parts.kind:
        raise ValueError(f"{where}: tasks must be of kind {parts.kind!r}, got kind {parts.tasks.kind!r}")
    if not isinstance(parts.scorer, Scorer):
        raise ValueError(f"{where}: scorer must be {_wanted(Scorer, parts.scorer)}")
    if isinstance(parts.max_turns, bool) or not isinstance(parts.max_turns, int) or parts.max_turns < 1:
        raise ValueError(f"{where}: max_turns must be an int of at least 1, got {parts.max_turns!r}")
    check_split(parts.split)
    if parts.observe not in ("all", "new"):
        raise ValueError(f"{where}: observe must be 'all' or 'new', got {parts.observe!r}")
    deadline = parts.deadline_s
    if deadline is not None and not (
        isinstance(deadline, int | float) and 0 < deadline <= threading.TIMEOUT_MAX
    ):
        raise ValueError(
            f"{where}: deadline_s must be a positive number of seconds, at most {threading.TIMEOUT_MAX:g}, "
            f"or None, got {deadline!r}"
        )
