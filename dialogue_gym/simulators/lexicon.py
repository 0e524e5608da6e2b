"""The English that questions are made of: word forms, patterns, and words that mean nearly the same."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

_FORMS = {  # irregular forms, by what they are forms of
    "be": "is are was were been being am exist exists",
    "do": "does did done doing",
    "have": "has had having",
    "give": "gave given",
    "sell": "sold",
    "buy": "bought",
    "lose": "lost",
    "find": "found",
    "eat": "ate eaten",
    "get": "got gotten gets getting",
    "make": "made",
    "take": "took taken",
    "hold": "held",
    "pay": "paid",
    "spend": "spent",
    "bring": "brought",
    "tell": "told",
    "say": "said",
    "write": "wrote written",
    "see": "saw seen",
    "begin": "began begun",
    "grow": "grew grown",
    "win": "won",
    "keep": "kept",
    "know": "knew known",
    "teach": "taught",
    "meet": "met",
    "lead": "led",
    "leave": "leaving leaves left",
    "go": "went gone goes",
    "come": "came",
    "forget": "forgot forgotten",
    "sale": "sales",
    "could": "might",
    "bake": "baking",
    "child": "children kids kid",
    "colour": "color colors colored",
    "organise": "organize organizing organizes organizer organiser organized",
    "who": "whom whose whos who'll who'd",
    "please": "pls plz kindly",
    "you": "u ya you'd you've you'll you're ur your yours",
    "i": "i'd i've i'll i'm im ive id me my mine",
    "we": "we'd we've we'll we're us our",
    "not": "cannot cant dont didnt doesnt isnt wasnt arent havent hasnt couldnt wouldnt",
    "what": "wat wot whats whatever",
    "when": "wen",
    "many": "meny",
    "one": "1",
    "where": "wheres whereabouts whereabout",
    "number": "no.",
    "how": "hwo hw",
    "theme": "themes",
    "morning": "mornings",
    "evening": "evenings",
    "information": "info",
}
_IRREGULAR = {form: base for base, forms in _FORMS.items() for form in (*forms.split(), base)}
_CONTRACTION = re.compile(r"'(?:s|re|ve|ll|d|m)?$")


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """What the forms of a lower-case word share.

    Example:
        >>> [stem(word) for word in ("purchased", "purchases", "sold", "boxes", "isn't")]
        ['purchas', 'purchas', 'sell', 'box', 'not']
    """
    if word.endswith("n't"):
        return "not"
    word = word if word in _IRREGULAR else _CONTRACTION.sub("", word)
    found = _IRREGULAR.get(word) or _cut(word)
    return mend(found, _SLIPS) if len(found) > 3 else found


def _cut(word: str) -> str:
    """Cut the ending of a regular form."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("s") and len(word) > 3 and not word.endswith(("ss", "us", "is")):
        word = word[:-2] if word.endswith(("xes", "ches", "shes", "sses", "zes")) else word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            doubled = word[-1] == word[-2] and word[-1] not in "lsze"
            word = word[:-1] if doubled else word
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 and word not in _IRREGULAR else word


def mending(words: Iterable[str]) -> dict[str, set[str]]:
    """For each word of four letters or more, and each of its shortenings by one letter, the words."""
    table: dict[str, set[str]] = {}
    for word in words:
        if len(word) >= 4:
            for short in shortened(word):
                table.setdefault(short, set()).add(word)
    return table


def shortened(word: str) -> list[str]:
    """The word, and the word with one letter less; the first letter stays."""
    return [word, *(word[:i] + word[i + 1 :] for i in range(1, len(word)))]


def mend(word: str, table: dict[str, set[str]]) -> str:
    """The word of the table that one slip of the finger turned into ``word``, else ``word``.

    Example:
        >>> mend("mornign", mending(["morning"])), mend("mourning", mending(["morning"]))
        ('morning', 'morning')
    """
    for short in shortened(word) if len(word) >= 3 else ():
        for meant in sorted(table.get(short, ())):
            if _one_slip(word, meant):
                return meant
    return word


def _one_slip(word: str, meant: str) -> bool:
    """Whether a letter is missing, added or exchanged with its neighbour (or, in long words, wrong)."""
    if len(word) != len(meant):
        return min(len(word), len(meant)) >= 3
    if word == meant:
        return True
    wrong = [i for i in range(len(word)) if word[i] != meant[i]]
    if len(wrong) == 1:
        return len(word) >= 6
    i, j = wrong[0], wrong[-1]
    return len(wrong) == 2 and j == i + 1 and word[i] == meant[j] and word[j] == meant[i]


