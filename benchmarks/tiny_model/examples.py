"""From recorded dialogues to training rows: the same dialogue from the agent's and from the user's side."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from dialogue_gym.dialogue import Message
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.base import UserRequest
from dialogue_gym.simulators.personas import Persona
from dialogue_gym.simulators.prompted import STOP_MARK, user_view
from dialogue_gym.tasks import task_from_dict

Row = tuple[list[int], list[int]]
"""Token ids and, for each, 1 where it is to be learned."""


def agent_messages(record: DialogueRecord) -> list[Message]:
    """What the agent says and hears, without a last user message that nobody answers."""
    messages = record.messages
    return messages if messages[-1]["role"] == "assistant" else messages[:-1]


def user_messages(record: DialogueRecord) -> list[Message]:
    """The dialogue as a compact-prompted user sees it; ends with the user's last message."""
    if record.task is None:
        raise ValueError("a dialogue without a task has no user's view")
    task = task_from_dict(record.task)
    messages = record.messages if record.messages[-1]["role"] == "user" else record.messages[:-1]
    request = UserRequest(0, task.kind, task.brief, Persona(), messages, NoiseKey(()))
    view = user_view(request, "compact")
    if record.end_reason == "user_stop":
        view[-1]["content"] += f" {STOP_MARK}"
    return view


def encode_row(codec: ChatCodec, messages: Sequence[Message]) -> Row:
    """Ids of the whole view; the assistant's messages and their end-of-turn tokens are learned."""
    ids: list[int] = []
    mask: list[int] = []
    heard: list[Message] = []
    for message in messages:
        if message["role"] != "assistant":
            heard.append(message)
            continue
        context = codec.encode(heard) if not ids else codec.extend(heard)
        reply = [*codec.content_ids(message["content"]), codec.end_of_turn_id]
        ids += context + reply
        mask += [0] * len(context) + [1] * len(reply)
        heard = []
    return ids, mask


def batches(rows: Sequence[Row], size: int, seed: int) -> Iterator[Sequence[Row]]:
    """Endless shuffled batches of rows of like length.

    Raises:
        ValueError: fewer rows than a batch.
    """
    at_once = min(16, len(rows) // size)  # batches that are sorted by length together
    if not at_once:
        raise ValueError(f"a batch of {size} needs as many rows, got {len(rows)}")
    epoch, pool = 0, at_once * size
    while True:
        order = NoiseKey((seed, "epoch", epoch)).generator().permutation(len(rows))
        for start in range(0, len(rows) - pool + 1, pool):
            part = sorted((int(i) for i in order[start : start + pool]), key=lambda i: len(rows[i][0]))
            shuffled = NoiseKey((seed, "pool", epoch, start)).generator().permutation(at_once)
            for b in shuffled:
                yield [rows[i] for i in part[b * size : (b + 1) * size]]
        epoch += 1


def token_loss(model: Any, batch: Sequence[Row], pad: int) -> tuple[torch.Tensor, int]:
    """Summed cross-entropy (nats) of the learned tokens, and how many they are."""
    width = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([row + [pad] * (width - len(row)) for row, _ in batch])
    mask = torch.tensor([m + [0] * (width - len(m)) for _, m in batch])[:, 1:].bool()
    hidden = model.model(input_ids=ids).last_hidden_state[:, :-1][mask]
    logits = model.lm_head(hidden)
    loss = torch.nn.functional.cross_entropy(logits, ids[:, 1:][mask], reduction="sum")
    return loss, int(mask.sum())
