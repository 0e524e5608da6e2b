"""Scores by each of several servers: none is left out, and each speaks for itself."""

from collections.abc import Iterator
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openai")

from dialogue_gym.language_models import GenerationRequest, HttpModel, LanguageModelError
from dialogue_gym.seeding import NoiseKey
from tests.fake_server import FakeServer
from tests.fake_server_engine import KeyedEngine

TINY = str(files("dialogue_gym.language_models") / "tiny")
ENGINE, OTHER = KeyedEngine(1000, 1), KeyedEngine(1000, 1, spread=2.0)
REQUESTS = [GenerationRequest(i, (), NoiseKey((i,)), prompt_ids=[3, 4, i + 5]) for i in range(2)]
REPLIES = [[7, 8, 1], [9, 1]]


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def ten() -> Iterator[list[FakeServer]]:
    """Ten servers, the last of which has other weights."""
    with ExitStack() as running:
        engines = [ENGINE] * 9 + [OTHER]
        yield [running.enter_context(FakeServer(engine=engine)) for engine in engines]


def model_of(servers: list[FakeServer], **settings: Any) -> HttpModel:
    quick = {"tokenizer": TINY, "backoff_s": 0.01, "timeout_s": 5.0}
    return HttpModel([server.base_url for server in servers], "m", **{**quick, **settings})


@pytest.mark.parametrize("concurrency", [1, 32])
def test_every_server_is_asked_about_every_row(ten: list[FakeServer], concurrency: int) -> None:
    model = model_of(ten, concurrency=concurrency)
    try:
        scores = model.score_everywhere(REQUESTS, REPLIES)
    finally:
        model.close()
    assert [len(server.calls) for server in ten] == [2] * 10
    assert [[len(row) for row in said] for said in scores] == [[3, 2]] * 10
    for said in scores[1:9]:
        assert said == scores[0]
    assert np.abs(np.array(scores[9][0]) - scores[0][0]).max() > 0.1


def test_a_retry_stays_with_its_server(ten: list[FakeServer]) -> None:
    ten[3].script.extend(["500", "dropped"])
    model = model_of(ten)
    try:
        scores = model.score_everywhere(REQUESTS, REPLIES)
    finally:
        model.close()
    assert scores[3] == scores[0]
    assert [len(server.calls) for server in ten] == [2, 2, 2, 4, *[2] * 6]


def test_one_that_fails_for_good_fails_the_call(ten: list[FakeServer]) -> None:
    ten[3].script.extend(["500"] * 9)
    model = model_of(ten, max_retries=1)
    try:
        with pytest.raises(LanguageModelError, match=f"{ten[3].base_url}: HTTP 500.*given up after 2 tries"):
            model.score_everywhere(REQUESTS, REPLIES)
    finally:
        model.close()


def test_a_server_that_lost_the_adapter_is_told_apart(ten: list[FakeServer], tmp_path: Path) -> None:
    model = model_of(ten[:2])
    try:
        model.load_adapter(tmp_path)
        before = model.score_everywhere(REQUESTS, REPLIES)
        assert model.restored == 0
        ten[1].adapters.clear()  # as by a new start
        assert model.score_everywhere(REQUESTS, REPLIES) == before
        assert 1 <= model.restored <= 2  # once for each row that found it missing
    finally:
        model.close()
