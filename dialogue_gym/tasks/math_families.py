"""Template families of the procedural math problems.

A family is one story with one arithmetic structure. Families, not problems, are held out: a policy
that is tested on the "test" split has never seen these stories, although it has seen their words.
``{n}`` and ``{m}`` are people, ``{i}`` is what is counted, ``{a}`` ``{b}`` ``{c}`` ``{d}`` are numbers.
"""

from dataclasses import dataclass

NAMES = ("Tom", "Anna", "Ben", "Clara", "Omar", "Lucy", "Raj", "Mei", "Paul", "Sara")
ITEMS = ("apples", "books", "marbles", "coins", "pencils", "stickers", "cards", "eggs")

# What a question about a fact may call it, by the part that the fact plays in the story.
_START = (
    "start begin beginning began started initial initially originally original first before had already have "
    "early earlier at own possess hold owned"
)
_GAIN = (
    "buy buys bought purchase purchased purchases get got add added adds more additional extra receive "
    "find finds found put puts change new pick picks picked increase bring collect gain acquired acquire "
    "later after"
)
_LOSS = (
    "give gives gave given away lose loses lost sell sells sold take takes took out remove removed "
    "eat ate use used spend change decrease gone later after off part"
)
_EACH = "each per every apiece one single size hold inside contain contains individual capacity"
_GROUPS = "boxes box bags bag rows row groups group packs containers"
_PRICE = "cost costs price prices priced worth charge each per dollars dollar apiece one single pay ticket"
_TOTAL = "start begin beginning total initially have had all altogether whole originally"
_SHARE = "friends friend people persons share shares sharing split divide divided among between"


@dataclass(frozen=True, slots=True)
class FactTemplate:
    """A fact of a family: clause, the clause without the number, a question for it, its topics."""

    name: str
    slot: str
    text: str
    vague: str
    question: str
    topics: str


@dataclass(frozen=True, slots=True)
class Family:
    """A story. ``formula`` is read by ``tasks.math.evaluate``: slots and + - * / from left to right."""

    name: str
    split: str
    level: int
    formula: str
    goal: str
    facts: tuple[FactTemplate, ...]
    unit: str = "{i}"


def _has(slot: str = "a", who: str = "n", name: str = "start") -> FactTemplate:
    return FactTemplate(
        name,
        slot,
        f"{{{who}}} has {{{slot}}} {{i}}",
        f"{{{who}}} has some {{i}}",
        f"How many {{i}} does {{{who}}} have{' at the start' if name == 'start' else ''}?",
        _START if name == "start" else f"{{{who}}} has have had own",
    )


def _does(
    verb: str,
    base: str,
    *,
    slot: str = "b",
    who: str = "n",
    tail: str = "",
    name: str = "change",
    more: bool = False,
) -> FactTemplate:
    """A fact of the form "Tom buys 5 more marbles in the morning"."""
    end = f" {tail}" if tail else ""
    extra = " more" if more else ""
    topics = {"change": _GAIN if more else _LOSS}.get(name, "")
    return FactTemplate(
        name,
        slot,
        f"{{{who}}} {verb} {{{slot}}}{extra} {{i}}{end}",
        f"{{{who}}} {verb} some{extra} {{i}}{end}",
        f"How many{extra} {{i}} does {{{who}}} {base}{end}?",
        f"{verb} {base} {tail} {topics}" + (f" {{{who}}}" if name in ("first", "second") else ""),
    )


_BASKET = FactTemplate(
    "start",
    "a",
    "there are {a} {i} in the basket",
    "there are some {i} in the basket",
    "How many {i} are in the basket at the start?",
    _START,
)
_BOXES = FactTemplate(
    "groups", "a", "{n} has {a} boxes", "{n} has some boxes", "How many boxes does {n} have?", _GROUPS
)
_IN_EACH_BOX = FactTemplate(
    "each",
    "b",
    "there are {b} {i} in each box",
    "there are some {i} in each box",
    "How many {i} are in each box?",
    _EACH + " {i}",
)
_EACH_BAG = FactTemplate(
    "each",
    "b",
    "each bag has {b} {i}",
    "each bag has some {i}",
    "How many {i} does each bag have?",
    _EACH + " {i}",
)
_EACH_ROW = FactTemplate(
    "each",
    "b",
    "each row has {b} {i}",
    "each row has some {i}",
    "How many {i} does each row have?",
    _EACH + " {i}",
)


