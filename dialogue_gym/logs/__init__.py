"""Logs: recorded dialogues, one JSON object a line, and dialogues of others brought into that form."""

from dialogue_gym.logs.exporting import export_collabllm
from dialogue_gym.logs.importing import Imported, Report, import_dialogues, write_log
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
    "Imported",
    "PolicyRecord",
    "Report",
    "append",
    "export_collabllm",
    "import_dialogues",
    "policy_view",
    "read_log",
    "repair_log",
    "write_log",
]
