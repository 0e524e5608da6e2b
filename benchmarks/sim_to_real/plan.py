"""Which stages a study needs, and what they found, by arm, policy and user."""

from collections.abc import Iterator
from typing import Any

from benchmarks.sim_to_real.arms import FITTED, REFERENCE, SeedOfStudy
from benchmarks.sim_to_real.settings import StudySettings
from benchmarks.sim_to_real.stages import Stage


class Study:
    """All seeds of a study.

    Args:
        settings: of the study.
    """

    def __init__(self, settings: StudySettings) -> None:
        self.settings = settings
        self.cache = settings.cache
        numbers = range(settings.first_seed, settings.first_seed + settings.seeds)
        self.seeds = [SeedOfStudy(settings, seed) for seed in numbers]
        self.users = [name for name in self.seeds[0].users() if name in FITTED]

    @property
    def compared(self) -> list[str]:
        """Training users that are compared with the reference: language models."""
        return [] if self.settings.user == "scripted" else self.users

    @property
    def measured(self) -> list[str]:
        """Those of them whose divergence from the reference can be had: its likelihood must be known."""
        return self.compared if self.settings.reference == "population" else []

    def checkpoints(self, arm: str) -> list[int]:
        """The policies of an arm, by number; the base arm has but one, 0."""
        return [0] if arm == "base" else list(range(1, self.settings.checkpoints + 1))

    def policies(self) -> list[tuple[str, int]]:
        """Arm and number of every policy."""
        return [(arm, c) for arm in self.settings.arms for c in self.checkpoints(arm)]

    def wanted(self) -> list[Stage]:
        """All that the report is made of."""
        return [stage for seed in self.seeds for stage in self._wanted(seed)]

    def _wanted(self, seed: SeedOfStudy) -> Iterator[Stage]:
        for arm, c in self.policies():
            yield seed.judging(arm, c, REFERENCE)
        for arm, c in self.policies():
            for user in self.users:
                yield seed.judging(arm, c, user)
        for arm in self.settings.arms:
            own = seed.trained_with(arm)
            if own and self.settings.checkpoints > 1:
                for c in self.checkpoints(arm):
                    yield seed.judging(arm, c, own, "validation")
        for user in self.compared:
            yield seed.realism(user)
        for user in self.measured:
            for c in (0, *self.checkpoints(user)):
                yield seed.divergence(user, c)

    def result(self, stage: Stage) -> dict[str, Any]:
        """What a stage found."""
        return stage.result(self.cache)

    def chosen(self, seed: SeedOfStudy, arm: str) -> int:
        """The policy of an arm that counts: the one its training user likes best, on tasks of their own.

        Arms without a user in training have none to ask; their last policy counts.
        """
        own = seed.trained_with(arm)
        numbers = self.checkpoints(arm)
        if own is None or len(numbers) == 1:
            return numbers[-1]
        rewards = [
            self.result(seed.judging(arm, c, own, "validation"))["estimates"]["reward"]["mean"]
            for c in numbers
        ]
        return numbers[max(range(len(numbers)), key=lambda i: (rewards[i], i))]
