"""LoRA adapters on servers: exchanged on all of them, lost and given again."""

import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openai")

from dialogue_gym.language_models import Completion, LanguageModelError, Sampling
from tests.fake_server import token_server
from tests.language_models.conftest import Opened, requests

pytestmark = pytest.mark.usefixtures("no_key")


class TestAdapters:
    def test_each_replaces_the_one_before_on_every_server(self, tmp_path: Path, model_of: Opened) -> None:
        first, second = tmp_path / "step-1", tmp_path / "step-2"
        first.mkdir()
        second.mkdir()
        with token_server() as one, token_server() as two:
            model = model_of(one, two)
            said = [model.generate(requests(4), Sampling(4))]
            for folder in (first, second):
                model.load_adapter(folder)
                assert list(one.adapters.values()) == list(two.adapters.values()) == [str(folder)]
                assert model.identity()["adapter"] == str(folder)
                said.append(model.generate(requests(4), Sampling(4)))
                scores = model.score(requests(4), [c.token_ids for c in said[-1]])
                np.testing.assert_allclose(scores[0], said[-1][0].log_probs, atol=1e-12)
        assert said[0] != said[1] != said[2]

    def test_the_same_folder_again_is_another_adapter(self, tmp_path: Path, model_of: Opened) -> None:
        with token_server() as server:
            model = model_of(server)
            model.load_adapter(tmp_path)
            [before] = server.adapters
            model.load_adapter(tmp_path)
            [after] = server.adapters
        assert before != after

    def test_a_refusal_leaves_everything_as_it_was(self, tmp_path: Path, model_of: Opened) -> None:
        with (
            token_server() as willing,
            token_server(scripts={"load_lora_adapter": [None, "404"]}) as unwilling,
        ):
            model = model_of(willing, unwilling)
            model.load_adapter(tmp_path)
            before = model.generate(requests(4), Sampling(4)), dict(willing.adapters)
            with pytest.raises(LanguageModelError, match=r"cannot be loaded.*404.*--enable-lora") as caught:
                model.load_adapter(tmp_path)
            assert (model.generate(requests(4), Sampling(4)), willing.adapters) == before
        assert unwilling.base_url in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_folder_that_the_server_cannot_see(self, tmp_path: Path, model_of: Opened) -> None:
        with token_server() as server, pytest.raises(LanguageModelError, match="No adapter found for"):
            model_of(server).load_adapter(tmp_path / "nothing")

    @pytest.mark.parametrize("fault", ["cut_off", "500", "dropped"])
    def test_a_passing_fault_passes(self, fault: Any, tmp_path: Path, model_of: Opened) -> None:
        with token_server(scripts={"load_lora_adapter": [fault], "unload_lora_adapter": [fault]}) as server:
            model = model_of(server)
            model.load_adapter(tmp_path)
            model.load_adapter(tmp_path)
            assert len(server.adapters) == 1
            assert model.generate(requests(), Sampling(4))[0].error is None

    def test_one_that_cannot_be_dropped_is_logged(
        self, tmp_path: Path, model_of: Opened, caplog: pytest.LogCaptureFixture
    ) -> None:
        with token_server(scripts={"unload_lora_adapter": ["401"]}) as server:
            model = model_of(server)
            model.load_adapter(tmp_path)
            model.load_adapter(tmp_path)
        assert "stays loaded" in caplog.text

    def test_a_retry_uses_the_adapter_of_that_moment(self, tmp_path: Path, model_of: Opened) -> None:
        with token_server(script=["slow"], slow_s=0.6) as server:
            model = model_of(server, timeout_s=0.5)
            said: list[Completion] = []
            row = threading.Thread(target=lambda: said.extend(model.generate(requests(), Sampling(4))))
            row.start()
            server.await_call()
            model.load_adapter(tmp_path)
            row.join()
            assert said == model.generate(requests(), Sampling(4))

    def test_a_server_that_lost_it_is_given_it_again(self, tmp_path: Path, model_of: Opened) -> None:
        with token_server() as one, token_server() as two:
            model = model_of(one, two)
            model.load_adapter(tmp_path)
            before = model.generate(requests(8), Sampling(4))
            scores = model.score(requests(8), [c.token_ids for c in before])
            for call in (
                lambda: model.generate(requests(8), Sampling(4)) == before,
                lambda: model.score(requests(8), [c.token_ids for c in before]) == scores,
            ):
                one.adapters.clear()  # as by a new start
                two.adapters.clear()
                assert call()
            assert list(one.adapters) == list(two.adapters) != []

    def test_one_that_cannot_take_it_again_says_so_in_one_line(
        self, tmp_path: Path, model_of: Opened
    ) -> None:
        with token_server(scripts={"load_lora_adapter": [None, "404"]}) as server:
            model = model_of(server)
            model.load_adapter(tmp_path)
            server.adapters.clear()
            [completion] = model.generate(requests(), Sampling(4))
        assert f"the adapter {str(tmp_path)!r} is lost and cannot be loaded again" in str(completion.error)
        assert "--enable-lora" in str(completion.error)
        assert "\n" not in str(completion.error)

    def test_a_pickle_knows_its_adapter(self, tmp_path: Path, model_of: Opened) -> None:
        with token_server() as server:
            model = model_of(server)
            model.load_adapter(tmp_path)
            other = pickle.loads(pickle.dumps(model))
            model_of.models.append(other)
            assert other.identity() == model.identity()
            assert other.generate(requests(), Sampling(4)) == model.generate(requests(), Sampling(4))
