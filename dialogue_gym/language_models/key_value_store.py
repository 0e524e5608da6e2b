"""Keys and values of living dialogues, kept between calls so that no turn pays for the history again."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

_SPARE_COLUMNS = 64


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Writes into memory with room to spare, where a plain DynamicLayer copies all of it at every token."""

    def __init__(self, keys: torch.Tensor | None, values: torch.Tensor | None, length: int) -> None:
        super().__init__()
        self._buffers = (keys, values)
        self._length = length
        if keys is not None and values is not None:
            self.lazy_initialization(keys, values)
            self.keys, self.values = keys[:, :, :length], values[:, :, :length]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self._length = self._length, self._length + key_states.shape[-2]
        keys = _with_room(self._buffers[0], key_states, start, self._length)
        values = _with_room(self._buffers[1], value_states, start, self._length)
        keys[:, :, start : self._length] = key_states
        values[:, :, start : self._length] = value_states
        self._buffers = keys, values
        self.keys, self.values = keys[:, :, : self._length], values[:, :, : self._length]
        return self.keys, self.values


def _with_room(buffer: torch.Tensor | None, like: torch.Tensor, used: int, needed: int) -> torch.Tensor:
    if buffer is not None and buffer.shape[2] >= needed:
        return buffer
    rows, heads, _, size = like.shape
    larger = like.new_empty(rows, heads, needed + max(_SPARE_COLUMNS, needed // 4), size)
    if buffer is not None:
        larger[:, :, :used] = buffer[:, :, :used]
    return larger


@dataclass(slots=True, eq=False)
class _Group:
    """The tensors that one call left behind: (keys, values) per layer, shape (rows, heads, columns, size)."""

    layers: list[tuple[torch.Tensor, torch.Tensor]]


@dataclass(slots=True)
class _Row:
    """Where one dialogue's tokens lie: token i in column i, or i + ``shift`` from token ``head`` on."""

    group: _Group
    index: int
    tokens: list[int]
    head: int
    shift: int


class KeyValueStore:
    """Finds, gathers and keeps the keys and values of dialogues; losing any of them costs only time.

    Args:
        config: the model's; says which kind of layers its cache has.
        max_dialogues: the least recently used are dropped beyond this number.

    Raises:
        ValueError: for models whose cache forgets (sliding windows, recurrent states).
    """

    def __init__(self, config: Any, max_dialogues: int = 4096) -> None:
        kinds = {type(layer) for layer in DynamicCache(config=config).layers}
        if kinds != {DynamicLayer}:
            names = ", ".join(sorted(kind.__name__ for kind in kinds)) or "none"
            raise ValueError(
                f"this engine keeps every key and value and needs full attention; cache layers: {names}"
            )
        self._config = config
        self._max_dialogues = max_dialogues
        self._rows: dict[Hashable, _Row] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def clear(self) -> None:
        """Drop everything."""
        self._rows.clear()

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Drop these dialogues, known or not."""
        for dialogue_id in dialogue_ids:
            self._rows.pop(dialogue_id, None)
        self._compact()

    def reusable(self, dialogue_id: Hashable, context: Sequence[int]) -> int:
        """How many tokens at the start of ``context`` are here; never all, since the last one must be fed."""
        row = self._rows.get(dialogue_id)
        if row is None:
            return 0
        limit = min(len(row.tokens), len(context) - 1)
        if list(context[:limit]) == row.tokens[:limit]:
            return limit
        return next(i for i in range(limit) if context[i] != row.tokens[i])

    def open(self, dialogue_ids: Sequence[Hashable], reuse: Sequence[int], spare: int = 0) -> Any:
        """A transformers cache whose row i starts with the first ``reuse[i]`` tokens of dialogue i.

        Columns from ``reuse[i]`` to ``max(reuse)`` of row i are holes, to be masked out. There is room
        for ``spare`` more columns before memory is laid out anew.
        """
        cache = DynamicCache(config=self._config)
        width = max(reuse)
        sources: dict[int, tuple[_Group, list[int]]] = {}
        for target, (dialogue_id, tokens) in enumerate(zip(dialogue_ids, reuse, strict=True)):
            if tokens:
                group = self._rows[dialogue_id].group
                sources.setdefault(id(group), (group, []))[1].append(target)
        gathered = [self._gather(dialogue_ids, reuse, group, targets) for group, targets in sources.values()]
        for i in range(len(cache.layers)):
            cache.layers[i] = _filled_layer(i, gathered, len(reuse), width, spare)
        return cache

    def _gather(
        self, dialogue_ids: Sequence[Hashable], reuse: Sequence[int], group: _Group, targets: list[int]
    ) -> "_Gathered":
        rows = [self._rows[dialogue_ids[t]] for t in targets]
        device = group.layers[0][0].device
        source, head, shift, last = torch.tensor(
            [(r.index, r.head, r.shift, reuse[t] - 1) for r, t in zip(rows, targets, strict=True)],
            device=device,
        ).T.unsqueeze(2)
        columns = torch.arange(max(reuse), device=device).minimum(last)
        columns = columns + (columns >= head) * shift
        return _Gathered(group, torch.tensor(targets, device=device), source, columns)

    def save(
        self,
        cache: Any,
        dialogue_ids: Sequence[Hashable],
        tokens: Sequence[list[int]],
        heads: Sequence[int],
        shifts: Sequence[int],
    ) -> None:
        """Keep what a call computed.

        Args:
            cache: from ``open``, after the call's forward passes.
            dialogue_ids: of the rows.
            tokens: for each row, all tokens that are in the cache.
            heads: for each row, how many of them lie in the first columns.
            shifts: token i lies in column i + shift from there on.
        """
        group = _Group([(layer.keys, layer.values) for layer in cache.layers])
        for i, (dialogue_id, row, head, shift) in enumerate(
            zip(dialogue_ids, tokens, heads, shifts, strict=True)
        ):
            self._rows.pop(dialogue_id, None)  # to the young end of the dict
            self._rows[dialogue_id] = _Row(group, i, row, head, shift)
        for dialogue_id in list(self._rows)[: -self._max_dialogues]:
            del self._rows[dialogue_id]
        self._compact()

    def _compact(self) -> None:
        """Free the rows of dialogues that have left, where they are half of a group or more."""
        members: dict[int, list[_Row]] = {}
        for row in self._rows.values():
            members.setdefault(id(row.group), []).append(row)
        for rows in members.values():
            group = rows[0].group
            if 2 * len(rows) <= group.layers[0][0].shape[0]:
                index = torch.tensor([row.index for row in rows], device=group.layers[0][0].device)
                group.layers = [(keys[index], values[index]) for keys, values in group.layers]
                for i, row in enumerate(rows):
                    row.index = i


@dataclass(slots=True)
class _Gathered:
    """Rows of one group on their way to a new cache; ``source`` (n, 1), ``columns`` (n, width)."""

    group: _Group
    targets: torch.Tensor
    source: torch.Tensor
    columns: torch.Tensor

    def copy_into(self, buffer: torch.Tensor, layer: int, which: int) -> None:
        picked = self.group.layers[layer][which][self.source, :, self.columns]  # (n, width, heads, size)
        buffer[self.targets, :, : self.columns.shape[1]] = picked.transpose(1, 2)


def _filled_layer(layer: int, gathered: list[_Gathered], rows: int, width: int, spare: int) -> _RoomyLayer:
    """One layer of a new cache; holes hold zeros, because masked garbage could still be NaN."""
    if not gathered:
        return _RoomyLayer(None, None, 0)
    buffers = []
    for which in (0, 1):
        _, heads, _, size = gathered[0].group.layers[layer][which].shape
        buffer = gathered[0].group.layers[layer][which].new_empty(rows, heads, width + spare, size)
        buffer[:, :, :width] = 0
        for part in gathered:
            part.copy_into(buffer, layer, which)
        buffers.append(buffer)
    return _RoomyLayer(buffers[0], buffers[1], width)
