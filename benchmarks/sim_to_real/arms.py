"""The stages of one seed: who plays with whom, what is fitted to it, and who is trained with that."""

from dataclasses import dataclass
from typing import Any

from benchmarks.sim_to_real.settings import StudySettings
from benchmarks.sim_to_real.stages import Stage
from benchmarks.sim_to_real.worlds import naive_population, reference_population


@dataclass(frozen=True)
class Judged:
    """An arm's policy under the reference user and under the user that it was trained with.

    Attributes:
        train: the training stage; None for the base policy.
        reference: the judging stage under the reference user.
        own: likewise under its training user; None where there is none.
    """

    train: Stage | None
    reference: Stage
    own: Stage | None


class SeedOfStudy:
    """All stages of one seed.

    Args:
        settings: of the study.
        seed: names the reference population and all draws.
    """

    def __init__(self, settings: StudySettings, seed: int) -> None:
        self.settings, self.seed = settings, seed
        kind: Any = "math" if settings.env.startswith("Math") else "document"
        self.reference = reference_population(kind, seed)
        self.naive = naive_population(self.reference, settings.strength)
        self._common = {
            "env": settings.env,
            "seed": seed,
            "max_turns": settings.part("learner").get("max_turns", 6),
        }

    def arms(self) -> dict[str, Judged]:
        """Each arm's stages."""
        log = self._log(
            "base policy with the reference", self.reference.to_dict(), policy=self.settings.policy
        )
        naive = self._fit("naive", {"log": self._log("naive dialogues", self.naive.to_dict(), agent="rule")})
        calibrated = self._fit("calibrated", {"log": log, "start": naive})
        made = {
            "static final": lambda: self._static("static final", log, {"contexts": "final"}),
            "static all": lambda: self._static("static all", log, {"contexts": "all"}),
            "static look-ahead": lambda: self._static(
                "static look-ahead", log, {"contexts": "all", **self.settings.part("look_ahead")}, calibrated
            ),
            "naive": lambda: self._interactive("naive", naive),
            "calibrated": lambda: self._interactive("calibrated", calibrated),
            "recalibrated": lambda: self._recalibrated(log, naive, calibrated),
            "oracle": lambda: self._interactive("oracle", None),
        }
        return {
            arm: Judged(None, self._judge(arm, None, None), None) if arm == "base" else made[arm]()
            for arm in self.settings.arms
        }

    def _recalibrated(self, log: Stage, naive: Stage, calibrated: Stage) -> Judged:
        """Once more on dialogues of the policy that the calibrated user trained, with the first ones."""
        first = self._train("calibrated", {"user": calibrated}, {})
        again = self._log(
            "calibrated policy with the reference", self.reference.to_dict(), needs={"policy": first}
        )
        return self._interactive(
            "recalibrated", self._fit("recalibrated", {"log": log, "log again": again, "start": naive})
        )

    def _interactive(self, arm: str, user: Stage | None) -> Judged:
        needs = {"user": user} if user else {}
        extra = {} if user else {"population": self.reference.to_dict()}
        train = self._train(arm, needs, extra)
        return Judged(train, self._judge(arm, train, None), self._judge(arm, train, user) if user else None)

    def _static(self, arm: str, log: Stage, static: dict[str, Any], user: Stage | None = None) -> Judged:
        needs = {"log": log, "user": user} if user else {"log": log}
        train = self._train(arm, needs, {"static": {**self.settings.part("static"), **static}})
        return Judged(train, self._judge(arm, train, None), None)

    def _log(
        self, title: str, population: dict[str, Any], needs: dict[str, Stage] | None = None, **agent: str
    ) -> Stage:
        dialogues = {"dialogues": self.settings.logs, "population": population}
        return Stage(self._title(title), "log", {**self._common, **dialogues, **agent}, needs or {})

    def _fit(self, title: str, needs: dict[str, Stage]) -> Stage:
        start = {} if "start" in needs else {"start": self.settings.user}
        return Stage(
            self._title(f"{title} user"),
            "fit",
            {"fit": self.settings.part("fit"), "seed": self.seed, **start},
            needs,
        )

    def _train(self, arm: str, needs: dict[str, Stage], extra: dict[str, Any]) -> Stage:
        settings = {
            **self._common,
            "learner": self.settings.part("learner"),
            "policy": self.settings.policy,
            "eval_split": self.settings.eval_split,
            **extra,
        }
        return Stage(self._title(f"{arm}: training"), "train", settings, needs)

    def _judge(self, arm: str, train: Stage | None, user: Stage | None) -> Stage:
        needs = {name: stage for name, stage in (("policy", train), ("user", user)) if stage}
        settings = {
            **self._common,
            "dialogues": self.settings.eval_dialogues,
            "eval_split": self.settings.eval_split,
            **({} if user else {"population": self.reference.to_dict()}),
            **({} if train else {"policy": self.settings.policy}),
        }
        who = "its own user" if user else "the reference"
        return Stage(self._title(f"{arm}: judged by {who}"), "judge", settings, needs)

    def _title(self, what: str) -> str:
        return f"seed {self.seed}, {what}"
