"""The scorer of document dialogues: what is reachable, what does not pay."""

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialogue_gym.dialogue import Conversation
from dialogue_gym.rollout import PolicyRequest, RulePolicy
from dialogue_gym.scoring import DocumentScorer, Scorer, extract_draft, scorers
from dialogue_gym.scoring.documents import fact_share
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks.base import Brief, Fact, Reference, Task
from dialogue_gym.tasks.documents import ProceduralDocuments

SCORER = DocumentScorer()


def make(target: str, form: str, **facts: str) -> tuple[Task, str]:
    """A task, and the target's form with a slot for each fact."""
    told = tuple(Fact(name, value, f"the {name} is {value}") for name, value in facts.items())
    reference = Reference(text=target, facts=tuple(facts.values()))
    return Task("t", "document", Brief("write a notice", told, ""), reference, "test"), form


TASKS = [
    make(
        form.format(**facts),
        form,
        **facts,
    )
    for form, facts in [
        (
            "The {host} will meet on {day} at {time} in the {place}. Everyone is welcome. Bring {item}.",
            {"host": "chess club", "day": "Friday", "time": "7 pm", "place": "library", "item": "a board"},
        ),
        (
            "You are invited to a {event} on {day}. It starts at {time} at the {place}. Hosted by {host}.",
            {
                "event": "garden party",
                "day": "June 4",
                "time": "15:30",
                "place": "old mill",
                "host": "Ann Lee",
            },
        ),
        (
            "Notice to all residents: {what} will be closed on {day} from {time} for {why}. We are sorry.",
            {"what": "the lift", "day": "Monday", "time": "9 am", "why": "repairs"},
        ),
        (
            "Lost near {place}: a {colour} {what}. If you find it, call {host} on {phone}. Thank you.",
            {"place": "the park", "colour": "red", "what": "umbrella", "host": "Mia", "phone": "555 0199"},
        ),
        (
            "On {day}, {host} gives a free {what} lesson for beginners at {time}. Meet us in the {place}.",
            {"day": "Sunday", "host": "Coach Kim", "what": "yoga", "time": "10 am", "place": "gym"},
        ),
    ]
]


def dialogue(task: Task, *agent: str, style: str = "the {name} is {value}") -> Conversation:
    """The user opens, tells two facts a turn, and thanks; the agent asks until its last message."""
    told = [style.format(name=fact.name, value=fact.value) for fact in task.brief.facts]
    user = ["hi, i need a notice", *[", ".join(told[i : i + 2]) for i in range(0, len(told), 2)], "thanks"]
    messages = []
    for i, text in enumerate(agent):
        messages += [
            {"role": "user", "content": user[min(i, len(user) - 1)]},
            {"role": "assistant", "content": text},
        ]
    return messages  # type: ignore[return-value]


ASK = ("What should it say?", "What else?", "Anything more?")
FRAMES = ("{}", "Draft: {}", "Here is the notice:\n\n{}\n\nShall I change anything?", "```\n{}\n```")
STYLES = ("the {name} is {value}", "{value}", "{name}: {value}", "it is {value} for the {name}")


@pytest.mark.parametrize(("task", "form"), TASKS)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("frame", FRAMES)
def test_told_facts_in_the_target_form_reach_nine_tenths(
    task: Task, form: str, style: str, frame: str
) -> None:
    draft = form.format(**{fact.name: fact.value for fact in task.brief.facts})
    conversation = dialogue(task, *ASK, frame.format(draft), "You're welcome!", style=style)
    assert SCORER.score(task, conversation).reward >= 0.9


