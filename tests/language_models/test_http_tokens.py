"""Token ids in and out of a server, scores and adapters: what a learner needs of an engine."""

import json
import logging
import pickle
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openai")

from dialogue_gym.language_models import (
    AdapterModel,
    Completion,
    GenerationRequest,
    HttpModel,
    LanguageModelError,
    Sampling,
    load_adapter_model,
    load_language_model,
)
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import simulators
from dialogue_gym.testing import check_language_model
from tests.fake_server import TRANSIENT, FakeServer
from tests.fake_server_engine import KeyedEngine, sample

TINY = str(files("dialogue_gym.language_models") / "tiny")
CANARY = "sk-canary-7f3a9b2c"
ENGINE = KeyedEngine(1000, 1)


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def fake(**settings: Any) -> FakeServer:
    return FakeServer(**{"engine": ENGINE, **settings})


class Opened:
    """Models of servers, closed after the test."""

    def __init__(self) -> None:
        self.models: list[HttpModel] = []

    def __call__(self, *servers: FakeServer, **settings: Any) -> HttpModel:
        urls = [server.base_url for server in servers]
        quick = {"tokenizer": TINY, "backoff_s": 0.01, "timeout_s": 5.0}
        self.models.append(HttpModel(urls, "m", **{**quick, **settings}))
        return self.models[-1]


@pytest.fixture
def model_of() -> Iterator[Opened]:
    opened = Opened()
    yield opened
    for model in opened.models:
        model.close()


def requests(count: int = 1, **fields: Any) -> list[GenerationRequest]:
    return [
        GenerationRequest(i, ({"role": "user", "content": f"hello {i}"},), NoiseKey((i,)), **fields)
        for i in range(count)
    ]


