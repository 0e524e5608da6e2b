"""Characters in place of words: the figures of CollabLLM's code, and what they are worth."""

import random
from collections.abc import Iterator

import gymnasium as gym
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dialogue_gym  # noqa: F401
from dialogue_gym.scoring import DocumentScorer, char_bleu, scorers
from dialogue_gym.scoring.char_bleu import UNRELATED_TEXT
from dialogue_gym.scoring.documents import word_bleu
from dialogue_gym.tasks.base import Brief, Reference, Task

CATS = (
    "The old cat slept on the warm wall behind the bakery. Every morning the baker left a saucer of milk by "
    "the door, and every morning the cat pretended not to see it until the street was quiet. Children on "
    "their way to school stopped to say hello, but only the smallest of them ever got an answer."
)
TAXES = (
    "Income from the rental of property must be declared by the end of January. Keep receipts for repairs, "
    "insurance and agency fees, since these can be set against what you receive. If you own the house "
    "together with someone else, each of you reports half unless you have agreed in writing on other shares."
)


# what nltk 3.10's sentence_bleu gives for these strings, as CollabLLM's code calls it
@pytest.mark.parametrize(
    ("draft", "target", "expected"),
    [
        ("The cat sat.", "The cat sat on the mat.", 0.3882474342088816),
        ("abcd", "abcd", 1.0),
        ("", "abc", 0.0),
    ],
)
def test_it_is_what_collabllm_computes(draft: str, target: str, expected: float) -> None:
    assert char_bleu(draft, target) == pytest.approx(expected, abs=1e-12)


def test_unrelated_text_is_far_from_zero() -> None:
    # these are of 50 words; the figure of the label is for 300, where more runs of characters meet
    assert 0.2 < char_bleu(CATS, TAXES) < UNRELATED_TEXT == 0.38
    assert word_bleu(CATS, TAXES) < 0.03


def test_shuffled_words_score_nearly_all() -> None:
    words = CATS.split()
    random.Random(0).shuffle(words)
    assert char_bleu(" ".join(words), CATS) > 0.8
    assert word_bleu(" ".join(words), CATS) < 0.1


@given(st.text(max_size=60), st.text(max_size=60))
def test_between_0_and_1_for_any_text(draft: str, target: str) -> None:
    assert 0.0 <= char_bleu(draft, target) <= 1.0 + 1e-12


def task() -> Task:
    reference = Reference(text="The chess club meets on Friday at 7.", facts=("Friday", "7"))
    return Task("t", "document", Brief("a notice", (), ""), reference, "test")


def test_the_figure_never_comes_without_its_label() -> None:
    said = [
        {"role": "user", "content": "a notice"},
        {"role": "assistant", "content": "Draft: The chess club meets on Friday."},
    ]
    score = scorers["document"].build("char_bleu").score(task(), said)
    assert (
        score.reward
        == score.metrics["char_bleu"]
        == pytest.approx(char_bleu("The chess club meets on Friday.", task().reference.text))
    )
    assert score.metrics["char_bleu_of_unrelated_text"] == UNRELATED_TEXT
    words = DocumentScorer().score(task(), said)
    assert {k: v for k, v in score.metrics.items() if "char" not in k} == words.metrics


@pytest.fixture
def env() -> Iterator[gym.Env]:
    env = gym.make("DocEditChat-v0", scorer={"name": "char_bleu", "cost_per_word": 0.001})
    yield env
    env.close()


def test_it_reaches_environments_by_name(env: gym.Env) -> None:
    assert (
        gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json())).spec.kwargs == env.spec.kwargs
    )
    env.reset(seed=0)
    env.step("Draft: a notice about nothing in particular, for all.")
    score = env.unwrapped.score()
    assert score.reward == pytest.approx(score.metrics["char_bleu"] - score.metrics["cost"])
    assert "unrelated_text" in env.unwrapped._driver.parts.scorer.identity()
