"""Settings of the study, and presets: files of settings."""

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

from dialogue_agents.grpo.settings import GRPOSettings
from dialogue_agents.static_context.settings import StaticContextSettings
from dialogue_gym.calibration.fit import FitSettings
from dialogue_gym.cli.arguments import json_object
from dialogue_gym.envs.parts import ENV_IDS
from dialogue_gym.registry import nearest
from dialogue_gym.tasks.base import Kind

PRESETS = Path(__file__).parent / "presets"
ARMS = (
    "base",
    "static final",
    "static all",
    "static look-ahead",
    "naive",
    "calibrated",
    "recalibrated",
    "oracle",
)
CONTROLS = ("other people", "shuffled log")
KINDS: dict[str, Kind] = {env_id: kind for kind, env_id in ENV_IDS.items()}
"""The study's environments, and the kinds of their tasks."""
T = TypeVar("T")
_OURS = ("env", "env_kwargs", "policy", "out", "seed", "resume", "policies", "eval_dialogues", "simulator")
PARTS = ("learner", "static", "look_ahead", "fit", "env_kwargs", "judge_kwargs")


@dataclass
class StudySettings:
    """Five ways to train, and ours, judged by users that four of them never met."""

    preset: str = "tiny"
    """Where settings begin: a name of a preset, or a JSON file of these settings; options here go first."""
    env: str = "MathChat-v0"
    """Environment id."""
    seeds: int = 3
    """Repetitions, each with a reference population of its own."""
    first_seed: int = 0
    """Where to begin counting them."""
    arms: tuple[str, ...] = ARMS
    """Which ways to train; "other people" and "shuffled log" are controls."""
    strength: float = 1.0
    """How far naive users are from the reference: 0 not at all, 1 as cooperative as prompted users are."""
    policy: str = "tiny"
    """The base policy: "tiny", or a folder or hub name that transformers can load."""
    user: str = "tiny"
    """Where fits of users begin, likewise; "scripted": users are not fitted but populations themselves, so
    that calibration is perfect and, at strength 0, all of them are the same."""
    reference: str = "population"
    """Who stands for people: "population", or the language model of a prompted user ("http://...#model")."""
    naive: Literal["fitted", "prompted"] = "fitted"
    """Naive users are fitted to cooperative dialogues, or are the prompted model."""
    logs: int = 500
    """Dialogues of the base policy with the reference; static contexts and calibration have these alone.
    With 0 the calibrated user is the naive one."""
    naive_dialogues: int = 500
    """Cooperative dialogues that naive users are fitted to."""
    checkpoints: int = 2
    """Policies judged along each training, at even distances; which one counts, its own user says."""
    eval_dialogues: int = 200
    """Held-out dialogues with the reference that judge each policy."""
    user_dialogues: int = 100
    """Held-out dialogues of each policy with each training user, for gaps, ranks, and the choice between
    checkpoints; also those in which divergence and realism are measured."""
    env_kwargs: str = "{}"
    """More keywords of the environment in all that is played, as a JSON object."""
    judge_kwargs: str = "{}"
    """Likewise, only where policies are judged: a scorer that asks a large model, for example."""
    learner: str = "{}"
    """Settings that all learners share, as a JSON object such as '{"steps": 60}'; added to the preset's."""
    static: str = "{}"
    """Settings of learners on static contexts besides."""
    look_ahead: str = "{}"
    """Settings of the learner with look-ahead besides."""
    fit: str = "{}"
    """Settings of all fits."""
    workers: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    """Processes, one for each core; stages that need nothing of each other run side by side."""
    out: Path = Path("runs/sim_to_real")
    """Folder of stages and the report; finished stages found there are used again."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        for arm in self.arms:
            if arm not in (*ARMS, *CONTROLS):
                raise ValueError(f"unknown arm {arm!r}: {nearest(arm, (*ARMS, *CONTROLS))}")
        least = {"logs": 0, "first_seed": 0, "naive_dialogues": 2}
        for name in ("seeds", "checkpoints", "eval_dialogues", "user_dialogues", "workers", *least):
            if getattr(self, name) < least.get(name, 1):
                raise ValueError(f"{name} must be at least {least.get(name, 1)}, got {getattr(self, name)}")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must be a share from 0 to 1, got {self.strength}")
        if self.user_dialogues > self.eval_dialogues:
            raise ValueError(
                f"user_dialogues are the first of eval_dialogues, {self.eval_dialogues} at most, "
                f"got {self.user_dialogues}"
            )
        for name in PARTS:
            self.part(name)
        self._check_worlds()
        self._check_parts()

    def _check_parts(self) -> None:
        """Build what stages will build of the settings, so that a slip shows at once and not after hours."""
        learner = self.part("learner")
        for name in learner:
            if name in _OURS:
                raise ValueError(f"learner: {name!r} is for the study to set; leave it out")
        made = _built(GRPOSettings, "learner", learner)
        if self.checkpoints > (updates := made.steps * made.updates_per_rollout):
            raise ValueError(f"checkpoints must be at most the {updates} updates, got {self.checkpoints}")
        static = {**learner, **self.part("static"), "logs": Path()}
        _built(StaticContextSettings, "static", static)
        _built(StaticContextSettings, "look_ahead", {**static, **self.part("look_ahead")})
        _built(FitSettings, "fit", self.part("fit"))

    def _check_worlds(self) -> None:
        """Some arms need a log, some ways to be a user exclude others."""
        if self.env not in KINDS:
            raise ValueError(f"unknown environment {self.env!r}: {nearest(self.env, KINDS)}")
        static = [arm for arm in self.arms if arm.startswith("static")]
        if static and not self.logs:
            raise ValueError(f"arm {static[0]!r} needs a log; logs is 0")
        if self.reference != "population" and (self.user == "scripted" or self.naive == "fitted"):
            raise ValueError(
                'a reference that is a model knows no cooperative variant: naive must be "prompted" '
                "and user a language model"
            )

    @property
    def kind(self) -> Kind:
        """Of the environment's tasks."""
        return KINDS[self.env]

    @property
    def cache(self) -> Path:
        """Folder of the stages' folders."""
        return self.out.absolute() / "stages"

    @property
    def where(self) -> str:
        """What claims are about: scripted people make any study a toy."""
        return "in this toy" if self.reference == "population" else "in this study"

    def part(self, name: str) -> dict[str, Any]:
        """One of the settings that are JSON objects.

        Raises:
            ValueError: it is none.
        """
        return json_object(getattr(self, name), name)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; without what changes no figure."""
        plain = {k: v for k, v in asdict(self).items() if k not in ("workers", "out", "preset")}
        return {**plain, **{name: self.part(name) for name in PARTS}}


def _built(kind: type[T], name: str, values: dict[str, Any]) -> T:
    """A dataclass of settings.

    Raises:
        ValueError: a setting that there is not, with the nearest ones, or a value that cannot be.
    """
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise ValueError(f"{name}: unknown setting {key!r}: {nearest(key, known)}")
    try:
        return kind(**values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}") from None


def read_preset(name: str) -> dict[str, Any]:
    """The settings of a preset.

    Raises:
        ValueError: no such preset, no JSON object, or a key that is no setting.
    """
    path = Path(name) if name.endswith(".json") else PRESETS / f"{name}.json"
    if not path.is_file():
        known = sorted(p.stem for p in PRESETS.glob("*.json"))
        raise ValueError(f"unknown preset {name!r}: {nearest(name, known)}, or a JSON file of settings")
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    if not isinstance(given, dict):
        raise ValueError(f"{path}: a JSON object of settings would be right")
    known = [f.name for f in fields(StudySettings) if f.name != "preset"]
    for key in given:
        if key not in known:
            raise ValueError(f"{path}: unknown setting {key!r}: {nearest(key, known)}")
    return {key: _of_json(path, key, value) for key, value in given.items()}


def _of_json(path: Path, name: str, value: Any) -> Any:
    """A value of a preset as the dataclass wants it.

    Raises:
        ValueError: it is of another type.
    """
    if name in PARTS:
        return json.dumps(value)
    want = get_type_hints(StudySettings)[name]
    if want is Path and isinstance(value, str):
        return Path(value)
    if name == "arms" and isinstance(value, list):
        return tuple(value)
    valid = (int, float) if want is float else want if want in (int, str) else str
    if not isinstance(value, valid) or isinstance(value, bool):
        expected = want.__name__ if want in (int, str, float) else str(want)
        raise ValueError(f"{path}: {name} must be of type {expected}, got {value!r}")
    return value


def over_preset(settings: StudySettings) -> StudySettings:
    """The settings with the preset's objects below their own, so that an option adds to a preset.

    Raises:
        ValueError: see ``read_preset``.
    """
    preset = read_preset(settings.preset)
    for name in PARTS:
        merged = {**json_object(preset.get(name, "{}"), name), **settings.part(name)}
        setattr(settings, name, json.dumps(merged))
    return settings
