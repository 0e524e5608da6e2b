"""Keys and values of living dialogues, kept between calls so that no turn pays for the history again."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

_SPARE_COLUMNS = 64


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Writes into memory with room to spare, where a plain DynamicLayer copies all of it at every token.

    Attributes:
        buffers: keys and values with their room; None before the first token.
    """

    def __init__(self, buffers: tuple[torch.Tensor, torch.Tensor] | None, length: int) -> None:
        super().__init__()
        self.buffers = buffers
        self._length = length
        if buffers is not None:
            self.lazy_initialization(*buffers)
            self.keys, self.values = (buffer[:, :, :length] for buffer in buffers)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self._length = self._length, self._length + key_states.shape[-2]
        before = self.buffers or (None, None)
        keys = _with_room(before[0], key_states, start, self._length)
        values = _with_room(before[1], value_states, start, self._length)
        keys[:, :, start : self._length] = key_states
        values[:, :, start : self._length] = value_states
        self.buffers = keys, values
        self.keys, self.values = keys[:, :, : self._length], values[:, :, : self._length]
        return self.keys, self.values


def _with_room(buffer: torch.Tensor | None, like: torch.Tensor, used: int, needed: int) -> torch.Tensor:
    if buffer is not None and buffer.shape[2] >= needed:
        return buffer
    rows, heads, _, size = like.shape
    larger = like.new_empty(rows, heads, _room(needed), size)
    if buffer is not None:
        larger[:, :, :used] = buffer[:, :, :used]
    return larger


def _room(columns: int) -> int:
    """With a quarter to spare, so that a dialogue's memory is laid out anew a few times only."""
    return columns + max(_SPARE_COLUMNS, columns // 4)


@dataclass(slots=True, eq=False)
class _Group:
    """The tensors that one call left behind.

    Attributes:
        layers: (keys, values) per layer, shape (rows, heads, columns, size).
        heads: of each row, how many of its tokens lie in the first columns.
        shifts: of each row, token i lies in column i + shift from there on.
        length: columns in use.
    """

    layers: list[tuple[torch.Tensor, torch.Tensor]]
    heads: list[int]
    shifts: list[int]
    length: int

    def close_gaps(self) -> None:
        """Move tokens so that token i of each row lies in column i; only the last call's are touched."""
        if not any(self.shifts):
            return
        begin, end = min(self.heads), self.length
        device = self.layers[0][0].device
        columns = torch.arange(begin, end, device=device)
        heads = torch.tensor(self.heads, device=device).unsqueeze(1)
        shifts = torch.tensor(self.shifts, device=device).unsqueeze(1)
        source = (columns + (columns >= heads) * shifts).clamp(max=end - 1) - begin
        rows = torch.arange(len(self.heads), device=device).unsqueeze(1)
        for pair in self.layers:
            for tensor in pair:
                part = tensor[:, :, begin:end]
                part.copy_(part.transpose(1, 2)[rows, source].transpose(1, 2))
        self.shifts = [0] * len(self.shifts)

    def keep_rows(self, rows: list[int]) -> None:
        """Drop the others."""
        index = torch.tensor(rows, device=self.layers[0][0].device)
        self.layers = [(keys[index], values[index]) for keys, values in self.layers]
        self.heads, self.shifts = [self.heads[i] for i in rows], [self.shifts[i] for i in rows]


@dataclass(slots=True)
class _Row:
    """Where one dialogue's keys and values lie, and of which tokens they are."""

    group: _Group
    index: int
    tokens: list[int]


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
        cache, width = DynamicCache(config=self._config), max(reuse)
        rows = [self._rows[i] if tokens else None for i, tokens in zip(dialogue_ids, reuse, strict=True)]
        if not width:
            layers = [_RoomyLayer(None, 0) for _ in cache.layers]
        elif group := _whole_group(rows, width + spare):
            for dialogue_id in dialogue_ids:  # their memory goes to the call, which saves them again
                del self._rows[dialogue_id]
            layers = [_RoomyLayer(pair, width) for pair in group.layers]
        else:
            layers = _gathered(rows, width, _room(width + spare))
        _clear_holes(layers, reuse)
        cache.layers[:] = layers
        return cache

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
        columns = cache.layers[0].keys.shape[2]
        group = _Group([layer.buffers for layer in cache.layers], list(heads), list(shifts), columns)
        for i, (dialogue_id, row) in enumerate(zip(dialogue_ids, tokens, strict=True)):
            self._rows.pop(dialogue_id, None)  # to the young end of the dict
            self._rows[dialogue_id] = _Row(group, i, row)
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
            if 2 * len(rows) <= len(group.heads):
                group.keep_rows([row.index for row in rows])
                for i, row in enumerate(rows):
                    row.index = i


def _whole_group(rows: Sequence[_Row | None], columns: int) -> _Group | None:
    """The group that the rows are, in its order, where it has room for so many columns; its gaps closed."""
    group = rows[0].group if rows[0] else None
    if group is None or len(rows) != len(group.heads) or group.layers[0][0].shape[2] < columns:
        return None
    if any(row is None or row.group is not group or row.index != i for i, row in enumerate(rows)):
        return None
    group.close_gaps()
    return group


def _gathered(rows: Sequence[_Row | None], width: int, room: int) -> list[_RoomyLayer]:
    """New layers with the first ``width`` columns of the rows, wherever they lie; the rest is anything."""
    sources: dict[int, tuple[_Group, list[int], list[int]]] = {}
    for target, row in enumerate(rows):
        if row is not None:
            _, targets, indices = sources.setdefault(id(row.group), (row.group, [], []))
            targets.append(target)
            indices.append(row.index)
    for group, _, _ in sources.values():
        group.close_gaps()
    layers = []
    for i, like in enumerate(next(iter(sources.values()))[0].layers):
        keys, values = (t.new_empty(len(rows), t.shape[1], room, t.shape[3]) for t in like)
        for group, targets, indices in sources.values():
            _copy_rows(keys, targets, group.layers[i][0], indices, width)
            _copy_rows(values, targets, group.layers[i][1], indices, width)
        layers.append(_RoomyLayer((keys, values), width))
    return layers


def _copy_rows(
    buffer: torch.Tensor, targets: list[int], source: torch.Tensor, indices: list[int], width: int
) -> None:
    width = min(width, source.shape[2])
    index = torch.tensor(indices, device=source.device)
    if targets == list(range(targets[0], targets[0] + len(targets))):
        place = buffer[targets[0] : targets[0] + len(targets), :, :width]
        torch.index_select(source[:, :, :width], 0, index, out=place)
    else:
        picked = source[:, :, :width].index_select(0, index)
        buffer[:, :, :width].index_copy_(0, torch.tensor(targets, device=source.device), picked)


def _clear_holes(layers: Sequence[_RoomyLayer], reuse: Sequence[int]) -> None:
    """Zeros where a row has no token, because masked garbage could still be NaN."""
    begin, end = min(reuse), max(reuse)
    buffers = [buffer for layer in layers for buffer in layer.buffers or ()]
    if begin == end or not buffers:
        return
    columns = torch.arange(begin, end, device=buffers[0].device)
    starts = torch.tensor(reuse, device=buffers[0].device).unsqueeze(1)
    holes = (columns >= starts)[:, None, :, None]
    for buffer in buffers:
        buffer[:, :, begin:end].masked_fill_(holes, 0.0)
