"""Records in CollabLLM's forms, for trainers that read those."""

from collections.abc import Iterable
from typing import Any

from dialogue_gym.logs.records import DialogueRecord


def export_collabllm(records: Iterable[DialogueRecord], *, nested: bool = False) -> list[dict[str, Any]]:
    """Rows as CollabLLM's data sets have them.

    The flat form has a row for each assistant message, with the messages before it as ``prompt``; the nested
    form one for each dialogue, with ``turns``. The score is the dialogue's reward, null where it is
    unscored. The laboratory's view: ``single_turn_completion`` is the task's reference.

    Args:
        records: dialogues; the user's message after the last assistant message has no place in these forms.
        nested: which form.
    """
    rows = [_nested(number, record) for number, record in enumerate(records)]
    return rows if nested else [flat for number, row in enumerate(rows) for flat in _flat(number, row)]


def _nested(number: int, record: DialogueRecord) -> dict[str, Any]:
    task = record.task or {}
    brief, reference = task.get("brief", {}), task.get("reference", {})
    return {
        "single_turn_prompt": brief.get("text", record.extra.get("intent", "")),
        "single_turn_completion": reference.get("answer") or reference.get("text", ""),
        "single_turn_metadata": {
            "env_id": record.env_id,
            "split": record.split,
            "simulator": record.simulator,
            "end_reason": record.end_reason,
            "seeds": [record.task_seed, record.reply_seed],
        },
        "turns": [
            {
                "prompt": [dict(message) for message in record.messages[:i]],
                "responses": [{"completion": record.messages[i]["content"], "score": record.reward}],
            }
            for i in range(1, len(record.messages), 2)
        ],
    }


def _flat(number: int, row: dict[str, Any]) -> list[dict[str, Any]]:
    about = {name: value for name, value in row.items() if name != "turns"}
    return [
        {
            "prompt": turn["prompt"],
            **turn["responses"][0],
            "conv_id": number,
            "turn_id": len(turn["prompt"]),
            **about,
            "sessions": [],
            "rewards": {},
        }
        for turn in row["turns"]
    ]