class TestCompletions:
    def test_it_keeps_the_protocol_with_several_servers(self, model_of: Opened) -> None:
        with fake() as one, fake() as two:
            checked = check_language_model(model_of(one, two), 4, max_tokens=4)
        assert checked[-1] == "takes token ids as the context"

    def test_what_is_sent(self, model_of: Opened) -> None:
        with fake() as server:
            model = model_of(server, extra_body={"top_k": 5})
            model.generate(requests(1, prompt_ids=[3, 4, 5]), Sampling(7, 1.0, 1.0))
        [call] = server.calls
        assert (call.path, server.others[0].path) == ("completions", "models")
        assert call.body == {
            "model": "m",
            "prompt": [3, 4, 5],
            "max_tokens": 7,
            "temperature": 1.0,
            "top_p": 1.0,
            "top_k": 5,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "seed": call.body["seed"],
            "logprobs": 0,
            "return_token_ids": True,
            "stop_token_ids": [1],
            "ignore_eos": True,
        }

    def test_tokens_and_log_probs_are_the_servers(self, model_of: Opened) -> None:
        with fake() as server:
            model = model_of(server)
            asked = requests(20)
            completions = model.generate(asked, Sampling(3, 1.3, 0.95))
        bodies = {tuple(call.body["prompt"]): call.body for call in server.calls}
        for request, completion in zip(asked, completions, strict=True):
            assert completion.prompt_ids == model.codec.encode(request.messages)
            ids, log_probs = sample(ENGINE, bodies[tuple(completion.prompt_ids)], None)
            assert (completion.token_ids, completion.log_probs) == (ids, log_probs)
            assert completion.text == model.codec.decode(ids)
            assert completion.finish_reason == ("stop" if ids[-1] == 1 else "length")
        assert {c.finish_reason for c in completions} == {"stop", "length"}

    def test_it_does_what_the_transformers_engine_does_with_bad_rows(self, model_of: Opened) -> None:
        with fake() as server:
            model = model_of(server)
            turned: Any = ({"role": "assistant", "content": "hi"},)
            bad = [
                GenerationRequest("turned", turned, NoiseKey((0,))),
                GenerationRequest("empty", requests()[0].messages, NoiseKey((0,)), prompt_ids=[]),
            ]
            first, empty, fine = model.generate([*bad, *requests()], Sampling(4))
        assert "roles alternate" in str(first.error)
        assert empty.error == "the context is empty"
        assert fine.error is None
        assert len(server.calls) == 1

    def test_the_last_tokens_of_a_context(self, model_of: Opened) -> None:
        with fake(max_context=13) as server:
            model = model_of(server)
            prompts = [[5] * 9, [5] * 11, [5] * 12, [5] * 30]
            asked = [GenerationRequest(i, (), NoiseKey((i,)), prompt_ids=p) for i, p in enumerate(prompts)]
            completions = model.generate(asked, Sampling(8))
        assert [call.body["max_tokens"] for call in server.calls] == [3, 1]
        assert all(0 < len(c.token_ids) <= 3 for c in completions[:2])
        for completion, prompt in zip(completions[2:], prompts[2:], strict=True):
            assert (completion.finish_reason, completion.token_ids) == ("overflow", [])
            assert completion.prompt_ids == prompt
            assert str(completion.error).endswith(f"has {len(prompt)} tokens; with a reply at most 12 fit")

    def test_a_reply_that_fills_the_context_can_be_scored(self, model_of: Opened) -> None:
        with fake(max_context=12) as server:
            model = model_of(server, max_retries=0)
            asked = requests(1, prompt_ids=[5] * 8)
            [completion] = model.generate(asked, Sampling(99))
            filled = [*completion.token_ids, 7, 7, 7][: model.max_context - 8]
            assert len(model.score(asked, [filled])[0]) == 3

    @pytest.mark.parametrize(
        "words",
        [
            "This model's maximum context length is 8 tokens. However, you requested 9 tokens",
            "The decoder prompt (length 9) is longer than the maximum model length of 8. Make sure",
            "The decoder prompt (length 8) plus the number of requested output tokens (at least 1) is longer "
            "than the maximum model length of 8.",
            "Input length (9) exceeds model's maximum context length (8).",
            "You passed 9 input tokens and requested 1 output tokens. However, the model's context length is "
            "only 8 tokens",
        ],
    )
    def test_overflow_in_all_of_vllms_words(self, words: str) -> None:
        from dialogue_gym.language_models.http_answers import refused

        assert refused(400, {}, {"error": {"message": words}}, "KEY").overflow


