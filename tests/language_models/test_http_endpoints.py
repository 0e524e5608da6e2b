"""Who gets the next request: balance, dialogues that stay, servers that are left alone for a while."""

from collections import Counter
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialogue_gym.language_models import http_endpoints
from dialogue_gym.language_models.http_endpoints import Endpoint, Endpoints


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_requests_go_where_the_fewest_are_in_flight() -> None:
    endpoints = Endpoints("abc")
    with ExitStack() as running:
        for i in range(9):
            running.enter_context(endpoints.pick(i).busy())
        assert [e.in_flight for e in endpoints.all] == [3, 3, 3]
    assert [e.in_flight for e in endpoints.all] == [0, 0, 0]


def test_dialogues_that_begin_one_by_one_are_spread_too() -> None:
    endpoints = Endpoints("ab")
    assert Counter(endpoints.pick(i).url for i in range(10)) == {"a": 5, "b": 5}


@given(st.lists(st.integers(0, 5), max_size=30))
def test_a_dialogue_stays_until_it_is_forgotten(asked: list[int]) -> None:
    endpoints = Endpoints("abc")
    homes: dict[int, Endpoint] = {}
    for dialogue in asked:
        assert endpoints.pick(dialogue) is homes.setdefault(dialogue, endpoints.pick(dialogue))
    endpoints.forget([*homes, 99])
    assert [e.dialogues for e in endpoints.all] == [0, 0, 0]


def test_requests_of_no_dialogue_leave_no_trace() -> None:
    endpoints = Endpoints("ab")
    endpoints.pick(None)
    assert [e.dialogues for e in endpoints.all] == [0, 0]


def test_one_that_refuses_rests_longer_each_time(clock: Clock) -> None:
    endpoints = Endpoints("ab", clock)
    down, up = endpoints.all
    assert endpoints.pick(0) is down
    for rest in (1, 2, 4, 8, 16, 32, 60, 60):
        endpoints.refused(down)
        clock.now += rest - 0.01
        assert endpoints.pick(1) is up
        assert endpoints.others_than(down)
        clock.now += 0.02
        assert endpoints.pick(2) is down
        endpoints.forget([2])


def test_a_dialogue_moves_when_its_server_rests_and_stays_there(clock: Clock) -> None:
    endpoints = Endpoints("ab", clock)
    first, second = endpoints.all
    assert endpoints.pick("d") is first
    endpoints.rest(first, 5)
    assert endpoints.pick("d") is second
    clock.now = 10
    assert endpoints.pick("d") is second
    assert (first.dialogues, second.dialogues) == (0, 1)


def test_an_answer_ends_a_rest(clock: Clock) -> None:
    endpoints = Endpoints("ab", clock)
    first, _ = endpoints.all
    endpoints.refused(first)
    endpoints.answered(first)
    assert endpoints.pick(0) is first
    assert first.refusals == 0


def test_a_retry_goes_elsewhere_where_there_is_an_elsewhere(clock: Clock) -> None:
    endpoints = Endpoints("ab", clock)
    first, second = endpoints.all
    assert endpoints.pick("d", failed=first) is second
    endpoints.rest(second, 5)
    assert endpoints.pick("d", failed=first) is first
    [alone] = (single := Endpoints("a")).all
    single.refused(alone)
    assert single.pick("d", failed=alone) is alone
    assert not single.others_than(alone)


def test_when_all_rest_the_first_to_wake_is_asked(clock: Clock) -> None:
    endpoints = Endpoints("ab", clock)
    first, second = endpoints.all
    endpoints.rest(first, 9)
    endpoints.rest(second, 3)
    assert endpoints.pick("d") is second


def test_dialogues_that_nobody_forgets_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_endpoints, "_REMEMBERED", 3)
    endpoints = Endpoints("ab")
    for i in range(10):
        endpoints.pick(i)
    assert sum(e.dialogues for e in endpoints.all) == 3


def test_nobody_waits_for_servers_that_never_were_there() -> None:
    endpoints = Endpoints("ab")
    for endpoint in endpoints.all:
        endpoints.refused(endpoint)
    assert not endpoints.absent  # nobody has tried for long
    endpoints.given_up()
    assert endpoints.absent
    endpoints.answered(endpoints.all[1])
    assert not endpoints.absent
    endpoints.given_up()  # it may come back
    assert not endpoints.absent
