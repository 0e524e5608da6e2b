"""Figures of a log against figures by hand."""

import json
from typing import Any

import pytest

from dialogue_gym.viewing import entries, log_statistics, pair_up, paired_differences


def test_by_hand(make: Any) -> None:
    log = entries(
        [
            make("she buys 4", "How many did she find?", "2", "It is 6.", "ok thanks a lot"),
            make("is it 6?", "Yes.", reward=0.0),
            make("hi", reward=None, end_reason="simulator_failure", metrics={}),
        ]
    )
    (found,) = log_statistics(log)
    assert found.end_reasons == {"user_stop": 2, "simulator_failure": 1}
    assert (found.dialogues, found.unscored, found.silent_ends) == (3, 1, 1)
    assert found.estimates["reward"].mean == 0.5
    assert found.estimates["turns"].mean == 1.0
    assert found.estimates["words_per_user_turn"].mean == pytest.approx((8 / 3 + 3 + 1) / 3)
    assert found.flags["leak"].mean == pytest.approx(1 / 5)  # of the users' messages
    # one of the six facts of three openings; then the one that is still held where the user answers
    assert [e.mean for e in found.by_turn["facts_by_turn"] if e] == pytest.approx([1 / 6, 1.0])
    assert [e.n for e in found.by_turn["words"] if e] == [3, 1, 1]
    leaves = [e.mean for e in found.by_turn["user_leaves"] if e]
    assert leaves == pytest.approx([0.0, 0.5, 1.0])
    for estimate in (*found.estimates.values(), *found.flags.values()):
        assert estimate.low <= estimate.mean <= estimate.high
    assert "ended by: user_stop 2, simulator_failure 1 (1 without a word); unscored: 1 of 3" in found.table()
    json.dumps(found.to_dict(), allow_nan=False)


def test_people_without_anything_but_words(people: Any) -> None:
    log = entries([people("how do I add numbers?", "count on", "ok", extra={"ratings": {"helpful": 4}})])
    (found,) = log_statistics(log)
    assert found.unscored == 1
    assert found.end_reasons == {"": 1}
    assert found.estimates["rating: helpful"].mean == 4.0
    assert "reward" not in found.estimates
    assert found.flags["leak"].mean == 0.0
    assert "ended by: not known 1" in found.table()


def test_an_end_that_nobody_logged_counts_in_no_figure_about_ends(people: Any) -> None:
    (found,) = log_statistics(entries([people("how do I add?", "count on", "ok")]))
    assert "user_leaves" not in found.by_turn
    assert "brief_words_by_turn" in found.by_turn
    cut = people("", "hi", "ok", extra={"censored": ["beginning", "end"]})
    assert log_statistics(entries([cut]))[0].by_turn == {}


def test_environments_and_unknown_ones_are_counted_apart(make: Any, people: Any) -> None:
    log = [make("hi", "yes"), people("hi", "yes", env_id="Other-v0"), make("hi", "no", task={"of": "others"})]
    first, second = log_statistics(entries(log))
    assert (first.env_id, first.dialogues, second.env_id, second.by_turn) == (
        "MathChat-v0",
        2,
        "Other-v0",
        {},
    )
    with pytest.raises(ValueError, match="there is no dialogue to count"):
        log_statistics([])


def test_pairs_agree_in_task_and_seed_first_then_in_task(make: Any, people: Any) -> None:
    other = {**make("").task, "id": "pears"}
    first = entries([make("a", task_seed=1), make("b", task_seed=1, reply_seed=7), make("c", task_seed=5)])
    second = entries(
        [
            make("x", task_seed=9),
            make("y", task_seed=1, reply_seed=7),
            make("z", task_seed=1),
            make("w", task=other),
        ]
    )
    paired = [(p.first and p.first.number, p.second and p.second.number) for p in pair_up(first, second)]
    assert paired == [(1, 3), (2, 2), (3, 1), (None, 4)]
    source = {"source": {"id": 7}}
    rows = entries([people("a", extra=source)]), entries([people("b", extra=source), people("c")])
    assert [(bool(p.first), bool(p.second)) for p in pair_up(*rows)] == [(True, True), (False, True)]


def test_seeds_alone_pair_nobody(people: Any) -> None:
    pairs = pair_up(entries([people("a")]), entries([people("b")]))
    assert [bool(p.first and p.second) for p in pairs] == [False, False]


def test_differences_are_taken_pair_by_pair(make: Any) -> None:
    first = entries([make("a", "b", reward=0.0), make("a", "b", task_seed=2, reward=None, metrics={})])
    second = entries([make("a", "b", task_seed=2), make("a", "b", reward=0.75)])
    found = paired_differences(pair_up(first, second))
    assert (found["reward"].mean, found["reward"].n, found["turns"].n) == (0.75, 1, 2)