class TestFaults:
    @pytest.mark.parametrize("fault", TRANSIENT)
    def test_a_passing_fault_passes(self, fault: Any, model_of: Opened) -> None:
        with fake(script=[fault], scripts={"models": [fault]}, slow_s=9) as server:
            [completion] = model_of(server, timeout_s=0.3).generate(requests(), Sampling(4))
        assert completion.error is None
        assert (len(server.others), len(server.calls)) == (2, 2)

    @pytest.mark.parametrize("fault", ["junk", "truncated", "not_json"])
    def test_junk_is_told_in_one_line(self, fault: Any, model_of: Opened) -> None:
        with fake(script=[fault] * 9) as server:
            [completion] = model_of(server, max_retries=1).generate(requests(), Sampling(4))
        assert str(completion.error).startswith(f"'m' at {server.base_url}: the answer is no completion: ")
        assert "\n" not in str(completion.error)
        assert str(completion.error).isprintable()

    def test_junk_without_end_is_not_read_to_its_end(self, model_of: Opened) -> None:
        with fake(script=["endless"]) as server:
            [completion] = model_of(server, max_retries=0, timeout_s=60).generate(requests(), Sampling(4))
        assert "more than 64 MiB" in str(completion.error)

    def test_an_answer_after_the_deadline(self, model_of: Opened) -> None:
        with fake(script=["slow"] * 9, slow_s=9) as server:
            [completion] = model_of(server, deadline_s=0.5).generate(requests(), Sampling(4))
        assert "no answer within 0.5 s" in str(completion.error)

    @pytest.mark.parametrize(
        "choice",
        [
            {"token_ids": ["a"]},
            {"token_ids": [-1]},
            {"token_ids": [True]},
            {"token_ids": [1.5]},
            {"token_ids": 7},
            {"token_ids": []},
            {"token_ids": [5, 6]},
            {"token_ids": [5], "logprobs": {"token_logprobs": [None]}},
            {"token_ids": [5], "logprobs": {"token_logprobs": [float("nan")]}},
            {"token_ids": [5], "logprobs": {"token_logprobs": [float("-inf")]}},
            {"token_ids": [5], "logprobs": None},
        ],
    )
    def test_numbers_that_cannot_be(self, choice: dict[str, Any], model_of: Opened) -> None:
        with fake(extra={"logprobs": {"token_logprobs": [-1.0]}, **choice}) as server:
            [completion] = model_of(server, max_retries=1).generate(requests(), Sampling(4))
        assert "the answer is no completion" in str(completion.error)
        assert len(server.calls) == 2

    @pytest.mark.parametrize(
        ("choice", "words"),
        [
            ({"token_ids": None}, "sent no token ids; leave tokenizer out"),
            ({"prompt_token_ids": [9]}, "answered on other token ids than it was sent"),
        ],
    )
    def test_servers_that_cannot(self, choice: dict[str, Any], words: str, model_of: Opened) -> None:
        with fake(extra=choice) as server:
            [completion] = model_of(server).generate(requests(), Sampling(4))
        assert words in str(completion.error)
        assert len(server.calls) == 1

    def test_a_wrong_model(self, model_of: Opened) -> None:
        with fake(model="another") as server:
            [completion] = model_of(server).generate(requests(), Sampling(4))
        assert "HTTP 404: The model `m` does not exist.; check the model's name" in str(completion.error)

    def test_no_server(self, model_of: Opened) -> None:
        with fake() as server:
            pass
        model = model_of(server, max_retries=1)
        assert "is a server running there?" in str(model.generate(requests(), Sampling(4))[0].error)
        for call in (lambda: model.score(requests(), [[5]]), lambda: model.load_adapter("x")):
            with pytest.raises(LanguageModelError, match=r"connection failed.*given up after 1 try"):
                call()

    def test_closed_meanwhile(self, model_of: Opened) -> None:
        import threading
        import time

        with fake(script=["slow"], slow_s=30) as server:
            model = model_of(server, timeout_s=30)
            ends = threading.Thread(target=lambda: (_until(server.calls), time.sleep(0.05), model.close()))
            ends.start()
            with pytest.raises(LanguageModelError, match="closed before the answer came"):
                model.score(requests(), [[5]])
            ends.join()


def _until(calls: Sequence[object]) -> None:
    import time

    while not calls:
        time.sleep(0.01)


class TestTempering:
    def test_log_probs_before_temperature_are_refused(self, model_of: Opened) -> None:
        with fake(processed=False) as server:
            model = model_of(server)
            assert model.generate(requests(), Sampling(4, 1.0))[0].error is None
            assert model.generate(requests(), Sampling(4, 0.0))[0].error is None
            for sampling in (Sampling(4, 0.7), Sampling(4, 1.0, 0.9)):
                [completion] = model.generate(requests(), sampling)
                assert "before temperature and top_p" in str(completion.error)
                assert "--logprobs-mode processed_logprobs" in str(completion.error)

    def test_servers_that_temper_are_asked_once(self, model_of: Opened) -> None:
        with fake() as server:
            model = model_of(server)
            for _ in range(2):
                assert {c.error for c in model.generate(requests(3), Sampling(4, 0.7))} == {None}
        assert len(server.calls) == 7


