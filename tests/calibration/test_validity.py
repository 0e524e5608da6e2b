"""Metrics whose validity is low are shown apart and do not count."""

from dataclasses import replace

import pytest

from benchmarks.metric_validity.__main__ import Settings, dialogues
from dialogue_gym.calibration.realism import METRICS, Realism, measure_realism
from dialogue_gym.calibration.realism.validity import KEPT, VALIDITY
from dialogue_gym.simulators import ScriptedUser


@pytest.fixture(scope="module")
def realism() -> Realism:
    return measure_realism(
        dialogues(Settings(), ScriptedUser(), 0, 12), ScriptedUser(), resamples=20, splits=2
    )


def test_every_metric_was_measured_and_nothing_else_was():
    assert set(VALIDITY) == {metric.name for metric in METRICS}


def test_a_metric_that_was_not_measured_does_not_count():
    metric = replace(METRICS[0], validity=None)
    assert not metric.counts
    assert replace(metric, validity=KEPT).counts
    assert not replace(metric, validity=KEPT - 0.01).counts


def test_metrics_that_do_not_count_are_shown_apart_and_counted_out(realism):
    _, apart = realism.table().split("apart:")
    for metric in METRICS:
        assert (f"\n{metric.name}  " in apart) is not metric.counts
    judged = [f for f in realism.figures if f.verdict]
    assert realism.within[1] == sum(f.metric.counts for f in judged) < len(judged)
    assert "Apart" in realism.to_html()