@pytest.mark.parametrize(("task", "form"), TASKS)
def test_committing_in_the_first_turn_stays_below_half(task: Task, form: str) -> None:
    known = {fact.name: fact.value for fact in task.brief.facts[: len(task.brief.facts) // 3 or 1]}
    draft = form.format(**{fact.name: known.get(fact.name, "soon") for fact in task.brief.facts})
    assert SCORER.score(task, dialogue(task, draft)).reward <= 0.5


UNRELATED = [
    "The old ship sailed slowly past the harbour while gulls cried and children waved from the stones below.",
    "Interest rates rose again this quarter, which surprised most analysts who had expected a pause.",
    "To make the soup, chop two onions and fry them gently in butter until they are golden and soft.",
    "Photosynthesis converts light into chemical energy that plants store as sugar in their leaves.",
]


@pytest.mark.parametrize(("task", "form"), TASKS)
@pytest.mark.parametrize("text", UNRELATED)
def test_unrelated_text_earns_next_to_nothing(task: Task, form: str, text: str) -> None:
    assert SCORER.score(task, dialogue(task, *ASK, text)).reward <= 0.05


@pytest.mark.parametrize(("task", "form"), TASKS)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("joint", ["\n", " ", ". ", ", "])
@pytest.mark.parametrize("mark", ["", "Draft: ", "Here is the notice: "])
def test_parroting_does_not_pay(task: Task, form: str, style: str, joint: str, mark: str) -> None:
    asked = dialogue(task, *ASK, "x", style=style)
    user = [m["content"] for m in asked if m["role"] == "user"]
    for parrot in (user[-1], joint.join(user), joint.join(user).upper(), joint.join(reversed(user))):
        assert (
            SCORER.score(task, [*asked[:-1], {"role": "assistant", "content": mark + parrot}]).reward <= 0.3
        )
    repeated = dialogue(task, *user, style=style)
    assert SCORER.score(task, repeated).reward <= 0.3


def test_facts_are_whole_tokens() -> None:
    assert fact_share("see you at 17", ("7",)) == 0
    assert fact_share("see you at 7:30", ("7",)) == 0
    assert fact_share("see you at 7.", ("7",)) == 1
    assert fact_share("FRIDAY, 7PM, the\nold mill!", ("Friday", "7 pm", "old mill")) == 1
    assert fact_share("Fridays", ("Friday",)) == 0
    assert fact_share("it costs $5 (c++)", ("$5", "c++")) == 1


def test_no_facts_leaves_bleu_alone() -> None:
    task = Task(
        "t", "document", Brief("", (), ""), Reference(text="The gym is closed on Monday for repairs."), "test"
    )
    score = SCORER.score(task, dialogue(task, "The gym is closed on Monday for repairs."))
    assert score.reward == 1.0
    assert "facts" not in score.metrics
    shuffled = SCORER.score(task, dialogue(task, "repairs. for Monday on closed is gym The"))
    assert shuffled.reward < 0.5


DRAFTS = [
    (["Could you tell me the date?"], ""),
    (["You're welcome!"], ""),
    (["Draft: The club meets on Friday."], "The club meets on Friday."),
    (["Here's the notice:\nThe club meets on Friday.\nDoes that work?"], "The club meets on Friday."),
    (["```\nThe club meets on Friday.\n```\nShall I change it?"], "The club meets on Friday."),
    (["Sure! The club meets on Friday. Let me know if it works."], "The club meets on Friday."),
    (["Draft: The club meets on Friday.", "You're welcome!"], "The club meets on Friday."),
    (["Draft: The club meets on Friday.", "Draft: The club meets on Sunday."], "The club meets on Sunday."),
    (
        ["Draft: The club meets on Friday.", "The club meets on Sunday at noon."],
        "The club meets on Sunday at noon.",
    ),
    (
        [
            "Draft: On Friday at noon the club meets in the old hall, all welcome.",
            "It now has the other day in it.",
        ],
        "On Friday at noon the club meets in the old hall, all welcome.",
    ),
    (
        ["Draft: The club meets on Friday. Thank you very much. I hope this helps!"],
        "The club meets on Friday. Thank you very much.",
    ),
    (["Hello neighbours, the club meets on Friday."], "Hello neighbours, the club meets on Friday."),
]


@pytest.mark.parametrize(("agent", "draft"), DRAFTS)
def test_the_last_draft_is_found(agent: list[str], draft: str) -> None:
    messages = [
        m
        for text in agent
        for m in ({"role": "user", "content": "hm"}, {"role": "assistant", "content": text})
    ]
    assert extract_draft(messages) == draft  # type: ignore[arg-type]


def test_the_users_sentence_is_dropped_and_the_agents_kept() -> None:
    conversation = [
        {"role": "user", "content": "The club meets at noon! friday"},
        {"role": "assistant", "content": "Draft: the club meets at noon. Come and see us on Friday."},
    ]
    assert extract_draft(conversation) == "Come and see us on Friday."  # type: ignore[arg-type]


def test_what_the_user_says_after_the_draft_is_not_held_against_it() -> None:
    conversation = dialogue(TASKS[0][0], "Draft: The chess club meets at noon.")
    later = [*conversation, {"role": "user", "content": "The chess club meets at noon."}]
    assert extract_draft(later) == "The chess club meets at noon."  # type: ignore[arg-type]


PROCEDURAL = [
    ProceduralDocuments().draw(split, NoiseKey((i,))) for split in ("train", "test") for i in range(60)
]
FORMAL = [task for task in PROCEDURAL if task.family.endswith("/formal")]


@pytest.mark.parametrize("thanks", ["Thank you.", "thanks", "thank you"])
@pytest.mark.parametrize("frame", ["{}", "{}\n\nIs that fine?", "{} Let me know if it should change."])
def test_a_formal_notice_keeps_its_thank_you_though_the_user_said_the_same(thanks: str, frame: str) -> None:
    assert len({task.family for task in FORMAL}) >= 3
    for task in FORMAL:
        told = f"hi, I want {task.brief.goal}. " + ", ".join(fact.text for fact in task.brief.facts)
        conversation: Conversation = [
            {"role": "user", "content": told},
            {"role": "assistant", "content": "Is that all?"},
            {"role": "user", "content": thanks},
        ]
        (reply,) = RulePolicy("document").act([PolicyRequest(0, conversation, NoiseKey((1,)))])
        assert reply.text.startswith("Draft: Dear all, ")
        assert reply.text.endswith(" Thank you.")
        written = [*conversation, {"role": "assistant", "content": frame.format(reply.text)}]
        assert extract_draft(written) == task.reference.text  # type: ignore[arg-type]
        assert SCORER.score(task, written).metrics["bleu"] == 1.0  # type: ignore[arg-type]


def test_registered() -> None:
    scorer = scorers["document"].build("facts_and_bleu")
    assert isinstance(scorer, Scorer)
    assert scorer.identity()["name"] == "facts_and_bleu"


def test_words_cost() -> None:
    score = DocumentScorer(cost_per_word=0.1).score(TASKS[0][0], dialogue(TASKS[0][0], "What else then?"))
    assert score.reward == pytest.approx(-0.3)


@given(st.lists(st.tuples(st.text(max_size=80), st.text(max_size=80)), max_size=4))
@settings(max_examples=100, deadline=None)
def test_any_text_stays_within_bounds(pairs: list[tuple[str, str]]) -> None:
    messages = [
        m for u, a in pairs for m in ({"role": "user", "content": u}, {"role": "assistant", "content": a})
    ]
    score = SCORER.score(TASKS[0][0], messages)  # type: ignore[arg-type]
    assert 0.0 <= score.reward <= 1.0
    assert all(math.isfinite(value) for value in score.metrics.values())


@pytest.mark.parametrize(
    "fragment", ["a", "word ", "Draft: ", "```\n", "here is ", "\n", ". ", "?", '"', "*", "you"]
)
def test_a_megabyte_takes_bounded_time(fragment: str) -> None:
    text = fragment * (1_000_000 // len(fragment))
    started = time.process_time()
    for message in (text, "Draft: x " + text):
        SCORER.score(
            TASKS[0][0], [{"role": "user", "content": text}, {"role": "assistant", "content": message}]
        )
    assert time.process_time() - started < 4.0