class TestScore:
    def test_it_gives_what_was_sampled(self, model_of: Opened) -> None:
        with fake() as one, fake() as two:
            model = model_of(one, two)
            completions = model.generate(requests(9), Sampling(6))
            scores = model.score(requests(9), [c.token_ids for c in completions])
        for score, completion in zip(scores, completions, strict=True):
            np.testing.assert_allclose(score, completion.log_probs, atol=1e-12)

    def test_it_means_what_the_transformers_engine_means(self, model_of: Opened) -> None:
        torch = pytest.importorskip("torch")
        tiny: Any = load_language_model("tiny")

        class Tiny:
            def logits(self, ids: Sequence[int], start: int, adapter: str | None) -> np.ndarray:
                with torch.no_grad():
                    rows: np.ndarray = tiny.model(torch.tensor([ids])).logits[0, start:].double().numpy()
                return rows

        texts = ["What is 2 + 2?", "", "5 apples"]
        with fake(engine=Tiny()) as server:
            model = model_of(server)
            assert model.codec.identity() == tiny.codec.identity()
            ours, theirs = model.score(requests(3), texts), tiny.score(requests(3), texts)
            sampled = model.generate(requests(3), Sampling(5, 0.8, 0.9))
        for our, their in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(our, their, atol=1e-5)
        for got in sampled:
            assert 0 < len(got.token_ids) <= 5

    def test_an_empty_reply_and_no_rows(self, model_of: Opened) -> None:
        with fake() as server:
            model = model_of(server)
            assert model.score(requests(), [[]]) == [[]]
            assert model.score([], []) == []

    def test_bad_input(self, model_of: Opened) -> None:
        with fake(max_context=10) as server:
            model = model_of(server)
            with pytest.raises(ValueError, match="1 requests but 2 texts"):
                model.score(requests(), [[5], [6]])
            with pytest.raises(ValueError, match="the context is empty"):
                model.score(requests(1, prompt_ids=[]), [[5]])
            with pytest.raises(ValueError, match="maximum context length is 10 tokens"):
                model.score(requests(), [[5] * 20])
            with pytest.raises(ValueError, match="score works on token ids: give tokenizer="):
                model_of(server, tokenizer=None).score(requests(), [[5]])

    def test_users_without_a_tokenizer_say_that_they_cannot(self, model_of: Opened) -> None:
        with fake() as server:
            user: Any = simulators.build(
                {"name": "prompted", "language_model": model_of(server, tokenizer=None)}
            )
        with pytest.raises(NotImplementedError, match="or a server with a tokenizer"):
            user.scoring_model()

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            ({"prompt_logprobs": None}, "sent no log-probabilities of the prompt"),
            ({"prompt_logprobs": [None]}, "the answer is no completion"),
            ({"prompt_logprobs": [None, {"7": {"logprob": -1.0}}]}, "the answer is no completion"),
        ],
    )
    def test_servers_that_cannot(self, answer: dict[str, Any], words: str, model_of: Opened) -> None:
        with fake(extra=answer) as server, pytest.raises(LanguageModelError, match=words):
            model_of(server, max_retries=0).score(requests(), [[5, 6]])


class TestMaxContext:
    def test_the_server_says(self, model_of: Opened) -> None:
        with fake(max_context=77) as server:
            model = model_of(server)
            assert model.max_context == model.max_context == 76
        assert len(server.others) == 1

    def test_a_server_that_does_not_say(self, model_of: Opened) -> None:
        with fake(scripts={"models": ["404"] * 9}) as server:
            model = model_of(server)
            assert model.generate(requests(), Sampling(4))[0].error is None
            with pytest.raises(LanguageModelError, match="HTTP 404"):
                _ = model.max_context
        with fake(model="another") as server, pytest.raises(LanguageModelError, match="max_model_len"):
            _ = model_of(server).max_context


