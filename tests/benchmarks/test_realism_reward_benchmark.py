"""How the benchmark of the realism reward judges two users."""

import numpy as np
import pytest

pytest.importorskip("trl")

from benchmarks.calibration.world import HeldOut
from benchmarks.realism_reward.__main__ import Judged
from dialogue_gym.language_models import Sampling, load_language_model
from dialogue_gym.simulators import CalibratedUser
from dialogue_gym.simulators.prompted import STOP_MARK
from dialogue_gym.simulators.user_side import UserSide


@pytest.fixture(scope="module")
def judged() -> Judged:
    return Judged(HeldOut.of("math", 12, 5), draws=1, seed=0)


def tiny_user(temperature: float = 1.0) -> CalibratedUser:
    side = UserSide(instruction="", go_on="", leave=STOP_MARK)
    return CalibratedUser(load_language_model("tiny"), side, Sampling(24, temperature))


def test_a_user_does_not_differ_from_itself(judged: Judged) -> None:
    for name, figure in judged.compare(tiny_user(), tiny_user()).items():
        assert figure["difference"] == {"value": 0, "low": 0, "high": 0}, name
        assert figure["before"] == figure["after"]
        assert np.isfinite(figure["before"]["value"])
        assert (figure["people"] is not None) == ("distinct" in name)


def test_a_user_who_says_what_comes_first_is_less_diverse(judged: Judged) -> None:
    found = judged.compare(tiny_user(), tiny_user(0.0))["distinct-2"]
    assert found["difference"]["high"] < 0
