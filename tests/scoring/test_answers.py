"""The golden table of answer strings, and the properties of extracting and comparing."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialogue_gym.scoring import answers_equal, extract_answer, last_answer, parse_number
from dialogue_gym.scoring.expressions import ExpressionVerifier, is_expression

# message, what is extracted from it, the reference, whether it is right
GOLDEN = [
    # bare
    ("12", "12", "12", True),
    ("12.", "12", "12", True),
    ("**12**", "12", "12", True),
    ("$12$", "12", "12", True),
    ("12 marbles", "12", "12", True),
    ("$12", "12", "12", True),
    ("€12.50", "12.50", "12.5", True),
    ("twelve", "twelve", "12", True),
    ("-5", "-5", "-5", True),
    ("−5", "-5", "-5", True),
    ("１２", "12", "12", True),
    ("\u200b12\u00a0", "12", "12", True),
    ("0", "0", "0", True),
    ("7.00", "7.00", "7", True),
    ("0.1", "0.1", "0.10000000000000000001", False),
    ("50%", "50%", "50", True),
    ("50%", "50%", "0.5", True),
    ("½", "1/2", "0.5", True),
    ("1 1/2", "1 1/2", "1.5", True),
    ("3/4", "3/4", "0.75", True),
    ("1,234", "1,234", "1234", True),
    ("1 234", "1 234", "1234", True),
    ("1\u202f234", "1 234", "1234", True),
    ("1,234,567.5 dollars", "1,234,567.5", "1234567.5", True),
    ("13", "13", "12", False),
    # marked
    (r"\boxed{12}", "12", "12", True),
    (r"So we get $\boxed{12}$.", "12", "12", True),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", "0.5", True),
    (r"\boxed{1\frac{1}{2}}", r"1\frac{1}{2}", "3/2", True),
    (r"\boxed{12\text{ marbles}}", "12", "12", True),
    (r"\boxed{1{,}234}", "1,234", "1234", True),
    (r"\boxed{x=2}", "2", "2", True),
    (r"\boxed{\text{Monday}}", "Monday", "Monday", True),
    (r"\boxed{x^2-1}", "x^2-1", "(x-1)(x+1)", True),
    (r"\boxed{2\sqrt{3}}", r"2\sqrt{3}", r"\sqrt{12}", True),
    (r"\boxed{(1,2)}", "(1,2)", "(1, 2)", True),
    (r"First \boxed{4}, but that was wrong. \boxed{5}", "5", "5", True),
    (r"\boxed{12}. You're welcome, 3 cheers!", "12", "12", True),
    (r"\boxed{}", None, "12", False),
    (r"\boxed{12", None, "12", False),
    ("12 - 5 = <<12-5=7>>7\n#### 7", "7", "7", True),
    ("#### 1,234", "1,234", "1234", True),
    ("<answer>12</answer>", "12", "12", True),
    ("<answer> 4 or 5 </answer>", None, "5", False),
    ("#### 1. Understand the problem", None, "1", False),
    # announced
    ("Answer: 12", "12", "12", True),
    ("answer = 12", "12", "12", True),
    ("Answer:\n12", "12", "12", True),
    ("**Answer:** 12", "12", "12", True),
    ("**Final Answer:** $12$", "12", "12", True),
    ("Final answer 12", "12", "12", True),
    ("The answer is 12 marbles.", "12", "12", True),
    ("The answer is **12**.", "12", "12", True),
    ("The answer is: 12", "12", "12", True),
    ("I think the answer is 12.", "12", "12", True),
    ("The answer is twenty-one.", "twenty-one", "21", True),
    ("The answer to your question is therefore 12.", "12", "12", True),
    ("The answer is $1,234.50.", "1,234.50", "1234.5", True),
    ("The answer is 12 + 5 = 17.", "17", "17", True),
    ("The answer is 12 - 5", "12 - 5", "7", False),
    ("The answer is 7, not 8.", "7", "7", True),
    ("Answer: − 5", "-5", "-5", True),
    ("Answer: x + 1", "x + 1", "1 + x", True),
    ("Answer: Monday", "Monday", "monday", True),
    ("The answer is (B).", "(B)", "(b)", True),
    ("The answer is 12. Would you like to see the steps?", "12", "12", True),
    ("Answer: 4\nWait, that is wrong.\nAnswer: 7", "7", "7", True),
    ("Answer: 4, 5", "4, 5", "5", False),
    ("The answer is not 7.", None, "7", False),
    ("The answer might be 7.", None, "7", False),
    ("If the answer is 7, tell me.", None, "7", False),
    ("Is the answer 7?", None, "7", False),
    ("The answer depends on how many he has.", None, "7", False),
    ("The answer is not possible without the 2 prices.", None, "2", False),
    # concluded
    ("12 - 5 = 7", "7", "7", True),
    ("12 − 5 = 7 marbles.", "7", "7", True),
    ("3*4=12 and 12-5=7", "7", "7", True),
    ("x = 5", "5", "5", True),
    ("So 12 - 5 = 7 marbles left!\n\nYou're welcome.", "7", "7", True),
    ("1. He has 12.\n2. He gives 5.\n3. 12 - 5 = 7", "7", "7", True),
    ("3 + 4 = 7, so Tom has 7.", "7", "7", True),
    ("so Tom has 12 marbles left", "12", "12", True),
    ("Tom has 3 red and 4 blue, for a total of 7 marbles.", "7", "7", True),
    ("Therefore there are 7 left out of 12.", "7", "7", True),
    ("It is 12.", "12", "12", True),
    ("That's 12 marbles.", "12", "12", True),
    ("She pays 3 times 4 dollars, that is 12 dollars.", "12", "12", True),
    ("So Tom has 7 left. Does that help?", "7", "7", True),
    ("Step 1: 3 * 4 = 12\nStep 2: 12 - 5 = 7", "7", "7", True),
    ("so 7", "7", "7", True),
    ("ok, 7 marbles", None, "7", False),
    ("Answer 7", "7", "7", True),
    ("A: 7", "7", "7", True),
    ("12 minus 5 is 7", "7", "7", True),
    ("He ends up with 7.", "7", "7", True),
    ("So you need 12 eggs.", "12", "12", True),
    ("The answer is 7 (12 - 5).", "7", "7", True),
    ("Janet makes 18 dollars every day.", "18", "18", True),
    ("The answer is 7<|im_end|>", "7", "7", True),
    # nothing stated
    ("the answer is 7 and 8", None, "7", False),
    ("The answer is 7 hours and 30 minutes", None, "7", False),
    ("tom had 12 marbles", None, "12", False),
    ("So the number left is 12 minus 5.", None, "12", False),
    ("I need 2 more numbers.", None, "2", False),
    ("So it takes 5 times as long.", None, "5", False),
    ("7, 8", None, "7", False),
    ("", None, "12", False),
    ("You're welcome!", None, "12", False),
    ("Did he buy 4 or 5?", None, "5", False),
    ("did he buy 4 or 5", None, "5", False),
    ("Is it 12?", None, "12", False),
    ("How many marbles did Tom have before he lost 5?", None, "5", False),
    ("it is 4 or 5", None, "5", False),
    ("either 4 or 5", None, "5", False),
    ("between 4 and 5", None, "5", False),
    ("4, maybe 5", None, "5", False),
    ("could be 4. or 5", None, "5", False),
    ("So it is 4. Or maybe 5.", None, "4", False),
    (r"\boxed{4} or \boxed{5}", None, "5", False),
    ("Answer: 4 or 5", None, "5", False),
    ("The answer is 4, perhaps 5.", None, "4", False),
    ("4\n5\n6", None, "6", False),
    ("12 or 13", None, "13", False),
    ("you told me Tom has 12", None, "12", False),
    ("Okay, so Tom has 12.", None, "12", False),
    ("So Tom starts with 12 marbles.", None, "12", False),
    ("Tom has 12 marbles. How many did he give away?", None, "12", False),
    ("12 - 5 = 7. How many more did he buy?", None, "7", False),
    ("I have one question.", None, "1", False),
    ("So Tom has 12 - 5 marbles left.", None, "7", False),
    ("The trip ends at 10:30.", None, "30", False),
    ("12,5", None, "12.5", False),
]


@pytest.mark.parametrize(("message", "extracted", "reference", "right"), GOLDEN)
def test_golden_table(message: str, extracted: str | None, reference: str, right: bool) -> None:
    answer = extract_answer(message)
    assert answer == extracted
    assert (answer is not None and answers_equal(answer, reference)) is right


def test_golden_table_is_large_and_has_no_doubles() -> None:
    assert len({(message, reference) for message, _, reference, _ in GOLDEN}) == len(GOLDEN) >= 90


@pytest.mark.parametrize("closing", ["You're welcome!", "Glad to help.", "Anything else?", "", "Great, bye"])
def test_small_talk_keeps_the_earlier_answer(closing: str) -> None:
    conversation = [
        {"role": "user", "content": "what is 12 - 5"},
        {"role": "assistant", "content": "The answer is 7."},
        {"role": "user", "content": "no wait, \\boxed{99}"},
        {"role": "assistant", "content": closing},
    ]
    assert last_answer(conversation) == "7"  # type: ignore[arg-type]


def test_a_later_answer_replaces_an_earlier_one() -> None:
    conversation = [
        {"role": "user", "content": "what is 12 - 5"},
        {"role": "assistant", "content": "The answer is 8."},
        {"role": "user", "content": "sure?"},
        {"role": "assistant", "content": "12 - 5 = 7"},
    ]
    assert last_answer(conversation) == "7"  # type: ignore[arg-type]


EQUAL = [
    ("7", "7.0"),
    ("7 marbles", "7"),
    ("$1,234", "1234"),
    ("0.3", "3/10"),
    ("1e3", "1000"),
    (r"-\frac{1}{2}", "-0.5"),
    (r"90^\circ", "90"),
    ("x+1", "1+x"),
    (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}"),
]
DIFFERENT = [
    ("7", "8"),
    ("7", "-7"),
    ("4 or 5", "5"),
    ("it is 4 or 5", "5"),
    ("4, 5", "5"),
    ("12 - 5", "7"),
    ("2^10", "1024"),
    ("333333333333333333333333333333333331", "333333333333333333333333333333333330"),
    ("x+1", "x+2"),
    ("1/0", "1"),
    ("", ""),
    ("7", ""),
    ("12x", "12"),
    ("the number 7 of them", "7"),
]


@pytest.mark.parametrize(("stated", "reference"), EQUAL)
def test_equal(stated: str, reference: str) -> None:
    assert answers_equal(stated, reference)
    assert answers_equal(reference, stated)


@pytest.mark.parametrize(("stated", "reference"), DIFFERENT)
def test_different(stated: str, reference: str) -> None:
    assert not answers_equal(stated, reference)


@pytest.mark.parametrize(
    "bomb",
    ["9^9^9^9", "9**9**9**9", "9^{9^{9^9}}", "99999999!", "x^{99999999}", "(" * 150 + ")" * 150, "9!!!!"],
)
def test_expression_bombs_return_in_time(bomb: str) -> None:
    answers_equal("x+1", "1+x")  # so that starting the subprocess is not timed
    started = time.monotonic()
    assert not answers_equal(bomb, "x+1", timeout_s=2.0)
    assert time.monotonic() - started < 4.0


def test_comparing_works_in_a_thread() -> None:
    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda: results.append(answers_equal("(x+1)^2", "x^2+2x+1")))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [True, True, True]


def test_a_missed_deadline_is_not_equal_and_the_next_check_works() -> None:
    verifier = ExpressionVerifier()
    try:
        assert verifier.equal("x+1", "1+x", 5.0)
        assert not verifier.equal("x+1", "1+x", 0.0)
        assert verifier.equal("x+2", "2+x", 5.0)
        assert not verifier.equal("x+2", "3+x", 5.0)
    finally:
        verifier.close()


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_extraction_takes_any_text(text: str) -> None:
    answer = extract_answer(text)
    assert answer is None or 0 < len(answer) <= 300


FRAGMENTS = [
    *"0123456789.,!?-+=*/^{}()$%_ \n\\",
    *[
        " 12 ",
        "answer",
        "Answer: ",
        " is ",
        "\\boxed{",
        "#### ",
        "\\frac{1}{2}",
        " or ",
        " so ",
        "maybe",
        " left",
    ],
    *[
        "twenty-",
        "one",
        " a total of ",
        "<<",
        ">>",
        "\\text{",
        "**",
        "１",
        "−",
        "\u200b",
        "½",
        "has",
        "1,234",
        "\ud800",
    ],
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=60).map("".join))
@settings(max_examples=400, deadline=None)
def test_extraction_and_numbers_take_any_mixture_of_what_they_look_for(text: str) -> None:
    answer = extract_answer(text)
    parse_number(text)
    is_expression(text)
    if answer is not None:
        assert answer.strip()
        parse_number(answer)


@given(st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=50, deadline=None)
def test_comparing_takes_any_text(stated: str, reference: str) -> None:
    assert answers_equal(stated, reference) in (True, False)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9))
def test_every_decimal_is_read_back_exactly(value: object) -> None:
    text = f"{value:,f}"  # type: ignore[str-format]
    for message in (text, f"The answer is {text}.", f"\\boxed{{{text}}}", f"so Tom has {text} marbles left"):
        answer = extract_answer(message)
        assert answer is not None
        assert answers_equal(answer, str(value))


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_two_values_state_nothing(a: int, b: int) -> None:
    for message in (f"It is {a} or {b}.", f"either {a} or {b}", f"Did he have {a} or {b}?"):
        answer = extract_answer(message)
        assert answer is None or a == b


@pytest.mark.parametrize(
    "fragment",
    [
        *FRAGMENTS,
        "answer is ",
        "= 1 ",
        "1 or ",
        "1.\n",
        "a total of ",
        "is exactly ",
        "#### 1\n",
        ". Wait, no, ",
        "maybe 8 ",
        ". no",
        "seven hundred and ",
        "actually ",
    ],
)
def test_a_megabyte_takes_bounded_time(fragment: str) -> None:
    text = fragment * (1_000_000 // len(fragment))
    started = time.process_time()
    extract_answer(text)
    extract_answer(text + "1")
    extract_answer("The answer is 7. " + text[:19_900])
    assert time.process_time() - started < 1.0


def test_only_the_end_of_a_long_message_counts() -> None:
    assert extract_answer("x " * 500_000 + "The answer is 12.") == "12"