class TestAdapters:
    def test_each_replaces_the_one_before_on_every_server(self, tmp_path: Path, model_of: Opened) -> None:
        first, second = tmp_path / "step-1", tmp_path / "step-2"
        first.mkdir()
        second.mkdir()
        with fake() as one, fake() as two:
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
        with fake() as server:
            model = model_of(server)
            model.load_adapter(tmp_path)
            [before] = server.adapters
            model.load_adapter(tmp_path)
            [after] = server.adapters
        assert before != after

    def test_a_refusal_leaves_everything_as_it_was(self, tmp_path: Path, model_of: Opened) -> None:
        with fake() as willing, fake(scripts={"load_lora_adapter": [None, "404"]}) as unwilling:
            model = model_of(willing, unwilling)
            model.load_adapter(tmp_path)
            before = model.generate(requests(4), Sampling(4)), dict(willing.adapters)
            with pytest.raises(LanguageModelError, match=r"cannot be loaded.*404.*--enable-lora") as caught:
                model.load_adapter(tmp_path)
            assert (model.generate(requests(4), Sampling(4)), willing.adapters) == before
        assert unwilling.base_url in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_folder_that_the_server_cannot_see(self, tmp_path: Path, model_of: Opened) -> None:
        with fake() as server, pytest.raises(LanguageModelError, match="No adapter found for"):
            model_of(server).load_adapter(tmp_path / "nothing")

    @pytest.mark.parametrize("fault", ["cut_off", "500", "dropped"])
    def test_a_passing_fault_passes(self, fault: Any, tmp_path: Path, model_of: Opened) -> None:
        with fake(scripts={"load_lora_adapter": [fault], "unload_lora_adapter": [fault]}) as server:
            model = model_of(server)
            model.load_adapter(tmp_path)
            model.load_adapter(tmp_path)
            assert len(server.adapters) == 1
            assert model.generate(requests(), Sampling(4))[0].error is None

    def test_one_that_cannot_be_dropped_is_logged(
        self, tmp_path: Path, model_of: Opened, caplog: pytest.LogCaptureFixture
    ) -> None:
        with fake(scripts={"unload_lora_adapter": ["401"]}) as server:
            model = model_of(server)
            model.load_adapter(tmp_path)
            model.load_adapter(tmp_path)
        assert "stays loaded" in caplog.text

    def test_a_retry_uses_the_adapter_of_that_moment(self, tmp_path: Path, model_of: Opened) -> None:
        import threading

        with fake(script=["slow"], slow_s=0.6) as server:
            model = model_of(server, timeout_s=0.5)
            said: list[Completion] = []
            row = threading.Thread(target=lambda: said.extend(model.generate(requests(), Sampling(4))))
            row.start()
            _until(server.calls)
            model.load_adapter(tmp_path)
            row.join()
            assert said == model.generate(requests(), Sampling(4))

    def test_a_server_that_lost_it_is_given_it_again(self, tmp_path: Path, model_of: Opened) -> None:
        with fake() as one, fake() as two:
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
        with fake(scripts={"load_lora_adapter": [None, "404"]}) as server:
            model = model_of(server)
            model.load_adapter(tmp_path)
            server.adapters.clear()
            [completion] = model.generate(requests(), Sampling(4))
        assert f"the adapter {str(tmp_path)!r} is lost and cannot be loaded again" in str(completion.error)
        assert "--enable-lora" in str(completion.error)
        assert "\n" not in str(completion.error)

    def test_a_pickle_knows_its_adapter(self, tmp_path: Path, model_of: Opened) -> None:
        with fake() as server:
            model = model_of(server)
            model.load_adapter(tmp_path)
            other = pickle.loads(pickle.dumps(model))
            model_of.models.append(other)
            assert other.identity() == model.identity()
            assert other.generate(requests(), Sampling(4)) == model.generate(requests(), Sampling(4))


