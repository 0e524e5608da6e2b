"""The stages of one seed: who plays with whom, what is fitted to it, and who is trained with that."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from benchmarks.calibration.world import OTHER
from benchmarks.sim_to_real.settings import StudySettings
from benchmarks.sim_to_real.stages import Stage
from benchmarks.sim_to_real.worlds import naive_population, reference_population
from dialogue_gym.calibration.fit import FitSettings
from dialogue_gym.seeding import NoiseKey

Split = Literal["validation", "test"]
REFERENCE = "reference"
FITTED = ("naive", "calibrated", "recalibrated")
"""Training users that are compared with the reference; every policy meets each of them."""

_TRAINED_WITH = {
    "static look-ahead": "calibrated",
    "naive": "naive",
    "calibrated": "calibrated",
    "recalibrated": "recalibrated",
    "oracle": REFERENCE,
    "other people": "other people",
    "shuffled log": "shuffled log",
}


@dataclass(frozen=True)
class User:
    """How a stage gets its user: from a stage that fits it, or from settings."""

    settings: dict[str, Any] = field(default_factory=dict)
    fit: Stage | None = None

    @property
    def needs(self) -> dict[str, Stage]:
        """For a stage that plays with it."""
        return {"user": self.fit} if self.fit else {}


class SeedOfStudy:
    """All stages of one seed.

    Args:
        settings: of the study.
        seed: names the reference population and all draws.
    """

    def __init__(self, settings: StudySettings, seed: int) -> None:
        self.settings, self.seed = settings, seed
        self._common: dict[str, Any] = {
            "env": settings.env,
            "env_kwargs": settings.part("env_kwargs"),
            "seed": seed,
            "max_turns": settings.part("learner").get("max_turns", 6),
            **{k: v for k, v in settings.part("learner").items() if k in ("max_tokens", "dtype")},
        }

    @cached_property
    def reference(self) -> User:
        """Who stands for people."""
        if self.settings.reference != "population":
            return User({"prompted": self.settings.reference})
        return User({"population": reference_population(self.settings.kind, self.seed).to_dict()})

    def trained_with(self, arm: str) -> str | None:
        """The name of an arm's training user; None where there is none."""
        return _TRAINED_WITH.get(arm)

    def users(self) -> list[str]:
        """The training users of this study's arms, by name."""
        found = dict.fromkeys(self.trained_with(arm) for arm in self.settings.arms)
        return [name for name in found if name is not None]

    def user(self, name: str) -> User:
        """A training user, or the reference.

        Raises:
            KeyError: there is none of that name.
        """
        return {
            REFERENCE: lambda: self.reference,
            "naive": lambda: self._naive,
            "calibrated": lambda: self._calibrated,
            "recalibrated": lambda: self._recalibrated,
            "other people": lambda: self._control("other people"),
            "shuffled log": lambda: self._control("shuffled log"),
        }[name]()

    @cached_property
    def base_log(self) -> Stage:
        """Dialogues of the base policy with the reference: all that training without it may know."""
        return self._log("base policy with the reference", self.reference, policy=self.settings.policy)

    @cached_property
    def _naive(self) -> User:
        if self.settings.naive == "prompted":
            return User({"prompted": self._prompted_model()})
        population = naive_population(
            reference_population(self.settings.kind, self.seed), self.settings.strength
        )
        people = User({"population": population.to_dict()})
        if self.settings.user == "scripted":
            return people
        log = self._log("naive dialogues", people, self.settings.naive_dialogues, agent="rule")
        return self._fit("naive", {"log": log})

    def _prompted_model(self) -> Any:
        path, learner = self.settings.user, self.settings.part("learner")
        if path == "tiny":
            return path
        return {"name": "transformers", "path": path, "dtype": learner.get("dtype", "float32")}

    @cached_property
    def _calibrated(self) -> User:
        if self.settings.user == "scripted":
            return self.reference
        return self._fit("calibrated", {"log": self.base_log}) if self.settings.logs else self._naive

    @cached_property
    def _recalibrated(self) -> User:
        """Once more: also on dialogues of the policy that the calibrated user trained."""
        if self.settings.user == "scripted" or not self.settings.logs:
            return self._calibrated
        again = self._log(
            "calibrated policy with the reference",
            self.reference,
            needs={"policy": self.training("calibrated")},
            checkpoint=self.settings.checkpoints,
        )
        # twice the dialogues, half the passes: as many updates as the first fit had
        epochs = self.settings.part("fit").get("epochs", FitSettings.epochs) / 2
        return self._fit("recalibrated", {"log": self.base_log, "log again": again}, {"epochs": epochs})

    def _control(self, name: str) -> User:
        """Fitted like the calibrated user, to what should not help: other people, or answers at random."""
        if name == "shuffled log":
            return self._fit(name, {"log": self.base_log}, shuffled=True)
        others = User({"population": OTHER})
        return self._fit(
            name, {"log": self._log("base policy with other people", others, policy=self.settings.policy)}
        )

    def training(self, arm: str) -> Stage:
        """The stage that trains an arm's policy.

        Raises:
            KeyError: the base policy is not trained.
        """
        name = self.trained_with(arm)
        user = self.user(name) if name else User()
        needs, static = dict(user.needs), {}
        if arm.startswith("static"):
            needs["log"] = self.base_log
            contexts = {"contexts": "final" if arm == "static final" else "all"}
            ahead = self.settings.part("look_ahead") if user.needs or user.settings else {}
            static = {"static": {**self.settings.part("static"), **contexts, **ahead}}
        elif name is None:
            raise KeyError(arm)
        settings = {
            **self._common,
            "learner": {**self.settings.part("learner"), "policies": self.settings.checkpoints},
            "policy": self.settings.policy,
            # each arm has draws of its own: where users coincide, arms are repetitions
            "draws": NoiseKey(("study training", self.seed, arm)).seed() % 2**31,
            **static,
            **user.settings,
        }
        return Stage(self._title(f"{arm}: training"), "train", settings, needs)

    def judging(self, arm: str, checkpoint: int, user: str, split: Split = "test") -> Stage:
        """Held-out dialogues of a policy with a user, the same for all policies and users of a seed.

        Args:
            arm: whose policy.
            checkpoint: which of its policies, from 1; of no account for the base policy.
            user: name of the user.
            split: of the tasks.
        """
        player = self.user(user)
        settings: dict[str, Any] = {**self._common, **player.settings, "eval_split": split}
        if split == "test":  # the choice between checkpoints must not ask who judges in the end
            settings["env_kwargs"] = {**self._common["env_kwargs"], **self.settings.part("judge_kwargs")}
        own = user != REFERENCE or split == "validation"
        settings["dialogues"] = self.settings.user_dialogues if own else self.settings.eval_dialogues
        needs = dict(player.needs)
        if arm == "base":
            settings["policy"] = self.settings.policy
        else:
            settings["checkpoint"] = checkpoint
            needs["policy"] = self.training(arm)
        which = "" if checkpoint == self.settings.checkpoints or arm == "base" else f" (policy {checkpoint})"
        return Stage(self._title(f"{arm}{which}: judged by {user}, {split}"), "judge", settings, needs)

    def divergence(self, user: str, checkpoint: int) -> Stage:
        """How far a training user is from the reference in dialogues of it with a policy.

        Args:
            user: name of a fitted user.
            checkpoint: which policy that it trained; 0 is the base policy.
        """
        arm = user if checkpoint else "base"
        compared = self.user(user)
        needs = {**compared.needs, "log": self.judging(arm, checkpoint, REFERENCE)}
        settings = {
            **compared.settings,
            "reference": self.reference.settings,
            "dialogues": self.settings.user_dialogues,
        }
        where = f"policy {checkpoint}" if checkpoint else "base policy"
        return Stage(self._title(f"{user}: divergence with {where}"), "divergence", settings, needs)

    def realism(self, user: str) -> Stage:
        """The realism metrics of a training user against held-out dialogues of the reference."""
        needs = {
            **self.user(user).needs,
            "log": self.judging("base", 0, REFERENCE),
            "played": self.judging("base", 0, user),
        }
        settings = {"seed": self.seed, "dialogues": self.settings.user_dialogues, **self.user(user).settings}
        return Stage(self._title(f"{user}: realism"), "realism", settings, needs)

    def _log(
        self,
        title: str,
        user: User,
        dialogues: int | None = None,
        needs: dict[str, Stage] | None = None,
        **agent: Any,
    ) -> Stage:
        count = {"dialogues": self.settings.logs if dialogues is None else dialogues}
        settings = {**self._common, **count, **user.settings, **agent}
        return Stage(self._title(title), "log", settings, {**user.needs, **(needs or {})})

    def _fit(
        self, title: str, needs: dict[str, Stage], fit: dict[str, Any] | None = None, **more: Any
    ) -> User:
        """Naive users begin with the model; all others go on from the naive one, where that was fitted."""
        settings = {"fit": {**self.settings.part("fit"), **(fit or {})}, "seed": self.seed, **more}
        start = self._naive.fit if title != "naive" else None
        if start:
            needs = {**needs, "start": start}
        else:
            settings["start"] = self.settings.user
        return User(fit=Stage(self._title(f"{title} user"), "fit", settings, needs))

    def _title(self, what: str) -> str:
        return f"seed {self.seed}, {what}"
