"""The English that questions are made of: word forms, phrases, and words that mean nearly the same."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

_FORMS = {  # irregular forms, by what they are forms of
    "be": "is are was were been being am",
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
    "begin": "began begun",
    "grow": "grew grown",
    "win": "won",
    "keep": "kept",
    "know": "knew known",
    "teach": "taught",
    "meet": "met",
    "lead": "led",
    "leave": "leaving leaves",
    "go": "went gone goes",
    "come": "came",
    "cost": "costing",
    "child": "children kids kid",
    "colour": "color colors colored",
    "organise": "organize organizing organizes organizer organiser organized",
    "who": "whom whose whos who'll who'd",
    "please": "pls plz kindly pleas",
    "you": "u ya you'd you've you'll you're ur your yours",
    "i": "i'd i've i'll i'm im ive id",
    "we": "we'd we've we'll we're",
    "not": "cannot cant dont didnt doesnt isnt wasnt arent havent hasnt couldnt wouldnt",
    "what": "wat whats",
    "where": "wheres",
    "many": "mny",
    "information": "info",
}
_IRREGULAR = {form: base for base, forms in _FORMS.items() for form in (*forms.split(), base)}
_CONTRACTIONS = ("'s", "'re", "'ve", "'ll", "'d", "'m", "'")


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """What the forms of a lower-case word share; a slip of the finger in a known word is mended.

    Example:
        >>> [stem(word) for word in ("purchased", "purchases", "sold", "boxes", "mcuh", "isn't")]
        ['purchas', 'purchas', 'sell', 'box', 'much', 'not']
    """
    found = _stem(word)
    if found in _KNOWN or len(word) < 4:
        return found
    return _MISSPELT.get(found) or next((s for s in _swaps(found) if s in _KNOWN), found)


def _stem(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("n't"):
        return "not"
    for ending in _CONTRACTIONS:
        word = word.removesuffix(ending)
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    return _cut(word)


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


def stems(text: str) -> frozenset[str]:
    """The stems of the words of ``text``."""
    return frozenset(_stem(word) for word in text.split())


class Phrases:
    """A set of short phrases, found in a sentence by their first word; "|" parts them.

    Example:
        >>> Phrases("would you like|tell me").find(["could", "you", "tell", "me", "more"])
        (2, 4)
    """

    def __init__(self, text: str) -> None:
        self._by_first: dict[str, list[tuple[str, ...]]] = {}
        for phrase in text.split("|"):
            words = tuple(_stem(word) for word in phrase.split())
            self._by_first.setdefault(words[0], []).append(words)
        for phrases in self._by_first.values():
            phrases.sort(key=len, reverse=True)

    def words(self) -> Iterable[str]:
        """Every word of every phrase."""
        return (word for phrases in self._by_first.values() for words in phrases for word in words)

    def find(self, words: Sequence[str], start: int = 0) -> tuple[int, int] | None:
        """Begin and end of the first phrase at or after ``start``, None when there is none."""
        for i in range(start, len(words)):
            for phrase in self._by_first.get(words[i], ()):
                if tuple(words[i : i + len(phrase)]) == phrase:
                    return i, i + len(phrase)
        return None


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
        "person someone somebody organizer instructor tutor chair coordinator vendor hostess",
        "host run invite charge lead sell teach own contact call reach reply phone ask responsible hold",
    ),
    _concept("host", "who", "hosting organiser host", "invite throw give organise run plan arrange sign"),
    _concept("seller", "who", "vendor merchant salesperson host", "run organise charge hold"),
    _concept("teacher", "who", "instructor tutor coach", "teach give lead run"),
    _concept("leader", "who", "head chair president organiser coordinator", "lead run charge organise meet"),
    _concept("owner", "who", "holder", "belong own claim finder"),
    _concept("contact", "who", "phone telephone touch", "call reach reply ring notify question"),
    _concept(
        "place where location venue",
        "where",
        "building address spot site room street area locate whereabout neighborhood neighbourhood hall",
        "held happen go meet vanish disappear see",
    ),
    _concept("day date", "when", "weekday month dates calendar", "happen scheduled"),
    _concept("time hour", "when", "clock o'clock hours", "start begin open arrive scheduled kick"),
    _concept("thing object", "what", "pet animal item belonging", "lose lost miss look missing describe"),
    _concept(
        "goods product merchandise",
        "what",
        "product merchandise ware stuff thing item",
        "sell sale buy offer",
    ),
    _concept("event occasion", "what", "celebration gathering function", "celebrate invite"),
    _concept("subject topic", "what", "skill course lesson activity theme", "teach learn study about cover"),
    _concept("club group", "what", "activity hobby", "do"),
    _concept(
        "bring",
        "what",
        "contribution equipment supply",
        "bring carry contribute eat drink need pack along",
    ),
    _concept("colour", "what", "shade hue", "look appearance"),
    _concept("price cost", "", "fee charge rate pricing money much dollar worth", "pay cost charge"),
    _concept("reason cause why", "why", "purpose", "close shut"),
)

# What happens to amounts: a word of a fact stands for all of its line.
AMOUNTS = tuple(
    stems(line)
    for line in (
        "start begin beginning initial initially original originally first before already own "
        "possess possession "
        "previously earlier starting outset early have hold prior",
        "buy purchase get add more additional extra receive find pick increase collect gain acquire "
        "obtain win earn "
        "grow discover new another bring pluck gather fetch",
        "give lose sell remove eat use spend decrease hand misplace donate drop consume away gift "
        "part pass receive "
        "missing sale go discard",
        "sell sale vend",
        "lose misplace missing drop",
        "give gift donate hand pass away receive",
        "find discover",
        "use consume spend",
        "pick gather harvest collect pluck",
        "make create bake produce craft build prepare",
        "take remove",
        "put add place",
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
PRICE = stems("wage salary price cost costs priced pricing charge worth fee expensive")
QUANTITY = stems("many much number amount quantity count total figure value sum size tally") | PRICE
GENERIC = stems(
    "number amount value detail information missing quantity figure fact specific data piece rest "
    "else incomplete "
    "complete remaining anything something everything more gap blank particulars input factor "
    "include contain whole full entire"
)
# With these words a request is about what has not been named.
OPEN = stems("else rest other another missing remaining more detail information fact incomplete complete")
POINTING = stems("it that this them those these both one so exactly precisely each either which")
FINAL = stems("now left remain remaining finally final end afterwards after result")
TOTAL = stems("total altogether all together combined overall sum whole")
DIFFERENCE = stems("than difference fewer less")
ASKING = stems("how what which who where when why")
AUXILIARIES = stems("be do have will would can could should may might shall any must")
SAYING = stems(
    "say tell mention give state specify provide include list know clear told see indicate sure "
    "describe name supply "
    "share stated spell appear"
)
NEGATIONS = stems("not never nowhere neither nor no without")
REQUEST_VERBS = stems(
    "tell say specify provide state indicate give send supply list confirm clarify share fill name "
    "mention add "
    "describe remind complete include"
)
OPENERS = stems(
    "and so but ok okay also well then or hi hello hey great sure thank thanks please oh hmm now "
    "next question first "
    "alright right cool good one two three thing quick last finally plus for on at in of to by from "
    "with the a an um"
)
FILLERS = stems("also just still only really quickly perhaps maybe actually simply yet even currently kind")
STOP = stems(
    "a an the of to be do have it its this that there in on at for and or but so you i me my we us "
    "he she they him her "
    "their them his can could would will please tell know what which who when where why how many "
    "much some any with if "
    "not no as by from into up out off about is total number amount then than each every one more all our"
)
SUBORDINATE = stems("before after if because since while once though although until unless when as")

REQUESTS = Phrases(
    "may i|can i|could i|might i|can we|could we|may we|"
    "tell me|tell us|let me know|let us know|give me|give us|send me|remind me|could you|can you|"
    "would you|will you|"
    "do you know|do you have|do you remember|do you recall|i need|"
    "we need|need to know|notice need|need a|need the|need your|i require|we require|i miss|i am "
    "missing|be missing|"
    "missing|i lack|lack|i wonder|wonder|curious|want to know|like to know|love to know|like the|to "
    "know|have to ask|"
    "must ask|ask you|ask for|ask about|absent|leave out|left out|unclear|unknown|unspecified|"
    "unstated|omit|omitted|"
    "depend on|depends on|fill in|fill me in|fill us in|blank|care to|i would need|i would like|we "
    "would like|"
    "hope you can|you forget|forgot|forgotten|not sure|unsure|mind tell|how about|what about|"
    "if you tell me|if you give me|if you can tell|once you tell|when you tell|once i know|once i "
    "have|i not have|"
    "i do not have|we not have|we do not have|without it|without that|without the|without a|to ask|"
    "need from you|what i need|what we need|what i miss|remains unknown|needed|required"
)
_WORKING = "find figure add subtract multiply divide compute calculate work do take combine count use".split()
# Talk about the talk, offers, rhetoric: never a request for a fact.
TALK = Phrases(
    "make sense|mean|would you like|want me to|like me to|anything else i can|"
    "else can i|can i help|how can i|how may i|can i do|could i help|help you|be that clear|be that "
    "ok|be that okay|"
    "be that right|be that correct|be that fine|be this ok|be this right|be this what|be that what|"
    "be this correct|"
    "be this fine|do that|do this look|do this sound|do this work|do this help|do it look good|do it "
    "look right|do it look ok|do these look|mind if|be it ok|be everything|do you understand|do you "
    "see|do you follow|"
    "do you think|"
    "do you agree|do you like|do you need|do you want to|do you love|do you enjoy|do you get|do you "
    "have any question|"
    "do you have question|have question|sound good|sound ok|ready|be you sure|how be you|see why|"
    "what do you think|how do that|how do this|how do it|if you need|if you want|if you have|next "
    "problem|next one|"
    "what grade|which grade|let us see|let me see|let me double|let me check|let me try|be not it|"
    "any question|any change|"
    "any edit|let me know if|let me know when|let me know whether|let me know once|you ask|be you asking|"
    "you want to find|feel free|do you try|have you try|what operation|which operation|happy to|glad "
    "to|you happy|"
    "how do i|how do we|how can we|how should we|how should i|how would we|how would you|how do you|"
    "how can you|"
    "how could we|how will we|who do not|who not|who love|who want|who like|who say|who know|why not|"
    "what if|what a|have you see|have you ever|you need|you ready|have everything|have all|get "
    "everything|get all|that be all|thank for|"
    "thank you for|thanks for|can you see|can you try|can you explain|can you find|could you explain|"
    "can you solve|"
    "can you figure|you can see|as you can|you know|we know|i know|i see|you say|you tell|you give|"
    "you mention|i have the|"
    "i have your|i get the|you already|we have the|we be tell|we be give|we have|now that|how many "
    "word|how many line|"
    "you try|what be next|remember that|remember to|note that|to find|to get|to work|to compare|to "
    "solve|to answer|"
    "to compute|to calculate|to figure|to make sure|which mean|what we|what i|"
    "who be ready|what be you wait|where should i put|where do i put|where do you want|when do you "
    "need|be you ready|do you prefer|would you prefer|be there anything you|look for something|look "
    "for a|want to learn|want a|in search of|tired of|"
    + "|".join(
        f"{who} {wish} to {act}"
        for who in ("i", "we", "you")
        for wish in ("need", "want", "have")
        for act in _WORKING
    )
)
# Several words that mean one of the words above.
IDIOMS = {
    tuple(_stem(word) for word in phrase.split()): replacement
    for phrase, replacement in {
        "take place": "",
        "took place": "",
        "taking place": "",
        "taking part": "",
        "come home with": "get",
        "on top of": "additional",
        "on top": "additional",
        "to begin with": "start",
        "to start with": "start",
        "at first": "start",
        "take along": "bring",
        "bring along": "bring",
        "take with": "bring",
        "have with": "bring",
        "prior to": "before",
        "go missing": "lose",
        "get lost": "lose",
        "in charge": "charge",
        "show up": "arrive",
        "sell for": "cost",
        "go for": "cost",
        "in all": "altogether",
        "all in all": "altogether",
        "all together": "altogether",
        "end up with": "left",
        "end up": "left",
        "left over": "left",
        "for sale": "sale",
        "on sale": "sale",
        "on offer": "offer",
        "get in touch": "contact",
        "get rid of": "lose",
        "part with": "lose",
        "give out": "give",
        "set out": "place",
        "how come": "why",
        "what for": "why",
        "what time": "which time",
        "how much time": "how long",
    }.items()
}
LONGEST_IDIOM = max(map(len, IDIOMS))
# Words that judge what is already there ("is the time right?").
JUDGING = stems(
    "wrong right correct ok okay fine good change different prefer happy same equal important matter sense"
)
# What an agent may ask the user to do that is not telling a fact.
DOING = stems(
    "see try explain check read wait think imagine solve look hang print count guess believe work do "
    "show help write make leave suggest use put begin start move draft translate"
)
# How an advertisement goes on after a question of its own.
INVITING = stems("come join visit call contact meet stop drop hurry buy see then we our sign bring")
LIGHT = stems("get have take put more make")
SPANS = stems("minute hour day week month year second")
# Who, where and when of things that are no part of a notice.
ELSEWHERE = {
    "who": stems(
        "audience attend read reader guest play perform allow welcome come print publish join eligible"
    ),
    "where": stems("park post hang print publish pin put"),
    "when": stems("deadline finish draft notice print publish post hang"),
    "why": frozenset[str](),
}

_LISTED = (
    EACH,
    QUANTITY,
    GENERIC,
    POINTING,
    FINAL,
    TOTAL,
    DIFFERENCE,
    ASKING,
    AUXILIARIES,
    SAYING,
    NEGATIONS,
)
_OTHERS = (REQUEST_VERBS, OPENERS, FILLERS, STOP, SUBORDINATE, *ELSEWHERE.values(), *AMOUNTS, *THINGS)
_KNOWN: frozenset[str] = frozenset().union(
    *_LISTED,
    *_OTHERS,
    *(concept.nouns | concept.verbs for concept in CONCEPTS),
    _IRREGULAR.values(),
    (word for phrases in (REQUESTS, TALK) for word in phrases.words()),
)


def _deletions(word: str) -> set[str]:
    """The word with one letter less, the first letter kept."""
    return {word[:i] + word[i + 1 :] for i in range(1, len(word))}


def _swaps(word: str) -> Iterable[str]:
    """The word with two neighbouring letters exchanged, or with one letter less when it is long."""
    for i in range(1, len(word) - 1):
        yield word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    if len(word) > 5:
        yield from sorted(_deletions(word))


# A letter left out of a longer word.
_MISSPELT = {short: word for word in sorted(_KNOWN) if len(word) > 5 for short in _deletions(word)}
_MISSPELT = {short: word for short, word in _MISSPELT.items() if short not in _KNOWN}
