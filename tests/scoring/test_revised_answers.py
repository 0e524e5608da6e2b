"""Golden rows of answers that the rest of their message corrects, and of numbers in other forms."""

import pytest

from dialogue_gym.scoring import answers_equal, extract_answer

# message, what is extracted from it, the reference, whether it is right
GOLDEN = [
    # corrected, withdrawn, hedged over, or left alone by the rest of the message
    ("The answer is 7. Wait, no, it is 8.", "8", "8", True),
    (r"\boxed{7}. Actually, it is 8.", "8", "8", True),
    ("The answer is 7. Another possibility is 8.", None, "7", False),
    ("The answer is 7. Wait, no, 8.", "8", "8", True),
    ("The answer is 7. Sorry, I mean 8.", "8", "8", True),
    ("The answer is 7. No, it's 8.", "8", "8", True),
    ("The answer is 7. It is actually 8.", "8", "8", True),
    ("The answer is 7 - no wait, 8.", "8", "8", True),
    ("The answer is 7. Correction: 8 marbles, because he found one.", "8", "8", True),
    ("The answer is 7. Wait, I forgot one. It is 8.", "8", "8", True),
    ("The answer is 7. Wait, that is wrong. 4 + 4 = 8.", "8", "8", True),
    ("The answer is 7. Oops, that's not right, the answer is 8.", "8", "8", True),
    ("The answer is 7. Actually it is not 7 but 8.", "8", "8", True),
    ("#### 7\nWait, no: 12 - 4 = 8", "8", "8", True),
    ("12 - 5 = 7. Wait, no, 8.", "8", "8", True),
    ("The answer is 7. Wait, no, it is 8. Do you have 2 more questions?", "8", "8", True),
    ("The answer is 7. Sorry, it is -8.", "-8", "-8", True),
    ("The answer is 7. Wait, 8? No, 7.", "7", "7", True),
    ("The answer is 7. Wait, let me check: 12 - 5 = 7. Good.", "7", "7", True),
    ("The answer is 7. Actually, that is easy: 3 + 4 = 7.", "7", "7", True),
    ("The answer is 7. Wait, that is wrong.", None, "7", False),
    ("The answer is 7. Actually, the answer is not 7.", None, "7", False),
    ("The answer is 7. Wait, no, it is 8 or 9.", None, "7", False),
    ("The answer is 7. Or maybe 8.", None, "7", False),
    ("The answer is 7. I am glad that you asked me this question. Maybe it is 8.", None, "7", False),
    ("The answer is 7. Alternatively, it could be 8.", None, "7", False),
    ("The answer is 7. It could also be 8.", None, "7", False),
    ("So Tom has 7 left. Another possibility is 8.", None, "7", False),
    ("The answer is 7. Alternatively, 3 + 4 = 7.", "7", "7", True),
    ("The answer is 7. Alternatively, 4 + 4 = 8.", None, "7", False),
    ("The answer is 7, since 3 + 4 = 7.", "7", "7", True),
    ("The answer is 7, since he has 3 and she has 4.", "7", "7", True),
    ("The answer is 7. Let me know if you have 2 more questions!", "7", "7", True),
    ("The answer is 7. Sorry it took me 2 messages.", "7", "7", True),
    ("The answer is 7. Actually, there are 2 ways to see it.", "7", "7", True),
    ("The answer is 7. So they wait 3 minutes each.", "7", "7", True),
    ("The answer is 7. Perhaps you have 2 more questions!", "7", "7", True),
    ("The answer is ~~7~~ 8.", "8", "8", True),
    # sums in words, about, and large numbers
    ("5 + 2 is 7", "7", "7", True),
    ("So 5+2 is 7 marbles.", "7", "7", True),
    ("~5", "5", "5", True),
    ("It is ~5.", "5", "5", True),
    ("about 5", "5", "5", True),
    ("7 hundred", "7 hundred", "700", True),
    ("The answer is 7 hundred.", "7 hundred", "700", True),
    ("The answer is seven hundred and fifty.", "seven hundred and fifty", "750", True),
    ("So it costs 1.5 million dollars.", "1.5 million", "1500000", True),
    ("7 dollars 50", None, "7", False),
    ("The answer is 7 dollars 50.", None, "7", False),
    ("So it costs 7 dollars 50.", None, "7", False),
    ("Therefore it takes 7 hours and thirty minutes.", None, "7", False),
    ("Answer: it is 8", "8", "8", True),
]


@pytest.mark.parametrize(("message", "extracted", "reference", "right"), GOLDEN)
def test_golden_table(message: str, extracted: str | None, reference: str, right: bool) -> None:
    answer = extract_answer(message)
    assert answer == extracted
    assert (answer is not None and answers_equal(answer, reference)) is right
