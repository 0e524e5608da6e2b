import importlib.resources
from collections import Counter

import pytest

from dialogue_gym.scoring.documents import fact_share
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.state import says
from dialogue_gym.tasks import SPLITS, Pieces, Task
from dialogue_gym.tasks.articles import MOST_SHARED, brief_of_document, shared_run
from dialogue_gym.tasks.pieces import GENRES

TASKS = [task for split in SPLITS for task in Pieces().tasks(split)]


def test_eight_of_each_genre_in_balanced_splits() -> None:
    assert Counter(task.brief.genre for task in TASKS) == dict.fromkeys(GENRES, 8)
    for genre in GENRES:
        names = sorted(
            (task.id for task in TASKS if task.brief.genre == genre),
            key=lambda name: NoiseKey(("split", name)).uniform(),
        )
        splits = {task.id: task.split for task in TASKS}
        assert [splits[name] for name in names] == ["train"] * 5 + ["validation"] + ["test"] * 2
    assert importlib.resources.files("dialogue_gym.tasks").joinpath("pieces.jsonl").is_file()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_a_piece_holds_its_facts_and_its_brief_tells_them(task: Task) -> None:
    assert len(task.brief.facts) >= 4
    assert fact_share(task.reference.text, task.reference.facts) == 1.0
    for fact in task.brief.facts:
        assert says(fact.text, fact.value)
        assert says(task.brief.text, fact.value)
        assert not says(task.brief.goal, fact.value)
        assert fact.slip == "" or not says(task.reference.text, fact.slip)
        others = [other.text for other in task.brief.facts if other is not fact]
        assert not any(says(other, fact.value) for other in others)
    assert 50 <= len(task.reference.text.split()) <= 100


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_a_brief_does_not_hold_the_target(task: Task) -> None:
    assert shared_run(task.brief.text, task.reference.text) <= MOST_SHARED


# briefs of texts without facts ------------------------------------------------------------------------

ARTICLE = """How I learned to bake bread in a lighthouse

The ferry comes twice a week, weather permitting, and flour was the first thing we ran out of. My neighbour
Agatha keeps a sourdough called Winston in a bucket behind the stove. She gave me a spoonful and a warning.

Temperature is everything. In January the kitchen never gets warmer than twelve degrees, so the dough needs
two days instead of one. I put thermometers everywhere and wrote numbers on the wall with chalk.

After forty loaves I stopped measuring. The crust sings when it cools, a fine crackle that you can hear from
the stairs. Tourists ask for the recipe; I tell them to bring patience, salt and a bucket of their own.
"""


def test_what_a_person_would_know_of_an_article() -> None:
    brief = brief_of_document(ARTICLE, "How I learned to bake bread in a lighthouse")
    assert brief.goal == 'an article with the title "How I learned to bake bread", about 100 words long'
    assert 2 <= len(brief.facts) <= 5
    assert all(says(fact.text, fact.value) for fact in brief.facts)
    assert "Winston" in brief.text or "Agatha" in brief.text


@pytest.mark.parametrize(
    "text",
    [
        ARTICLE,
        *(task.reference.text for task in TASKS),
        "one two three four five six seven eight nine ten " * 40,
        "灯台でパンを焼くことを学んだ。冬の台所はとても寒い。" * 20,
        "a",
        "",
        "!!! ... ???",
        "https://example.org/" + "x" * 500,
    ],
    ids=lambda text: text[:12],
)
def test_no_brief_hands_over_the_text(text: str) -> None:
    for title in ("", text[:200], "A title of its own"):
        brief = brief_of_document(text, title)
        longest = max(
            shared_run(told, text) for told in (brief.goal, *(fact.text for fact in brief.facts), "")
        )
        assert longest <= MOST_SHARED
        assert shared_run(brief.text, text) <= MOST_SHARED
        words = len(text.split())
        told = sum(len(fact.value.split()) for fact in brief.facts)
        assert told <= max(12, words / 3)


def test_a_goal_and_a_genre_of_the_data_are_kept() -> None:
    brief = brief_of_document(ARTICLE, genre="essay", goal="something about bread")
    assert (brief.goal, brief.genre) == ("something about bread", "essay")
    assert brief_of_document(ARTICLE, genre="essay").goal.startswith("an essay, about")