_SLIPS = mending(("what", "which", "where", "when", "many", "much", "number", "please"))


def stems(text: str) -> frozenset[str]:
    """The stems of the words of ``text``."""
    return frozenset(stem(word) for word in text.split())


def pattern(text: str) -> re.Pattern[str]:
    """A regular expression over stems with a space after each: a line for each way to say it.

    "*" stands for up to four words and "^" for the beginning.

    Example:
        >>> bool(pattern("not * (said|given)").search("it be not yet give "))
        True
    """
    text = "|".join(text.split("\n"))
    text = re.sub(r"[a-z']+", lambda match: f"(?:{stem(match[0])}_)", text)
    text = text.replace(" ", "").replace("_", " ").replace("*", r"(?:\S+ ){0,4}?")
    return re.compile(rf"(?<!\S)(?:{text})")


@dataclass(frozen=True, slots=True)
class Concept:
    """Words that ask for the same kind of thing.

    Attributes:
        core: words that mark a fact as being of this kind.
        asked: the question word for it, "" for quantities.
        nouns: words that name it whatever the question word is.
        verbs: words that point at it when the question word fits or none is there.
    """

    core: frozenset[str]
    asked: str
    nouns: frozenset[str]
    verbs: frozenset[str]


def _concept(core: str, asked: str, nouns: str, verbs: str = "") -> Concept:
    return Concept(stems(core), asked, stems(f"{core} {nouns}") - stems(verbs), stems(verbs))


# What a document says, by question word.
CONCEPTS = (
    _concept(
        "host owner seller teacher leader organiser name contact",
        "who",
        "person someone somebody tutor chair coordinator vendor hostess",
        "host run invite charge lead sell teach own contact call reach reply phone ask responsible hold",
    ),
    _concept("host", "who", "hosting organiser host", "invite throw give organise run plan arrange sign"),
    _concept("seller", "who", "vendor merchant salesperson host", "run organise charge hold"),
    _concept("teacher", "who", "instructor tutor coach trainer lecturer", "teach give lead run"),
    _concept("leader", "who", "head chair president organiser host", "lead run charge organise meet"),
    _concept("owner", "who", "holder", "belong own claim finder"),
    _concept("contact", "who", "phone telephone touch", "call reach reply ring notify question touch"),
    _concept(
        "place where location venue",
        "where",
        "building address spot site room street area locate neighborhood neighbourhood hall facility",
        "held happen go meet vanish disappear see",
    ),
    _concept("day date", "when", "weekday month calendar", "happen scheduled"),
    _concept("time hour", "when", "clock o'clock", "start begin open arrive scheduled kick"),
    _concept("thing object", "what", "pet animal item belonging", "lose miss look missing describe"),
    _concept("goods product merchandise", "what", "product ware stuff thing item", "sell sale buy offer"),
    _concept("event occasion", "what", "celebration gathering function", "celebrate invite"),
    _concept("subject topic", "what", "skill course lesson activity theme", "teach learn study about cover"),
    _concept("club group", "what", "activity hobby", "do"),
    _concept(
        "bring", "what", "contribution equipment supply", "bring carry contribute eat drink need pack take"
    ),
    _concept("colour", "what", "shade hue", "look appearance"),
    _concept("price cost", "", "fee charge rate pricing money much dollar worth", "pay cost charge"),
    _concept("reason cause why", "why", "purpose explanation motive", "close shut happen"),
)

