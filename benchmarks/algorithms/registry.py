"""Algorithms by name: those of this repository, and those of a file."""

import importlib.util
import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from benchmarks.algorithms import own
from benchmarks.algorithms.lesson import Lesson
from dialogue_agents.bandit.settings import BanditSettings
from dialogue_agents.drift.settings import DriftSettings
from dialogue_agents.grpo.settings import GRPOSettings
from dialogue_agents.sft.settings import SFTSettings
from dialogue_agents.static_context.settings import StaticContextSettings
from dialogue_gym.registry import check_options, nearest
from dialogue_gym.rollout import Policy

Train = Callable[..., Policy]
OTHER = "other"


@dataclass(frozen=True)
class Algorithm:
    """A way to come from a lesson to a policy.

    Attributes:
        train: called with a ``Lesson`` and options.
        group: what its policies write with; the reward of one group says little about another's: "words", a
            language model of its own, or "acts", whose words a program finds.
        from_log: whether it learns from the lesson's log.
        options: what makes it this algorithm; always given, and not for others to choose.
        settings: a dataclass whose fields are its options; None where ``train`` names them itself.
        checked_by: called with options that ``train`` hands on, for their names.
    """

    train: Train
    group: str
    from_log: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: type | None = None
    checked_by: Callable[[Mapping[str, Any]], None] | None = None

    def __call__(self, lesson: Lesson, options: Mapping[str, Any]) -> Policy:
        """Train."""
        return self.train(lesson, **{**self.options, **options})

    def check(self, name: str, options: Mapping[str, Any]) -> None:
        """Refuse options that it does not take, and values that they cannot have.

        Raises:
            ValueError: names the nearest ones, or what would be right.
        """
        if fixed := [option for option in options if option in self.options]:
            raise ValueError(f"algorithm {name!r} is what it is by its {fixed[0]!r}: it cannot be set")
        if self.settings is None:
            check_options(self.train, options, f"algorithm {name!r}")
        else:
            _check_settings(self.settings, name, {**self.options, **options}, options)
        if self.checked_by is not None:
            self.checked_by(options)


def _check_settings(kind: type, name: str, values: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    known = {f.name: f for f in fields(kind)}
    valid = [field for field in known if field not in _OURS]
    for option in options:
        if option not in valid:
            raise ValueError(f"algorithm {name!r} has no setting {option!r}: {nearest(option, valid)}")
    needed = {n: Path(n) for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING}
    try:
        kind(**{**needed, **values})
    except (ValueError, TypeError) as error:
        raise ValueError(f"algorithm {name!r}: {error}") from None


_OURS = (
    "env", "policy", "out", "seed", "resume", "logs", "policy_tokens", "eval_dialogues", "simulator",
    "language_model",
)  # fmt: skip
"""Settings that are for the benchmark to say."""


def _grpo(**options: Any) -> Algorithm:
    return Algorithm(own.grpo, "words", options=options, settings=GRPOSettings)


def _bandit(algorithm: str) -> Algorithm:
    return Algorithm(own.bandit, "acts", options={"algorithm": algorithm}, settings=BanditSettings)


def _sb3(algorithm: str) -> Algorithm:
    check = partial(own.check_sb3, algorithm)
    return Algorithm(own.sb3, "acts", options={"algorithm": algorithm}, checked_by=check)


ALGORITHMS: dict[str, Algorithm] = {
    "base": Algorithm(own.base, "words"),
    "sft": Algorithm(own.sft, "words", True, settings=SFTSettings),
    "drift": Algorithm(own.drift, "words", True, settings=DriftSettings),
    "static_context": Algorithm(own.static_context, "words", True, settings=StaticContextSettings),
    "grpo": _grpo(),
    # a mean of n logarithms varies as one over the root of n, for some 16 tokens a turn and 50 a dialogue
    "grpo_turn_ratio": _grpo(ratio_level="turn", loss_type="grpo", epsilon=0.05),
    "grpo_sequence_ratio": _grpo(ratio_level="sequence", loss_type="grpo", epsilon=0.03),
    "grpo_turn_return": _grpo(advantage="turn_return"),
    "grpo_turn_baseline": _grpo(advantage="turn_baseline"),
    # what turns earn adds up to the score, which is all that the episode's advantage would see
    "grpo_look_ahead": _grpo(reward="look_ahead", advantage="turn_return"),
    "grpo_progress": _grpo(reward='{"name": "progress", "language_model": "tiny"}', advantage="turn_return"),
    **{name: _bandit(name) for name in ("linucb", "thompson")},
    **{name: _sb3(name) for name in ("ppo", "a2c", "dqn")},
    "rule": Algorithm(own.rule, "acts"),
}
"""Those of this repository, in the order of the tables."""


def algorithm_of_file(path: Path) -> Algorithm:
    """The algorithm of a Python file: a function ``train(lesson)``, whose keywords are its settings.

    The file may say ``GROUP = "words"`` or ``"acts"`` (see ``Algorithm``) and ``FROM_LOG = True``.

    Raises:
        ValueError: no such file, one that cannot be run, or without such a function.
    """
    if not path.is_file():
        raise ValueError(f"no algorithm file {str(path)!r}: a Python file with train(lesson) would be right")
    if path.stem in ALGORITHMS:
        raise ValueError(f"{path}: {path.stem!r} is the name of an algorithm of ours; rename the file")
    spec = importlib.util.spec_from_file_location(f"algorithm_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    with faults_of(path):
        spec.loader.exec_module(module)
    train = getattr(module, "train", None)
    if not callable(train) or not inspect.signature(train).parameters:
        raise ValueError(f"{path}: has no function train(lesson)")
    return Algorithm(train, getattr(module, "GROUP", OTHER), bool(getattr(module, "FROM_LOG", False)))


@contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """Inside runs the code of a file: whatever is raised names the file and the line of it.

    Raises:
        ValueError: in place of any other error.
    """
    try:
        yield
    except Exception as error:  # whatever their code raises
        line = _line_in(path, error)
        place = str(path) if line is None else f"{path}:{line}"
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ValueError(f"{place}: {type(error).__name__}: {what}".splitlines()[0]) from error


def _line_in(path: Path, error: Exception) -> int | None:
    """The line of the file that an error comes from, the innermost one; None where it was not under way."""
    file = path.resolve()
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).resolve() == file:
        return error.lineno
    lines = [
        f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == file
    ]
    return lines[-1] if lines else None


def digest(path: Path) -> str:
    """Names what stands in a file."""
    return blake2b(path.read_bytes(), digest_size=8).hexdigest()


def find(name: str, files: Mapping[str, Path]) -> Algorithm:
    """An algorithm by name; those of files have their files' names.

    Raises:
        ValueError: there is none, with the nearest names.
    """
    if name in files:
        return algorithm_of_file(files[name])
    if name not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {name!r}: {nearest(name, [*ALGORITHMS, *files])}")
    return ALGORITHMS[name]
