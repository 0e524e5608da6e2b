"""People's dialogues from log files, and which fold each is judged in."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dialogue_gym.dialogue import Message
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.logs.importing import import_dialogues
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.user_turns import UserTurn, by_people, user_turns


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One person's dialogue.

    Attributes:
        name: tells it from the others; the same however often the files are read.
        data: where it comes from and what it is about; results are shown for each.
        group: dialogues of one group are on one side of every split: excerpts of the same chat.
        record: as imported.
        said: the turns at which the person went on; these are compared.
        turns: all of the person's turns, also the one that ended the dialogue.
    """

    name: str
    data: str
    group: str
    record: DialogueRecord
    said: tuple[UserTurn, ...]
    turns: tuple[UserTurn, ...]


def read_dialogues(
    paths: Sequence[str], user: str = "unknown", env_id: str | None = None
) -> tuple[list[Dialogue], str]:
    """The people's dialogues of log files that have at least one turn to compare, and an account.

    Args:
        paths: files of any format that ``import_dialogues`` knows.
        user: who spoke as the user in plain chat files; "people" where people did.
        env_id: the environment of plain chat files.

    Raises:
        ValueError: a file that cannot be read, or no dialogue of people in any.
    """
    imported = import_dialogues(paths, user=user, env_id=env_id)
    made = _named([_dialogue(record, i) for i, record in enumerate(imported.records) if by_people(record)])
    kept = [dialogue for dialogue in made if dialogue.said]
    account = (
        f"{imported.report.table()}\n{len(imported.records) - len(made):>8}  dialogues left out: not people\n"
        f"{len(made) - len(kept):>8}  dialogues left out: no turn to compare"
    )
    if not kept:
        raise ValueError(
            f"no dialogue of people in {', '.join(paths)}; people's are marked as such\n{account}"
        )
    return kept, account


def _named(dialogues: Sequence[Dialogue]) -> list[Dialogue]:
    """Files of one name in two folders have rows of the same names; these are numbered."""
    seen: Counter[str] = Counter()
    named = []
    for dialogue in dialogues:
        copies = seen[dialogue.name]
        seen[dialogue.name] += 1
        named.append(replace(dialogue, name=f"{dialogue.name}#{copies + 1}") if copies else dialogue)
    return named


def _dialogue(record: DialogueRecord, number: int) -> Dialogue:
    source = record.extra.get("source", {})
    place = f"{source.get('file', 'log')}:{source.get('row', number)}"
    group = record.extra.get("group") or source.get("id") or place
    origin = str(record.simulator.get("source", source.get("file", "log")))
    turns = tuple(user_turns(record, number))
    said = tuple(turn for turn in turns if not turn.reply.stop and turn.reply.text)
    kind = "math" if record.env_id.startswith("Math") else "documents"
    return Dialogue(place, f"{origin}, {kind}", f"{origin}/{group}", record, said, turns)


def fold_of(dialogues: Sequence[Dialogue], folds: int, seed: int) -> dict[str, int]:
    """In which fold each dialogue is judged, by name; groups stay whole, data sets are spread evenly.

    Raises:
        ValueError: fewer than two folds, or fewer groups than folds.
    """
    groups = sorted({(dialogue.data, dialogue.group) for dialogue in dialogues})
    if not 2 <= folds <= len(groups):
        raise ValueError(f"folds must lie between 2 and the {len(groups)} independent dialogues, got {folds}")
    order = NoiseKey(("folds", seed)).generator().permutation(len(groups))
    shuffled = sorted((groups[i] for i in order), key=lambda group: group[0])
    places: dict[str, int] = {}
    for i, (_, group) in enumerate(shuffled):
        places.setdefault(group, i % folds)
    return {dialogue.name: places[dialogue.group] for dialogue in dialogues}


def shortened(codec: ChatCodec, turn: UserTurn, tokens: int) -> UserTurn:
    """The turn after agents' messages cut to ``tokens``, beginning and end, as calibrated users read them."""
    conversation = tuple(_cut(codec, message, tokens) for message in turn.request.conversation)
    return replace(turn, request=replace(turn.request, conversation=conversation))


def _cut(codec: ChatCodec, message: Message, tokens: int) -> Message:
    ids = codec.content_ids(message["content"])
    if message["role"] == "user" or not tokens or len(ids) <= tokens:
        return message
    text = f"{codec.decode(ids[: tokens // 2])} ... {codec.decode(ids[-(tokens // 2) :])}"
    return {"role": message["role"], "content": text}
