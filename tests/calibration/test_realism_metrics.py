"""The small functions that realism's metrics are made of, against other ways to compute the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from dialogue_gym.calibration.realism.acts import act, breaks_role
from dialogue_gym.calibration.realism.diversity import moving_average_ratios
from dialogue_gym.calibration.realism.leakage import curve_distance, disclosed, horizon
from dialogue_gym.calibration.realism.measures import dice, earth_movers, jensen_shannon
from dialogue_gym.calibration.realism.outcome import calibration_error
from dialogue_gym.calibration.realism.resampling import excess, interval, is_within, make_plan, spread

counts = arrays(np.float64, (1, 7), elements=st.integers(0, 9)).filter(lambda x: x.sum() > 0)


@given(counts, counts)
def test_earth_movers_is_scipys(a: np.ndarray, b: np.ndarray) -> None:
    bins = np.arange(7)
    assert earth_movers(a, b)[0] == pytest.approx(wasserstein_distance(bins, bins, a[0], b[0]), abs=1e-9)


@given(counts, counts)
def test_jensen_shannon_is_scipys(a: np.ndarray, b: np.ndarray) -> None:
    assert jensen_shannon(a, b)[0] == pytest.approx(jensenshannon(a[0], b[0], base=2) ** 2, abs=1e-7)


@given(counts)
def test_distances_from_oneself_are_zero(a: np.ndarray) -> None:
    assert earth_movers(a, 3 * a)[0] == pytest.approx(0, abs=1e-12)
    assert jensen_shannon(a, 3 * a)[0] == pytest.approx(0, abs=1e-12)
    assert dice(a, a)[0] == 1.0


def test_dice_leaves_out_what_one_side_does_not_have() -> None:
    assert dice(np.array([[1.0, np.nan]]), np.array([[3.0, 5.0]]))[0] == pytest.approx(0.5)


@given(st.lists(st.sampled_from("abcde"), min_size=5, max_size=40))
def test_moving_average_ratios_count_each_window(tokens: list[str]) -> None:
    ring = tokens + tokens[:4]
    naive = [len(set(ring[i : i + 5])) / 5 for i in range(len(tokens))]
    assert moving_average_ratios(tokens, 5).tolist() == pytest.approx(naive)


def test_disclosure_is_a_chain_of_shares() -> None:
    told_and_held = np.array([[[2.0, 1.0, 0.0], [4.0, 2.0, 0.0]]])
    assert disclosed(told_and_held)[0].tolist() == [0.5, 0.75, 0.75]


def test_early_turns_weigh_more() -> None:
    zero, early, late = (np.array([curve]) for curve in ([0.0, 0, 0], [0.3, 0, 0], [0.0, 0, 0.3]))
    assert curve_distance(early, zero, 3)[0] == pytest.approx(0.3 * 3 / 6)
    assert curve_distance(late, zero, 3)[0] == pytest.approx(0.3 * 1 / 6)


def test_the_horizon_ends_where_hardly_anything_is_counted() -> None:
    table = np.zeros((2, 10))
    table[1, :4] = [100, 50, 5, 4]
    assert horizon(table) == 3


def test_calibration_error_leaves_out_bins_that_one_side_lacks() -> None:
    a, b = np.array([[[1.0, 0], [2, 0]]]), np.array([[[2.0, 3], [2, 3]]])
    assert calibration_error(a, b)[0] == pytest.approx(0.5)


def test_halves_share_no_dialogue_and_are_of_one_size() -> None:
    plan = make_plan(7, resamples=20, splits=6, seed=1)
    assert plan.weights[0].tolist() == [1] * 7
    assert (plan.weights.sum(axis=1) == 7).all()
    assert (plan.first * plan.second == 0).all()
    assert (plan.first.sum(axis=1) == 3).all()
    assert (plan.second.sum(axis=1) == 3).all()


@given(arrays(np.float64, (30, 4), elements=st.floats(-5, 5) | st.just(np.nan)))
def test_intervals_hold_their_figure(figures: np.ndarray) -> None:
    for made in (interval(figures), spread(figures)):
        if made is not None:
            assert made.low <= made.value <= made.high
            assert made.value == pytest.approx(np.nanmean(figures[0]))


def test_the_interval_of_a_mean_covers_what_it_should() -> None:
    """Over 200 samples of 40, the interval of the mean holds the true one about as often as 95 %."""
    rng = np.random.default_rng(0)
    plan = make_plan(40, resamples=200)
    held = 0
    for sample in rng.exponential(1.0, size=(200, 40)):
        figures = plan.whole(lambda w, _, sample=sample: w @ sample / w.sum(axis=1))
        made = interval(figures)
        assert made is not None
        held += made.low <= 1.0 <= made.high
    assert 170 <= held <= 199


def test_verdicts_know_which_way_is_better() -> None:
    worse = np.array([[0.9], *[[0.8 + 0.01 * i] for i in range(20)]])
    people = np.full((21, 1), 0.1)
    above = excess(worse, people, "lower")
    assert above is not None
    assert not is_within(above, "lower")
    assert is_within(above, "higher")
    less_diverse, people = np.full((21, 1), 0.5), np.full((21, 1), 1.0)
    off = excess(less_diverse, people, "equal")
    assert off is not None
    assert not is_within(off, "equal")
    assert off.value == pytest.approx(np.log(2))


ASKED = ({"role": "user", "content": "help"}, {"role": "assistant", "content": "How many are there?"})
TOLD = ({"role": "user", "content": "help"}, {"role": "assistant", "content": "The answer is 12."})


@pytest.mark.parametrize(
    ("text", "context", "expected"),
    [
        ("Tom has some marbles. how many now?", (), "request"),
        ("12", ASKED, "answer"),
        ("it's 12", ASKED, "answer"),
        ("x must be greater than y", TOLD, "statement"),
        ("ok", TOLD, "acknowledgement"),
        ("yes", ASKED, "acknowledgement"),
        ("thanks", TOLD, "closing"),
        ("never mind", TOLD, "closing"),
        ("no, it's 13", TOLD, "correction"),
        ("are you sure?", TOLD, "correction"),
        ("sorry, I meant 14", TOLD, "correction"),
        ("ok and the answer?", TOLD, "urge"),
        ("?", TOLD, "urge"),
        ("just write it please", TOLD, "urge"),
        ("can you make it shorter", TOLD, "request"),
        ("add a line about the date", TOLD, "request"),
        ("how did you get that?", TOLD, "question"),
        ("", TOLD, "nothing"),
    ],
)
def test_acts(text: str, context: tuple[dict[str, str], ...], expected: str) -> None:
    assert act(text, context) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "breaks"),
    [
        ("So the answer is 12.", True),
        ("As an AI language model I cannot", True),
        ("Would you like me to go on?", True),
        ("Great question! Let's see", True),
        ("the answer is wrong", False),
        ("what is the answer?", False),
        ("thanks, can you help me with the next one?", False),
        ("12", False),
    ],
)
def test_role_breaks(text: str, breaks: bool) -> None:
    assert breaks_role(text) is breaks
