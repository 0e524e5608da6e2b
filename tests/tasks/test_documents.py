import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu import sentence_bleu

from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks.base import SPLITS, Task, TaskSource, task_from_dict, task_sources, task_to_dict
from dialogue_gym.tasks.documents import (
    GENRES,
    STYLES,
    ProceduralDocuments,
    family_goal,
    family_template,
    render_notice,
    split_families,
)

SOURCE = ProceduralDocuments()
draws = st.builds(
    lambda split, seed: SOURCE.draw(split, NoiseKey((seed,))), st.sampled_from(SPLITS), st.integers(0, 2**60)
)


def tokens(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def contains(text: str, value: str) -> bool:
    return re.search(rf"\b{re.escape(value)}\b", text) is not None


@given(draws)
def test_shape_of_a_task(task: Task) -> None:
    facts = task.brief.facts
    values = [fact.value for fact in facts]
    assert 4 <= len(facts) <= 6
    assert 15 <= len(task.reference.text.split()) <= 40
    assert task.reference.text.isascii()
    assert task.reference.facts == tuple(values)
    assert len({fact.name for fact in facts}) == len(facts)
    assert not any(contains(a, b) for a in values for b in values if a != b)
    assert len(set(values)) == len(values)
    assert all(contains(task.reference.text, value) for value in values)
    assert task.brief.genre in GENRES


@given(draws)
def test_facts_are_said_in_other_words_than_the_target(task: Task) -> None:
    for fact in task.brief.facts:
        assert contains(fact.text, fact.value)
        assert fact.text in task.brief.text
        assert fact.slip not in task.reference.facts
        assert fact.topics == tuple(topic.lower() for topic in fact.topics)
        assert fact.text not in task.reference.text
        assert not contains(task.brief.goal, fact.value)
    assert sentence_bleu(task.brief.text, [task.reference.text]).score < 15


@given(draws)
def test_a_fact_is_told_without_the_others(task: Task) -> None:
    for fact, other in combinations(task.brief.facts, 2):
        assert not contains(fact.text, other.value)
        assert not contains(other.text, fact.value)


@given(st.sampled_from(SPLITS), st.integers(0, 2**60))
def test_draw_is_pure_and_split_is_respected(split: str, seed: int) -> None:
    task = SOURCE.draw(split, NoiseKey((seed,)))
    assert task == ProceduralDocuments().draw(split, NoiseKey((seed,)))
    assert task.split == split
    assert task.family in split_families()[split]
    assert task_from_dict(task_to_dict(task)) == task


@given(draws)
def test_the_goal_and_the_facts_give_the_target(task: Task) -> None:
    every = [family for families in split_families().values() for family in families]
    (family,) = [family for family in every if family_goal(family) == task.brief.goal]
    told = {fact.name: fact.value for fact in task.brief.facts}
    assert render_notice(family, told) == task.reference.text


def test_families_are_disjoint_and_held_out_ones_combine_known_parts() -> None:
    families = split_families()
    for a, b in combinations(SPLITS, 2):
        assert not set(families[a]) & set(families[b])
    assert len({genre.partition("/")[0] for genre in families["test"]}) >= 4
    assert len(families["validation"]) >= 2
    assert {family.partition("/")[0] for family in families["train"]} == set(GENRES)
    assert {family.partition("/")[2] for family in families["train"]} == set(STYLES)
    for genre in GENRES:
        assert sum(family.startswith(genre + "/") for family in families["train"]) >= 2


def test_equal_ids_are_equal_tasks_but_for_slips() -> None:
    seen: dict[str, str] = {}
    for seed in range(500):
        task = SOURCE.draw("test", NoiseKey((seed,)))
        assert seen.setdefault(task.id, task.reference.text) == task.reference.text
    assert len(seen) > 450


def test_vocabulary_is_small_and_every_sentence_starts_with_a_capital() -> None:
    words: set[str] = set()
    for seed in range(3000):
        text = SOURCE.draw("train", NoiseKey((seed,))).reference.text
        words.update(tokens(text))
        assert re.fullmatch(r"([A-Z][a-z]*[A-Za-z0-9 ,]*[.!] ?)+", text), text
    assert len(words) < 180


@pytest.mark.parametrize("genre", GENRES)
def test_families_of_a_genre_are_close(genre: str) -> None:
    values = {name: slot.values[0] for name, slot in GENRES[genre].slots.items()}
    texts = [render_notice(f"{genre}/{style}", values) for style in STYLES]
    assert len(set(texts)) == len(STYLES) >= 3
    for a, b in combinations(texts, 2):
        assert sentence_bleu(a, [b]).score > 25


def test_questions_about_day_and_time_differ() -> None:
    slots = GENRES["invitation"].slots
    assert set(slots["day"].topics) & set(slots["time"].topics) == {"when"}


def test_bad_names_are_met_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown split 'tset': did you mean 'test'\?"):
        SOURCE.draw("tset", NoiseKey((0,)))
    with pytest.raises(ValueError, match="family 'invitation/plane': did you mean 'invitation"):
        family_template("invitation/plane")
    with pytest.raises(ValueError, match="'lost/plain' needs the fact 'thing'"):
        render_notice("lost/plain", {"owner": "Ben"})


def test_registered_and_identified() -> None:
    source = task_sources["document"].build("procedural")
    assert isinstance(source, TaskSource)
    assert source.identity() == {"name": "procedural"}
