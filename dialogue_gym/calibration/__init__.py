"""Calibration: fit a simulator to logs, and say in numbers how far it is from the users of the logs."""
