"""Realism: how far a simulator is from the users of a log, beside how far people are from each other."""

from dialogue_gym.calibration.realism.compare import METRICS, Figure, Realism, measure_realism
from dialogue_gym.calibration.realism.measures import Metric, NotAvailable
from dialogue_gym.calibration.realism.resampling import Interval

__all__ = ["METRICS", "Figure", "Interval", "Metric", "NotAvailable", "Realism", "measure_realism"]