def _groups(verb: str, base: str, what: str) -> FactTemplate:
    return FactTemplate(
        "groups",
        "a",
        f"{{n}} {verb} {{a}} {what}",
        f"{{n}} {verb} some {what}",
        f"How many {what} does {{n}} {base}?",
        _GROUPS,
    )


_FRIENDS = FactTemplate(
    "groups",
    "b",
    "{n} shares them equally among {b} friends",
    "{n} shares them equally among some friends",
    "How many friends are there?",
    _SHARE,
)


def _into(what: str) -> FactTemplate:
    return FactTemplate(
        "groups",
        "b",
        f"{{n}} puts them equally in {{b}} {what}",
        f"{{n}} puts them equally in some {what}",
        f"How many {what} are there?",
        _GROUPS + " put puts",
    )


def _pair(verb: str, base: str, tails: tuple[str, str], who: str = "nn") -> tuple[FactTemplate, FactTemplate]:
    """Two facts of one kind that differ in when or by whom."""
    people = {"n": "n", "m": "m"}
    return (
        _does(verb, base, slot="a", who=people[who[0]], tail=tails[0], name="first"),
        _does(verb, base, slot="b", who=people[who[1]], tail=tails[1], name="second"),
    )


_NOW = "How many {i} does {n} have now?"
_LEFT = "How many {i} does {n} have left?"
_IN_ALL = "How many {i} does {n} {v} in all?"
_TOGETHER = "How many {i} do {n} and {m} {v} together?"
_MORE_THAN = "How many more {i} does {n} {v} than {m}?"
_BUYS, _FINDS = _does("buys", "buy", more=True), _does("finds", "find", more=True)
_PICKS = _does("picks", "pick", more=True)
_GIVES, _LOSES = _does("gives away", "give away"), _does("loses", "lose")
_SELLS, _USES = _does("sells", "sell"), _does("uses", "use")
_PUTS_IN = _does("puts", "put", tail="in", more=True)
_TAKES_OUT = _does("takes", "take", tail="out")
_DAY = ("in the morning", "in the afternoon")
_WEEK = ("on Monday", "on Tuesday")
_OWNERS = (_has("a", "n", "first"), _has("b", "m", "second"))


def _start(verb: str, base: str) -> FactTemplate:
    """The first amount, got by a verb: "Tom picks 12 apples"."""
    fact = _does(verb, base, slot="a", name="start")
    return FactTemplate("start", "a", fact.text, fact.vague, fact.question, f"{verb} {base} {_START}")


def _family(
    name: str,
    split: str,
    level: int,
    formula: str,
    goal: str,
    facts: tuple[FactTemplate, ...],
    verb: str = "have",
    unit: str = "{i}",
) -> Family:
    return Family(name, split, level, formula, goal.replace("{v}", verb), facts, unit)


_HAS_IN_ALL = "How many {i} does {n} have in all?"
_PER_BOX, _PER_BAG = "How many {i} are in each box?", "How many {i} are in each bag?"
_PER_FRIEND = "How many {i} does each friend get?"
_EACH_ONE = FactTemplate(
    "each",
    "b",
    "each one costs {b} dollars",
    "each one costs some dollars",
    "How many dollars does each one cost?",
    _PRICE,
)
_MAKES_ROWS, _HAS_ROWS = _groups("makes", "make", "rows"), _groups("has", "have", "rows")
_BUYS_BAGS, _MAKES_BAGS = _groups("buys", "buy", "bags"), _groups("makes", "make", "bags")
_HAS_BAGS, _BUYS_BOXES = _groups("has", "have", "bags"), _groups("buys", "buy", "boxes")
# third and fourth facts of longer stories
_THEN_FINDS = _does("finds", "find", slot="c", name="gain", more=True)
_THEN_GIVES = _does("gives away", "give away", slot="c", name="loss")
_THEN_LOSES, _THEN_SELLS = (
    _does(v, b, slot="c", name="loss") for v, b in (("loses", "lose"), ("sells", "sell"))
)


def _last(verb: str, base: str, name: str, more: bool = False) -> FactTemplate:
    return _does(verb, base, slot="d", name=name, more=more)