# What happens to amounts: a word of a fact stands for all of its line.
AMOUNTS = tuple(
    stems(line)
    for line in (
        "start begin beginning initial initially original originally first before already own possess "
        "possession previously earlier starting outset early have hold prior pile heap stack",
        "buy purchase get add more additional extra receive find pick increase collect gain acquire "
        "obtain win earn grow discover new another bring pluck gather fetch home",
        "give lose sell remove eat use spend decrease hand misplace donate drop consume away gift part "
        "pass receive sale go discard",
        "sell sale vend",
        "lose misplace drop",
        "give gift donate hand pass away receive",
        "find discover",
        "use consume spend",
        "pick gather harvest collect pluck",
        "make create bake produce craft build prepare",
        "take remove pull",
        "put add place",
        "first before previous earlier prior day",
        "second next later after follow day",
        "morning breakfast",
        "afternoon lunch noon",
    )
)
# Nouns that count the same things.
THINGS = tuple(
    stems(line)
    for line in (
        "friend pal buddy mate person people companion child recipient",
        "box container carton crate package case",
        "bag sack pouch package container",
        "row line",
        "dollar money buck usd cost price cent",
    )
)
EACH = stems("each per every apiece individual individually single hourly daily weekly monthly yearly")
ONE = stems("a an one single")
PRICE = stems("wage salary price cost priced pricing charge worth fee expensive rate")
COUNTS = stems("number amount quantity count total sum")
QUANTITY = COUNTS | stems("many much figure value size tally pile heap stack")
GENERIC = stems(
    "number amount value detail information missing quantity figure fact specific data piece rest else "
    "incomplete complete remain anything something everything more gap blank particulars input factor "
    "include contain whole full entire all further additional"
)
# With these words a request is about what has not been named.
OPEN = stems(
    "else rest other another further additional missing remaining more detail information incomplete "
    "complete all"
)
POINTING = stems("it that this them those these they both one so exactly precisely each either which")
SAYING = stems("add include supply send list confirm clarify share describe remind post spell fill complete")
FINAL = stems("now left remain remaining finally final end afterwards after result")
TOTAL = stems("total altogether all together combined overall sum whole")
DIFFERENCE = stems("than difference fewer less")
ASKING = stems("how what which who where when why")
MANY = stems("many much")
AUXILIARIES = stems("be do have will would can could may should must shall any")
OPENERS = stems(
    "and so but ok okay also well then or hi hello hey great sure thank thanks please oh hmm now next "
    "question first alright right cool good one two three thing quick last lastly finally plus for on at "
    "in of to by from with the a an um again from into among between"
)
FILLERS = stems("also just still only really quickly perhaps maybe actually simply yet even currently")
STOP = stems(
    "a an the of to be do have it its this that there in on at for and or but so you i me my we us he she "
    "they him her their them his can could will would please tell know what which who when where why how "
    "many much some any with if not no as by from into up out off about is than then each every one more "
    "all our should must shall let like want need say give state mention provide share specify kind"
)
NEUTRAL = stems(
    "type sort kind exact precise specific particular exactly precisely correct thing item object unit "
    "question problem message text notice statement request worksheet page story exercise look check help "
    "solve answer find calculate work know people guest visitor everyone everybody member participant "
    "attendee friend else really such those here two three four step given write put in clear sure able "
    "remember list set same different group part involve talk come go use name other along before after "
    "because since during bit little few couple lot enough yet"
)
# Words that name nothing of any story.
EMPTY = STOP | NEUTRAL | POINTING | GENERIC | QUANTITY | AUXILIARIES | OPENERS
# Several words that mean one of the words above.
IDIOMS = {
    phrase: meant
    for phrases, meant in {
        "in all|all in all|all together": "altogether",
        "take place|takes place|took place|taking place|taking part": "happen",
        "to begin with|to start with|at first|in the first place": "at the start",
        "come home with|on top of|on top": "additional",
        "take along|bring along|take with|have with": "bring",
        "what is missing|what's missing": "which information",
        "went missing|go missing|get lost|get rid of|part with|parted with": "lose",
        "in charge": "leading",
        "show up": "arrive",
        "sell for|sells for|sold for|go for": "cost",
        "end up with|left over": "left",
        "for sale|on sale|on offer": "offered",
        "get in touch": "contact",
        "come across|comes across|came across": "find",
        "go up|goes up|went up": "increase",
        "go down|goes down|went down": "decrease",
        "were is|were are|were was|were will": "where is",
        "how come|what for": "why",
        "what time|how early|how late|how soon": "which time",
        "as well as": "and",
        "in order to": ", to",
        "prior to": "before",
    }.items()
    for phrase in phrases.split("|")
}
# Words that judge what is already there ("is the time right?").
JUDGING = stems("wrong right correct ok okay fine good change prefer happy equal important matter sense")
SPANS = stems("minute hour day week month year second")
DAYS = stems(
    "monday tuesday wednesday thursday friday saturday sunday today yesterday tomorrow weekend evening night"
)
# Who, where and when of things that are no part of a notice.
ELSEWHERE = {
    "who": stems(
        "audience attend read reader guest play perform allow welcome come print publish join eligible author"
    ),
    "where": stems("park post hang print publish pin put i"),
    "when": stems("deadline finish draft notice print publish post hang"),
    "why": frozenset[str](),
}
