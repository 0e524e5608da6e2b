"""Logs: recorded dialogues, one JSON object a line, and dialogues of others brought into that form."""

from dialogue_gym.logs.records import (
    SCHEMA_VERSION,
    DialogueRecord,
    PolicyRecord,
    append,
    policy_view,
    read_log,
    repair_log,
)

__all__ = [
    "SCHEMA_VERSION",
    "DialogueRecord",
    "PolicyRecord",
    "append",
    "policy_view",
    "read_log",
    "repair_log",
]
