"""Rows as others write them, and what becomes of them when they are imported."""

import json
from pathlib import Path
from typing import Any

from dialogue_gym.logs import DialogueRecord, Imported, import_dialogues
from dialogue_gym.simulators.user_turns import user_turns


def chat(*texts: str, first: str = "user") -> list[dict[str, str]]:
    roles = ["user", "assistant"] if first == "user" else ["assistant", "user"]
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


def flat(conv: object, prompt: list[dict[str, str]], completion: str, score: float | None) -> dict[str, Any]:
    about = {"level": "1", "type": "counting"}
    return {
        "prompt": prompt, "completion": completion, "conv_id": conv, "score": score, "turn_id": len(prompt),
        "single_turn_prompt": "What is 2 + 3?", "single_turn_completion": "5", "single_turn_metadata": about,
    }  # fmt: skip


def bridge(number: str, *said: tuple[str, str]) -> dict[str, Any]:
    messages = [{"user": side, "text": text} for side, text in said]
    return {"c_id": number, "lesson_topic": "sums", "c_h": messages[:-1], "c_r": messages[-1:], "e": "guess"}


MESSAGES = {"id": "m1", "messages": chat("how many?", "five", "thanks")}
SHAREGPT = {"conversations": [{"from": "human", "value": "hi there"}, {"from": "gpt", "value": "hello"}]}
ARENA = {
    "user_queries": ["how do I add?", "and then?"],
    "ai_responses": ["count on", "stop"],
    "why_stop": "I knew enough.",
    "type": "Counting",
    "level": "Level 2",
    "model": "m",
    "overall_rating": 7,
    "problem_1_correctness": "correct",
}
DOCUMENTS = {
    "user_queries": ["a note please"],
    "ai_responses": ["Dear all"],
    "document_type": "note",
    "intent": "to write a note",
    "model": "m",
    "why_stop": "done",
    "bullet_points": ["when?"],
}
BRIDGE = bridge("7_1", ("tutor", "Ready?"), ("tutor", "Add them."), ("student", "6"), ("tutor", "No."))
MATHDIAL = {
    "qid": 1,
    "question": "How many\napples?",
    "conversation": "Teacher: (probing)Why: 4?|EOM|Teacher: Go on|EOM|Al: I add: 2|EOM|Teacher: (telling)Yes",
}


def lines(path: Path, *rows: object, end: str = "\n") -> Path:
    path.write_text(
        "\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows) + end, encoding="utf-8"
    )
    return path


def take(tmp_path: Path, *rows: object, **options: Any) -> Imported:
    return import_dialogues(lines(tmp_path / "rows.jsonl", *rows), **options)


def one(tmp_path: Path, row: object, **options: Any) -> DialogueRecord:
    imported = take(tmp_path, row, **options)
    assert imported.report.dropped == {}
    user_turns(imported.records[0])
    return imported.records[0]


def said(record: DialogueRecord) -> list[str]:
    return [message["content"] for message in record.messages]


def account(imported: Imported) -> dict[str, int]:
    """Rows dropped by reason, where the sums of the report agree."""
    report = imported.report
    dropped = {reason: len(rows) for reason, rows in report.dropped.items()}
    assert report.kept.total() == len(imported.records)
    assert report.read == report.kept.total() + report.folded.total() + sum(dropped.values())
    return dropped
