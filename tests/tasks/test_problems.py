import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import ScriptedUser
from dialogue_gym.simulators.base import UserRequest
from dialogue_gym.simulators.personas import Persona
from dialogue_gym.simulators.questions import Inquiry
from dialogue_gym.simulators.scripted_judgement import read_message
from dialogue_gym.simulators.state import disclosure, says
from dialogue_gym.simulators.style import write
from dialogue_gym.tasks.answers import any_answer, boxed_answer, marked_answer
from dialogue_gym.tasks.problems import brief_of_problem

TRIANGLE = (
    r"In triangle $ABC$, $AB = 5$, $BC = 7.5$ and $\angle B = 60^\circ$. Point $D$ lies on $AC$. "
    r"If $\Delta = \frac{1}{2}$, what is $AD$? Express your answer as a common fraction."
)
ASY = (
    "Look at this.\n\n[asy]\ndraw((0,0)--(1,1)); // A. B\n[/asy]\n\nThe square has area 4. What is its side?"
)
GRID = "Rotate the matrix by 90 degrees:\n1 2 3\n4 5 6\n\nAnswer in the same form."
PERSONAS = [
    Persona(lowercase=low, punctuation=marks) for low, marks in itertools.product((True, False), repeat=2)
]


def test_formulas_are_told_sentence_by_sentence() -> None:
    brief = brief_of_problem(TRIANGLE)
    assert brief.goal == "What is $AD$?"
    assert [fact.text for fact in brief.facts] == [
        r"In triangle $ABC$, $AB = 5$, $BC = 7.5$ and $\angle B = 60^\circ$",
        "Point $D$ lies on $AC$",
        r"If $\Delta = \frac{1}{2}$",
        "Express your answer as a common fraction",
    ]


def test_blocks_stay_whole() -> None:
    brief = brief_of_problem(ASY)
    assert brief.goal == "What is its side?"
    assert "[asy]\ndraw((0,0)--(1,1)); // A. B\n[/asy]" in [fact.text for fact in brief.facts]
    grid = brief_of_problem(GRID)
    assert "1 2 3\n4 5 6" in grid.goal + "|".join(fact.text for fact in grid.facts)


def test_money_is_no_formula() -> None:
    brief = brief_of_problem("A pen costs $5 and a pad costs $6. Tom buys both. How much is it?")
    assert (brief.unit, len(brief.facts)) == ("dollars", 1)


def test_many_sentences_become_eight_facts() -> None:
    text = "\n".join(f"Person {i} sits left of person {i + 1}." for i in range(40)) + "\nWho sits left?"
    brief = brief_of_problem(text)
    assert len(brief.facts) == 8
    assert all(f"Person {i} sits" in "\n".join(fact.text for fact in brief.facts) for i in range(40))


pieces = st.sampled_from(
    [
        r"Let $x = \frac{1}{2}$.",
        "A. B.",
        "Find $y$.",
        "What is it?",
        "$5",
        "$$a.b$$",
        "\n\n",
        "if so, what is $z$?",
        r"\[ x \]",
        "Tom's 3,5 cats,",
        "[asy] a. b [/asy]",
        "it's",
        "灯台。",
        "!",
    ]
)
problems = st.lists(pieces, min_size=1, max_size=25).map(" ".join) | st.text(min_size=1).filter(str.strip)


@given(problems)
def test_any_text_is_held_by_goal_and_facts(text: str) -> None:
    brief = brief_of_problem(text)
    told = " ".join([brief.goal, *(fact.text for fact in brief.facts)]).casefold()
    assert set(re.findall(r"\w+", text.casefold())) <= set(re.findall(r"\w+", told))
    values = [fact.value for fact in brief.facts]
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("persona", PERSONAS)
@pytest.mark.parametrize(
    "text", [TRIANGLE, ASY, "A jar, a box and 5 tins cost $7, but 3 cost $2.50. How much?"]
)
def test_what_any_persona_says_counts_as_told(text: str, persona: Persona) -> None:
    for fact in brief_of_problem(text).facts:
        assert says(write(persona, fact.text), fact.value)
    assert r"\Delta" not in text or r"\Delta" in write(persona, text)


def test_a_scripted_user_tells_a_formula_bit_by_bit() -> None:
    brief = brief_of_problem(TRIANGLE)
    user, persona = ScriptedUser(), Persona(disclosure=0.0, terseness=1.0, patience=50, slip=0.0)
    messages: list[dict[str, str]] = []
    told = []
    for turn in range(8):
        request = UserRequest(0, "math", brief, persona, tuple(messages), NoiseKey((turn,)))  # type: ignore[arg-type]
        (reply,) = user.reply([request])
        messages += [
            {"role": "user", "content": reply.text},
            {"role": "assistant", "content": "What is missing?"},
        ]
        told.append(len(disclosure(brief, messages).told))  # type: ignore[arg-type]
    assert told[:5] == [0, 1, 2, 3, 4]
    assert "angle b" in messages[2]["content"].lower()


def test_a_formula_may_have_a_negative_answer() -> None:
    for text, doubted in (
        (r"Let $x = -\frac{3}{2}$. Find $2x$.", False),
        ("Tom has 3 cats. How many cats?", True),
    ):
        brief = brief_of_problem(text)
        talk = [
            {"role": "user", "content": text},
            {"role": "assistant", "content": "2 * 3: the answer is -3."},
        ]
        request = UserRequest(0, "math", brief, Persona(), tuple(talk), NoiseKey((0,)))  # type: ignore[arg-type]
        said = disclosure(brief, request.conversation)
        reading = read_message(request, said, talk[-1]["content"], Inquiry())
        assert reading.answered
        assert ("range" in reading.factors) == doubted


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"\boxed{1} then \boxed{\text{(A) } \frac{1}{\sqrt{2}}}", r"\text{(A) } \frac{1}{\sqrt{2}}"),
        (r"$\fbox{x}$", "x"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed \frac{1}{2}", r"\frac{1}{2}"),
        (r"\boxed{ }", None),
        ("no box", None),
    ],
)
def test_boxed_answers(solution: str, answer: str | None) -> None:
    assert boxed_answer(solution) == answer


def test_which_texts_are_answers() -> None:
    assert any_answer("a b c") == "a b c"
    assert any_answer("a long\nsolution") is None
    assert any_answer("x" * 300) is None
    assert any_answer(r"\boxed{oops") is None
    assert marked_answer("#### 1,234.5\n") == "1234.5"


@given(st.text())
def test_answers_of_any_text(text: str) -> None:
    for find in (any_answer, boxed_answer, marked_answer):
        found = find(text)
        assert found is None or found.strip()
