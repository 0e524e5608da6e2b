"""Procedural short notices: six genres in four styles, from a closed vocabulary.

A *family* is a genre in a style ("invitation/formal"). Splits hold disjoint families, yet every genre
and every style occurs in training, so a held-out family is a new combination of known parts. The
user's goal names both ("a formal invitation"), so the form of the target can be told from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dialogue_gym.registry import nearest
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks.base import Brief, Fact, Kind, Reference, Task, check_split, task_sources


@dataclass(frozen=True, slots=True)
class Slot:
    """A kind of fact: the values it can take, how a user says it, what a question about it mentions."""

    values: tuple[str, ...]
    clause: str
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Genre:
    """The parts of a notice; styles put them in order.

    Attributes:
        noun: what the user calls it.
        main: the main clause, without capital or full stop.
        when: the phrase of time.
        where: the phrase of place (or of reason).
        request: the closing sentence.
        link: what takes up the main clause in a sentence of its own.
        slots: the facts, by name, in the order in which users think of them.
    """

    noun: str
    main: str
    when: str
    where: str
    request: str
    link: str
    slots: Mapping[str, Slot]


_NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Frank", "Grace", "Henry", "Lucy", "Omar")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TIMES = ("8 am", "9 am", "10 am", "11 am", "1 pm", "2 pm", "4 pm", "5 pm", "7 pm", "8 pm")
_PLACES = ("library", "hall", "park", "school", "museum", "garden", "cafe", "gym")
_ITEMS = ("bread", "tea", "soup", "cake", "fruit", "cheese", "juice", "salad")
_SUBJECTS = ("chess", "music", "yoga", "cooking", "drawing", "dance", "singing", "sewing")
_EVENTS = ("concert", "dinner", "picnic", "party", "play", "show", "game", "quiz")
_THINGS = ("bag", "ring", "hat", "key", "coat", "book", "bike", "phone")
_COLOURS = ("red", "blue", "green", "black", "white", "brown", "yellow", "gray")
_REASONS = ("cleaning", "repairs", "painting", "training", "testing", "storage")
# numbers that no time uses, so that a bare number names one fact only
_PRICES = ("3 dollars", "6 dollars", "12 dollars", "15 dollars", "20 dollars", "30 dollars")

_DAY = Slot(_DAYS, "it's {}", ("day", "date", "when"))
_TIME = Slot(_TIMES, "{} is the time", ("time", "hour", "clock", "start", "when"))
_PLACE = Slot(_PLACES, "it's at our {}", ("place", "where", "location", "venue"))
_BRING = Slot(_ITEMS, "people should have {} with them", ("bring", "item", "food", "need"))

GENRES: Mapping[str, Genre] = {
    "invitation": Genre(
        noun="invitation",
        main="{host} invites you to a {event}",
        when="on {day} at {time}",
        where="in the {place}",
        request="Please bring {item}.",
        link="This is",
        slots={
            "host": Slot(_NAMES, "{} is the host", ("who", "host", "name", "invites", "inviting")),
            "event": Slot(_EVENTS, "it's for a {}", ("what", "event", "kind", "occasion")),
            "day": _DAY,
            "time": _TIME,
            "place": _PLACE,
            "item": _BRING,
        },
    ),
    "lost": Genre(
        noun="lost notice",
        main="{owner} lost a {colour} {thing}",
        when="on {day}",
        where="in the {place}",
        request="Please call {owner} if you can help.",
        link="This was",
        slots={
            "owner": Slot(_NAMES, "the owner is {}", ("who", "owner", "name", "whose", "call", "contact")),
            "thing": Slot(_THINGS, "my {} is gone", ("what", "thing", "item", "object")),
            "colour": Slot(_COLOURS, "it's {}", ("colour", "color", "look", "looks")),
            "day": Slot(_DAYS, "it went missing {}", ("day", "date", "when")),
            "place": Slot(_PLACES, "I last had it at our {}", ("place", "where", "location")),
        },
    ),
    "sale": Genre(
        noun="sale notice",
        main="{seller} sells {item}",
        when="on {day} at {time}",
        where="in the {place}",
        request="The price is {price}.",
        link="This is",
        slots={
            "seller": Slot(_NAMES, "the seller is {}", ("who", "seller", "name", "selling")),
            "item": Slot(_ITEMS, "it's {} we have", ("what", "item", "goods", "sold", "food")),
            "day": _DAY,
            "time": _TIME,
            "place": _PLACE,
            "price": Slot(_PRICES, "it costs {}", ("price", "cost", "much", "pay", "dollars")),
        },
    ),
    "class": Genre(
        noun="class notice",
        main="{teacher} teaches a {subject} class",
        when="on {day} at {time}",
        where="in the {place}",
        request="Please bring {item}.",
        link="This is",
        slots={
            "teacher": Slot(_NAMES, "the teacher is {}", ("who", "teacher", "name", "teaches", "teaching")),
            "subject": Slot(_SUBJECTS, "it's about {}", ("what", "subject", "topic", "class", "kind")),
            "day": _DAY,
            "time": _TIME,
            "place": _PLACE,
            "item": _BRING,
        },
    ),
    "closing": Genre(
        noun="closing notice",
        main="the {place} is closed",
        when="on {day} from {time}",
        where="for {reason}",
        request="Please call {contact} with questions.",
        link="This is",
        slots={
            "place": Slot(_PLACES, "our {} shuts", ("what", "place", "where", "closed", "closes")),
            "day": _DAY,
            "time": _TIME,
            "reason": Slot(_REASONS, "there will be {}", ("why", "reason", "cause")),
            "contact": Slot(_NAMES, "{} can answer people", ("who", "contact", "name", "call")),
        },
    ),
    "meeting": Genre(
        noun="meeting notice",
        main="the {club} club meets",
        when="on {day} at {time}",
        where="in the {place}",
        request="Please meet {leader} and bring {item}.",
        link="This is",
        slots={
            "club": Slot(_SUBJECTS, "we do {}", ("what", "which", "club", "kind", "group")),
            "leader": Slot(_NAMES, "the leader is {}", ("who", "leader", "name", "leads")),
            "day": _DAY,
            "time": _TIME,
            "place": _PLACE,
            "item": _BRING,
        },
    ),
}

STYLES: Mapping[str, str] = {
    "plain": "{main} {when} {where}. {request}",
    "day-first": "{when} {main} {where}. {request}",
    "friendly": "Hello friends! {request} {main} {where} {when}.",
    "formal": "Dear all, {main}. {link} {where} {when}. {request} Thank you.",
}

_HELD_OUT = {
    "test": ("invitation/formal", "lost/day-first", "sale/friendly", "class/plain"),
    "validation": ("closing/day-first", "meeting/friendly"),
}


def split_families() -> dict[str, tuple[str, ...]]:
    """The families of each split; no family is in two.

    Example:
        >>> {split: len(families) for split, families in split_families().items()}
        {'train': 18, 'validation': 2, 'test': 4}
    """
    held_out = {family for families in _HELD_OUT.values() for family in families}
    every = [f"{genre}/{style}" for genre in GENRES for style in STYLES]
    train = tuple(family for family in every if family not in held_out)
    return {"train": train, "validation": _HELD_OUT["validation"], "test": _HELD_OUT["test"]}


def _parts(family: str) -> tuple[Genre, str]:
    genre, _, style = family.partition("/")
    if genre not in GENRES or style not in STYLES:
        every = [name for families in split_families().values() for name in families]
        raise ValueError(f"unknown document family {family!r}: {nearest(family, every)}")
    return GENRES[genre], style


def family_goal(family: str) -> str:
    """What a user who wants a notice of this family asks for.

    Example:
        >>> family_goal("lost/day-first")
        'a day-first lost notice'
    """
    genre, style = _parts(family)
    return f"a {style} {genre.noun}"


def family_template(family: str) -> str:
    """The notice of a family with ``{fact name}`` where values belong.

    Raises:
        ValueError: no such family; the message offers the nearest.

    Example:
        >>> family_template("class/day-first")
        'On {day} at {time} {teacher} teaches a {subject} class in the {place}. Please bring {item}.'
    """
    genre, style = _parts(family)
    text = STYLES[style].format(
        main=genre.main, when=genre.when, where=genre.where, request=genre.request, link=genre.link
    )
    # every sentence starts with a capital, whichever part comes first
    head, mark, tail = text.rpartition(". ") if style == "friendly" else ("", "", text)
    return head + mark + tail[0].upper() + tail[1:]


def render_notice(family: str, facts: Mapping[str, str]) -> str:
    """The notice that states ``facts`` (values by fact name) in the form of ``family``.

    Raises:
        ValueError: no such family, or a fact of its genre is missing.

    Example:
        >>> facts = dict(owner="Ben", thing="hat", colour="red", day="Friday", place="park")
        >>> render_notice("lost/plain", facts)
        'Ben lost a red hat on Friday in the park. Please call Ben if you can help.'
    """
    genre, _ = _parts(family)
    missing = [name for name in genre.slots if name not in facts]
    if missing:
        raise ValueError(f"a notice of the family {family!r} needs the fact {missing[0]!r}")
    return family_template(family).format(**facts)


class ProceduralDocuments:
    """Notices made from templates; see the module's docstring.

    Example:
        >>> task = ProceduralDocuments().draw("train", NoiseKey((0,)))
        >>> task.split, all(fact.value in task.reference.text for fact in task.brief.facts)
        ('train', True)
    """

    kind: Kind = "document"

    def draw(self, split: str, key: NoiseKey) -> Task:
        """The task of ``split`` that belongs to ``key``.

        Raises:
            ValueError: unknown split.
        """
        check_split(split)
        family = key.child("family").choice(split_families()[split])
        genre, _ = _parts(family)
        facts = tuple(_draw_fact(name, slot, key.child(name)) for name, slot in genre.slots.items())
        values = {fact.name: fact.value for fact in facts}
        goal = family_goal(family)
        # a hash, so that the id of a task tells nothing of what it asks
        name = f"{NoiseKey((family, *values.values())).seed():013x}"
        return Task(
            id=f"notice-{name}",
            kind="document",
            brief=Brief(
                goal=goal,
                facts=facts,
                text=f"Please write {goal}: " + ", ".join(fact.text for fact in facts) + ".",
                genre=family.partition("/")[0],
            ),
            reference=Reference(text=render_notice(family, values), facts=tuple(values.values())),
            split=split,
            family=family,
        )

    def identity(self) -> dict[str, object]:
        """JSON-able name and options, for logs."""
        return {"name": "procedural"}


def _draw_fact(name: str, slot: Slot, key: NoiseKey) -> Fact:
    value = key.child("value").choice(slot.values)
    slip = key.child("slip").choice([other for other in slot.values if other != value])
    return Fact(name, value, slot.clause.format(value), slip=slip, topics=slot.topics)


task_sources["document"].register("procedural", ProceduralDocuments)
