"""One model on several servers: who is asked, who is asked next, and what it is called."""

import json
from typing import Any

import pytest

pytest.importorskip("openai")

from dialogue_gym.language_models import GenerationRequest, HttpModel, Sampling, load_language_model
from dialogue_gym.seeding import NoiseKey
from tests.fake_server import token_server
from tests.language_models.conftest import Opened, requests

pytestmark = pytest.mark.usefixtures("no_key")


class TestSeveralServers:
    def test_dialogues_are_spread_and_stay(self, model_of: Opened) -> None:
        with token_server() as one, token_server() as two:
            model = model_of(one, two)
            for turn in range(3):
                asked = [GenerationRequest(i, (), NoiseKey((i,)), prompt_ids=[i + 1, turn]) for i in range(8)]
                model.generate(asked, Sampling(4))
            homes = [{call.body["prompt"][0] for call in server.calls} for server in (one, two)]
            model.forget(range(8))
        assert [len(home) for home in homes] == [4, 4]
        assert not homes[0] & homes[1]

    def test_one_that_is_down_costs_nothing_but_time(self, model_of: Opened) -> None:
        with token_server() as down:
            pass
        with token_server() as up:
            model = model_of(down, up)
            alone = model_of(up)
            for count in (4, 8):
                said = model.generate(requests(count), Sampling(4))
                assert said == alone.generate(requests(count), Sampling(4))
            assert {c.error for c in said} == {None}

    def test_one_that_comes_back_is_asked_again(
        self, model_of: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dialogue_gym.language_models.http_endpoints._FIRST_REST_S", 0.01)
        with token_server() as first:
            port = first.port
        with token_server() as second:
            model = model_of(first, second)
            assert model.generate(requests(), Sampling(4))[0].error is None
            model.forget([0])
            with token_server(port=port) as again:
                for _ in range(20):
                    model.generate(requests(8), Sampling(4))
                    model.forget(range(8))
                assert again.calls

    def test_a_row_goes_elsewhere_when_its_server_fails(self, model_of: Opened) -> None:
        with token_server(script=["500"] * 99) as bad, token_server() as good:
            model = model_of(bad, good, max_retries=1)
            assert {c.error for c in model.generate(requests(6), Sampling(4))} == {None}
        assert bad.calls

    def test_another_is_asked_while_one_wants_to_wait(self, model_of: Opened) -> None:
        with token_server(script=["429"], retry_after="3600") as busy, token_server() as free:
            model = model_of(busy, free)
            assert {c.error for c in model.generate(requests(4), Sampling(4))} == {None}

    def test_errors_name_the_server_that_failed_last(self, model_of: Opened) -> None:
        with token_server(script=["401"] * 9) as one, token_server(script=["401"] * 9) as two:
            completions = model_of(one, two).generate(requests(2), Sampling(4))
        wheres = {str(c.error).split(": ")[0] for c in completions}
        assert wheres == {f"'m' at {one.base_url}", f"'m' at {two.base_url}"}

    def test_names(self) -> None:
        model: Any = load_language_model("http://a/v1,http://b:8000/v1#org/m")
        assert model.identity()["base_url"] == ["http://a/v1", "http://b:8000/v1"]
        assert str(model) == "'org/m' at http://a/v1, http://b:8000/v1"
        assert json.loads(json.dumps(model.identity())) == model.identity()
        listed: Any = load_language_model({"name": "http", "base_url": ["http://a/v1"], "model": "m"})
        assert listed.identity()["base_url"] == "http://a/v1"
        for bad, words in [
            ([], "got an empty one"),
            ("http://a/v1,", "base_url must be http"),
            (["http://a/v1", "http://a/v1/"], "holds 'http://a/v1' twice"),
            (["http://a/v1", "http://u:canary@b/v1"], "without a user name"),
            (["http://a/v1", 3], "base_url must be http"),
            (7, "or a list of such, got 7"),
        ]:
            with pytest.raises(ValueError, match=words) as caught:
                HttpModel(bad, "m")  # type: ignore[arg-type]
            assert "canary" not in str(caught.value)