FAMILIES: tuple[Family, ...] = (
    # one step: gaining
    _family("gain.buy", "train", 1, "a+b", _NOW, (_has(), _BUYS)),
    _family("gain.find", "train", 1, "a+b", _NOW, (_has(), _FINDS)),
    _family("gain.basket", "train", 1, "a+b", "How many {i} are in the basket now?", (_BASKET, _PUTS_IN)),
    _family("gain.sell_day", "train", 1, "a+b", _IN_ALL, _pair("sells", "sell", _DAY), "sell"),
    _family("gain.make_day", "train", 1, "a+b", _IN_ALL, _pair("makes", "make", _DAY), "make"),
    _family("gain.buy_day", "train", 1, "a+b", _IN_ALL, _pair("buys", "buy", _DAY), "buy"),
    _family("gain.pick_week", "train", 1, "a+b", _IN_ALL, _pair("picks", "pick", _WEEK), "pick"),
    _family("gain.sell_week", "train", 1, "a+b", _IN_ALL, _pair("sells", "sell", _WEEK), "sell"),
    _family("gain.find_week", "train", 1, "a+b", _IN_ALL, _pair("finds", "find", _WEEK), "find"),
    _family("gain.owners", "train", 1, "a+b", _TOGETHER, _OWNERS),
    _family("gain.make_two", "train", 1, "a+b", _TOGETHER, _pair("makes", "make", ("", ""), "nm"), "make"),
    _family("gain.find_two", "train", 1, "a+b", _TOGETHER, _pair("finds", "find", ("", ""), "nm"), "find"),
    _family("gain.buy_two", "train", 1, "a+b", _TOGETHER, _pair("buys", "buy", ("", ""), "nm"), "buy"),
    _family("gain.pick", "validation", 1, "a+b", _NOW, (_has(), _PICKS)),
    _family("gain.pick_two", "test", 1, "a+b", _TOGETHER, _pair("picks", "pick", ("", ""), "nm"), "pick"),
    _family("gain.find_day", "test", 1, "a+b", _IN_ALL, _pair("finds", "find", _DAY), "find"),
    # one step: losing and comparing
    _family("loss.give", "train", 1, "a-b", _LEFT, (_has(), _GIVES)),
    _family("loss.lose", "train", 1, "a-b", _LEFT, (_has(), _LOSES)),
    _family("loss.sell", "train", 1, "a-b", _LEFT, (_has(), _SELLS)),
    _family("loss.basket", "train", 1, "a-b", "How many {i} are left in the basket?", (_BASKET, _TAKES_OUT)),
    _family("loss.pick_use", "train", 1, "a-b", _LEFT, (_start("picks", "pick"), _USES)),
    _family("loss.pick_lose", "train", 1, "a-b", _LEFT, (_start("picks", "pick"), _LOSES)),
    _family("loss.find_use", "train", 1, "a-b", _LEFT, (_start("finds", "find"), _USES)),
    _family("loss.buy_give", "train", 1, "a-b", _LEFT, (_start("buys", "buy"), _GIVES)),
    _family("loss.make_sell", "train", 1, "a-b", _LEFT, (_start("makes", "make"), _SELLS)),
    _family("loss.make_give", "train", 1, "a-b", _LEFT, (_start("makes", "make"), _GIVES)),
    _family("loss.buy_lose", "validation", 1, "a-b", _LEFT, (_start("buys", "buy"), _LOSES)),
    _family("loss.pick_give", "test", 1, "a-b", _LEFT, (_start("picks", "pick"), _GIVES)),
    _family("loss.find_sell", "test", 1, "a-b", _LEFT, (_start("finds", "find"), _SELLS)),
    _family("compare.owners", "train", 1, "a-b", _MORE_THAN, _OWNERS),
    _family("compare.sell", "train", 1, "a-b", _MORE_THAN, _pair("sells", "sell", ("", ""), "nm"), "sell"),
    _family("compare.make", "train", 1, "a-b", _MORE_THAN, _pair("makes", "make", ("", ""), "nm"), "make"),
    _family("compare.find", "train", 1, "a-b", _MORE_THAN, _pair("finds", "find", ("", ""), "nm"), "find"),
    _family("compare.pick", "test", 1, "a-b", _MORE_THAN, _pair("picks", "pick", ("", ""), "nm"), "pick"),
    # one step: groups
    _family("times.boxes", "train", 1, "a*b", _HAS_IN_ALL, (_BOXES, _IN_EACH_BOX)),
    _family("times.has_bags", "train", 1, "a*b", _HAS_IN_ALL, (_HAS_BAGS, _EACH_BAG)),
    _family("times.buy_boxes", "train", 1, "a*b", _IN_ALL, (_BUYS_BOXES, _IN_EACH_BOX), "buy"),
    _family("times.bags", "train", 1, "a*b", _IN_ALL, (_BUYS_BAGS, _EACH_BAG), "buy"),
    _family("times.rows", "train", 1, "a*b", _IN_ALL, (_MAKES_ROWS, _EACH_ROW), "make"),
    _family(
        "times.price",
        "train",
        1,
        "a*b",
        "How many dollars does {n} pay?",
        (_does("buys", "buy", slot="a", name="groups"), _EACH_ONE),
        unit="dollars",
    ),
    _family("times.has_rows", "validation", 1, "a*b", _HAS_IN_ALL, (_HAS_ROWS, _EACH_ROW)),
    _family("times.makes_bags", "test", 1, "a*b", _IN_ALL, (_MAKES_BAGS, _EACH_BAG), "make"),
    # one step: sharing
    _family("share.friends", "train", 1, "a/b", _PER_FRIEND, (_has(), _FRIENDS)),
    _family("share.buy_friends", "train", 1, "a/b", _PER_FRIEND, (_start("buys", "buy"), _FRIENDS)),
    _family("share.boxes", "train", 1, "a/b", _PER_BOX, (_has(), _into("boxes"))),
    _family("share.make_boxes", "train", 1, "a/b", _PER_BOX, (_start("makes", "make"), _into("boxes"))),
    _family("share.pick_bags", "train", 1, "a/b", _PER_BAG, (_start("picks", "pick"), _into("bags"))),
    _family("share.find_bags", "train", 1, "a/b", _PER_BAG, (_start("finds", "find"), _into("bags"))),
    _family("share.buy_bags", "validation", 1, "a/b", _PER_BAG, (_start("buys", "buy"), _into("bags"))),
    _family("share.pick_friends", "test", 1, "a/b", _PER_FRIEND, (_start("picks", "pick"), _FRIENDS)),
    # two steps
    _family("two.buy_give", "train", 2, "a+b-c", _LEFT, (_has(), _BUYS, _THEN_GIVES)),
    _family("two.lose_find", "train", 2, "a-b+c", _NOW, (_has(), _LOSES, _THEN_FINDS)),
    _family("two.boxes_more", "train", 2, "a*b+c", _HAS_IN_ALL, (_BOXES, _IN_EACH_BOX, _THEN_FINDS)),
    _family("two.bags_lose", "train", 2, "a*b-c", _LEFT, (_BUYS_BAGS, _EACH_BAG, _THEN_LOSES)),
    _family("two.rows_give", "validation", 2, "a*b-c", _LEFT, (_MAKES_ROWS, _EACH_ROW, _THEN_GIVES)),
    _family("two.find_sell", "test", 2, "a+b-c", _LEFT, (_has(), _FINDS, _THEN_SELLS)),
    _family("two.rows_more", "test", 2, "a*b+c", _HAS_IN_ALL, (_MAKES_ROWS, _EACH_ROW, _THEN_FINDS)),
    # three steps
    _family(
        "three.boxes",
        "train",
        3,
        "a*b+c-d",
        _LEFT,
        (_BOXES, _IN_EACH_BOX, _THEN_FINDS, _last("sells", "sell", "loss")),
    ),
    _family(
        "three.has",
        "train",
        3,
        "a+b-c-d",
        _LEFT,
        (_has(), _BUYS, _THEN_LOSES, _last("gives away", "give away", "gift")),
    ),
    _family(
        "three.bags",
        "validation",
        3,
        "a*b-c-d",
        _LEFT,
        (_BUYS_BAGS, _EACH_BAG, _THEN_LOSES, _last("sells", "sell", "sale")),
    ),
    _family(
        "three.rows",
        "test",
        3,
        "a*b-c+d",
        _LEFT,
        (_MAKES_ROWS, _EACH_ROW, _THEN_GIVES, _last("finds", "find", "gain", more=True)),
    ),
)