class TestSeveralServers:
    def test_dialogues_are_spread_and_stay(self, model_of: Opened) -> None:
        with fake() as one, fake() as two:
            model = model_of(one, two)
            for turn in range(3):
                asked = [GenerationRequest(i, (), NoiseKey((i,)), prompt_ids=[i + 1, turn]) for i in range(8)]
                model.generate(asked, Sampling(4))
            homes = [{call.body["prompt"][0] for call in server.calls} for server in (one, two)]
            model.forget(range(8))
        assert [len(home) for home in homes] == [4, 4]
        assert not homes[0] & homes[1]

    def test_one_that_is_down_costs_nothing_but_time(self, model_of: Opened) -> None:
        with fake() as down:
            pass
        with fake() as up:
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
        with fake() as first:
            port = first.port
        with fake() as second:
            model = model_of(first, second)
            assert model.generate(requests(), Sampling(4))[0].error is None
            model.forget([0])
            with fake(port=port) as again:
                for _ in range(20):
                    model.generate(requests(8), Sampling(4))
                    model.forget(range(8))
                assert again.calls

    def test_a_row_goes_elsewhere_when_its_server_fails(self, model_of: Opened) -> None:
        with fake(script=["500"] * 99) as bad, fake() as good:
            model = model_of(bad, good, max_retries=1)
            assert {c.error for c in model.generate(requests(6), Sampling(4))} == {None}
        assert bad.calls

    def test_another_is_asked_while_one_wants_to_wait(self, model_of: Opened) -> None:
        with fake(script=["429"], retry_after="3600") as busy, fake() as free:
            model = model_of(busy, free)
            assert {c.error for c in model.generate(requests(4), Sampling(4))} == {None}

    def test_errors_name_the_server_that_failed_last(self, model_of: Opened) -> None:
        with fake(script=["401"] * 9) as one, fake(script=["401"] * 9) as two:
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


class TestTokenizers:
    def test_templates_that_cannot_be_trained_on(
        self, build_tokenizer: Any, chatml: str, tmp_path: Path
    ) -> None:
        rewriting = chatml.replace("{% for m in messages %}", "{% for m in messages[-1:] %}")
        for name, template, words in [
            ("none", None, "the tokenizer has no chat template"),
            ("rewriting", rewriting, "the template drops, repeats or reorders"),
        ]:
            tokenizer = build_tokenizer(chatml)
            tokenizer.chat_template = template
            tokenizer.save_pretrained(tmp_path / name)
            with pytest.raises(ValueError, match=words) as caught:
                HttpModel("http://h/v1", "m", tokenizer=str(tmp_path / name))
            assert "\n" not in str(caught.value)

    def test_no_tokenizer_there(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "nothing"):
            with pytest.raises(FileNotFoundError, match="no tokenizer at") as caught:
                HttpModel("http://h/v1", "m", tokenizer=str(path))
            assert "\n" not in str(caught.value)
        for bad in ("", 3):
            with pytest.raises(ValueError, match="tokenizer must be a folder or hub name"):
                HttpModel("http://h/v1", "m", tokenizer=bad)  # type: ignore[arg-type]

    def test_what_a_learner_can_use(self) -> None:
        spec = {"name": "http", "base_url": "http://h/v1", "model": "m"}
        engine: AdapterModel = load_adapter_model({**spec, "tokenizer": TINY})
        assert engine.codec.end_of_turn_id == 1
        with pytest.raises(ValueError, match="has no codec: use 'vllm:PATH', 'transformers:PATH' or a vLLM"):
            load_adapter_model(spec)


def test_the_key_is_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path, model_of: Opened
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    caplog.set_level(logging.DEBUG)
    scripts: Any = {"load_lora_adapter": [None, None, "401"], "unload_lora_adapter": ["401"]}
    with fake(script=["401", "junk", "500", "dropped"], scripts=scripts, key=CANARY) as server:
        model = model_of(server, max_retries=0, concurrency=1)
        shown: list[object] = [*model.generate(requests(5), Sampling(4)), model, str(model), model.identity()]
        model.load_adapter(tmp_path)
        model.load_adapter(tmp_path)
        with pytest.raises(LanguageModelError, match=r"Incorrect API key provided: \*\*\*") as caught:
            model.load_adapter(tmp_path)
    assert {call.headers["authorization"] for call in server.calls + server.others} == {f"Bearer {CANARY}"}
    assert "stays loaded" in caplog.text
    shown += [caplog.text, caught.value, pickle.dumps(model), vars(model)]
    assert [text for text in map(repr, shown) if "canary" in text] == []
