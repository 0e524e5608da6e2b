"""What the laboratory may do with an environment and an agent may not: none of it is in ``info``."""

from typing import Any

from dialogue_gym.envs.driver import Driver
from dialogue_gym.envs.parts import build_simulator
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.scoring.base import Score
from dialogue_gym.simulators.base import UserSimulator
from dialogue_gym.tasks.base import Kind


class Laboratory:
    """Records, scores and swaps simulators; shared by single (row 0) and vector environments."""

    _driver: Driver
    spec: Any

    def record(self, row: int = 0, *, finished: bool = False) -> DialogueRecord:
        """The dialogue in ``row`` with everything about it, reference included; fresh data.

        Args:
            row: which row.
            finished: the dialogue that ended last in this row instead; after an autoreset, this is how
                to get at it.

        Raises:
            RuntimeError: there is no such dialogue.
        """
        dialogue = self._driver.finished[row] if finished else self._driver.row(row)
        if dialogue is None:
            raise RuntimeError(f"no dialogue has ended in row {row} yet")
        return self._driver.record(dialogue, self.spec.id if self.spec else None)

    def score(self, row: int = 0) -> Score:
        """The score of the dialogue in ``row`` as it stands; nothing changes by asking."""
        return self._driver.score(row)

    @property
    def kind(self) -> Kind:
        """What its dialogues are about: "math" or "document"."""
        return self._driver.parts.kind

    @property
    def observe(self) -> str:
        """What observations show: "all" or "new"."""
        return self._driver.parts.observe

    @property
    def max_turns(self) -> int:
        """Assistant messages that a dialogue may have."""
        return self._driver.parts.max_turns

    @property
    def simulator(self) -> UserSimulator:
        """Who plays the user; may be exchanged at any time, by name, dict or object."""
        return self._driver.parts.simulator

    @simulator.setter
    def simulator(self, spec: Any) -> None:
        simulator = build_simulator(spec)
        self._driver.forget_all()
        self._driver.parts.simulator = simulator
