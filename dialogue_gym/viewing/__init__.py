"""Logs for people's eyes: what strikes in a dialogue, figures of a log, and a page that shows both."""

from dialogue_gym.viewing.entries import Entry, entries
from dialogue_gym.viewing.filters import apply_filters
from dialogue_gym.viewing.flags import FLAGS, Flag, flags_of
from dialogue_gym.viewing.page import view_page
from dialogue_gym.viewing.pairs import Pair, pair_up
from dialogue_gym.viewing.statistics import LogStatistics, log_statistics, paired_differences

__all__ = [
    "FLAGS",
    "Entry",
    "Flag",
    "LogStatistics",
    "Pair",
    "apply_filters",
    "entries",
    "flags_of",
    "log_statistics",
    "pair_up",
    "paired_differences",
    "view_page",
]
