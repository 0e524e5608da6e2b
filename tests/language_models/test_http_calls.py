"""What calls of many rows share: questions that are asked once, servers that rest, and one deadline a row."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

pytest.importorskip("openai")

from dialogue_gym.language_models import Sampling, http_calls
from dialogue_gym.language_models.http_answers import refused
from dialogue_gym.language_models.http_calls import Connection, Patience
from dialogue_gym.seeding import NoiseKey
from tests.fake_server import FakeServer
from tests.fake_server_engine import KeyedEngine
from tests.language_models.conftest import Opened, requests

TINY = str(files("dialogue_gym.language_models") / "tiny")
ENGINE = KeyedEngine(1000, 1)


pytestmark = pytest.mark.usefixtures("no_key")


def fake(**settings: Any) -> FakeServer:
    return FakeServer(**{"engine": ENGINE, **settings})


class TestAskedOnce:
    def test_a_server_without_a_list_of_models_is_asked_for_it_once(self, model_of: Opened) -> None:
        with fake(scripts={"models": ["404"] * 99}) as server:
            model = model_of(server)
            for _ in range(3):
                assert {c.error for c in model.generate(requests(5), Sampling(4))} == {None}
        assert [call.path for call in server.others] == ["models"]

    def test_it_is_asked_again_after_a_while(self, model_of: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_calls, "_REFUSAL_KEPT_S", 0.0)
        with fake(scripts={"models": ["404"]}, max_context=77) as server:
            model = model_of(server)
            assert model.generate(requests(), Sampling(4))[0].error is None
            assert model.max_context == 76
        assert len(server.others) == 2

    def test_a_passing_failure_is_not_kept(self, model_of: Opened) -> None:
        with fake(scripts={"models": ["500"]}, max_context=77) as server:
            model = model_of(server, max_retries=0)
            assert "HTTP 500" in str(model.generate(requests(), Sampling(4))[0].error)
            assert model.max_context == 76


class TestRests:
    def test_no_server_is_out_for_longer_than_a_row_may_take(self) -> None:
        connection = Connection("m", ("http://a/v1", "http://b/v1"), Patience(1, 30.0, 4, 0.1), 1, None, "K")
        try:
            asks, other = connection.endpoints.all
            failure = refused(429, {"retry-after": "1e300"}, None, "K")
            connection._wait(failure, asks, 0, NoiseKey((0,)), alone=False)
            assert 29.0 < asks.rests_until - connection.endpoints._clock() <= 30.0
            assert other.rests_until == 0.0
        finally:
            connection.thread.close()

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("7", 7.0),
            ("-7", 0.0),
            ("nan", 0.0),
            ("soon", 0.0),
            ("Mon, 01 Jan 99999 00:00:00 GMT", 0.0),
            ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 0.0),
        ],
    )
    def test_what_a_server_asks_for(self, value: str, seconds: float) -> None:
        assert refused(429, {"retry-after": value}, None, "K").wait_s == seconds


class TestDeadlines:
    """Each step takes less than the deadline, all together more."""

    def test_the_questions_before_a_row_are_on_its_time(self, model_of: Opened) -> None:
        with fake(script=["slow"] * 9, scripts={"models": ["slow"]}, slow_s=0.7) as server:
            [completion] = model_of(server, deadline_s=1.0).generate(requests(), Sampling(4, 0.7))
        assert "no answer within 1 s; a longer deadline_s may help" in str(completion.error)
        assert (completion.finish_reason, completion.timed_out) == ("error", True)

    def test_so_is_an_adapter_that_is_loaded_again(self, model_of: Opened, tmp_path: Path) -> None:
        with fake(scripts={"load_lora_adapter": [None, "slow"]}, slow_s=0.7) as server:
            model = model_of(server, deadline_s=1.0)
            model.load_adapter(tmp_path)
            assert model.generate(requests(), Sampling(4))[0].error is None
            server.adapters.clear()
            server.script.extend(["slow"] * 9)
            [completion] = model.generate(requests(), Sampling(4))
        assert "is lost and cannot be loaded again" in str(completion.error)
        assert "no answer within 1 s" in str(completion.error)
        assert completion.timed_out

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"deadline_s": 0.3}, "a longer deadline_s may help"),
            ({"timeout_s": 0.3}, "a longer timeout_s may help"),
        ],
    )
    def test_a_user_that_answers_too_late_ends_the_dialogue_as_a_timeout(
        self, settings: dict[str, Any], words: str
    ) -> None:
        with FakeServer(script=["slow"] * 9, slow_s=30) as server:
            spec = {"name": "http", "base_url": server.base_url, "model": "m", "max_retries": 0, **settings}
            env = gym.make("MathChat-v0", simulator="prompted", language_model=spec)
            _, info = env.reset(seed=0)
            failure = env.unwrapped.record().extra["failure"]
            env.unwrapped.simulator.language_model.close()
        assert info["end_reason"] == "simulator_timeout"
        assert words in failure

    def test_one_that_answers_with_an_error_does_not(self, model_of: Opened) -> None:
        with fake(script=["500"] * 9) as server:
            [completion] = model_of(server, max_retries=0).generate(requests(), Sampling(4))
        assert (completion.finish_reason, completion.timed_out) == ("error", False)
