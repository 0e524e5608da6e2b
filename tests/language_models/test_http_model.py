"""A server that fails in every way costs single rows, with a reason each, and never the others."""

import copy
import itertools
import json
import logging
import pickle
import signal
import sys
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest

from dialogue_gym.language_models import (
    Completion,
    GenerationRequest,
    HttpModel,
    LanguageModel,
    Sampling,
    load_language_model,
)
from dialogue_gym.seeding import NoiseKey
from tests.fake_server import TRANSIENT, FakeServer

QUICK: dict[str, Any] = {"backoff_s": 0.01, "timeout_s": 0.5}
CANARY = "sk-canary-7f3a9b2c"


@pytest.fixture(autouse=True)
def _no_key_and_no_thread_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    before = set(threading.enumerate())
    yield
    ends = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < ends:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before


def requests(count: int = 1, text: str = "hello") -> list[GenerationRequest]:
    return [
        GenerationRequest(i, ({"role": "user", "content": f"{text} {i}"},), NoiseKey((i,)))
        for i in range(count)
    ]


def model_of(server: FakeServer, **settings: Any) -> HttpModel:
    return HttpModel(server.base_url, "m", **{**QUICK, **settings})


def ask(server: FakeServer, count: int = 1, **settings: Any) -> list[Completion]:
    model = model_of(server, **settings)
    try:
        return model.generate(requests(count), Sampling())
    finally:
        model.close()


class TestAnswers:
    def test_rows_in_order_each_with_a_seed_of_its_key(self) -> None:
        with FakeServer() as server:
            completions = ask(server, 20)
            assert completions == ask(server, 20)
        assert [c.text.split(" (")[0] for c in completions] == [f"I heard 'hello {i}'" for i in range(20)]
        assert all(c.finish_reason == "stop" and c.token_ids == [] for c in completions)
        seeds = {call.body["seed"] for call in server.calls}
        assert len(seeds) == 20
        assert all(0 <= seed < 2**31 for seed in seeds)

    def test_what_is_sent(self) -> None:
        with FakeServer() as server:
            extra = {"top_k": 5, "top_p": None}
            model = model_of(
                server, seed=False, max_tokens_field="max_completion_tokens", extra_body=extra, log_probs=True
            )
            messages: Any = ({"role": "system", "content": "Be."}, {"role": "user", "content": "a \ud800"})
            model.generate([GenerationRequest(0, messages, NoiseKey((0,)))], Sampling(7, 0.5, 0.9))
            model.close()
        assert server.calls[0].body == {
            "model": "m",
            "messages": [{"role": "system", "content": "Be."}, {"role": "user", "content": "a \ufffd"}],
            "max_completion_tokens": 7,
            "temperature": 0.5,
            "logprobs": True,
            "top_k": 5,
        }

    def test_token_ids_and_log_probs_where_the_server_gives_them(self) -> None:
        log_probs = {"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.5}]}
        extra = {"logprobs": log_probs, "token_ids": [5, 6], "answer": {"prompt_token_ids": [1, 2, 3]}}
        with FakeServer(extra=extra) as server:
            [completion] = ask(server, log_probs=True, token_ids=True)
        assert server.calls[0].body["return_token_ids"] is True
        assert (completion.token_ids, completion.prompt_ids) == ([5, 6], [1, 2, 3])
        assert completion.log_probs == [-0.5, -1.5]

    def test_log_probs_of_tokens_without_ids(self) -> None:
        with FakeServer(extra={"logprobs": {"content": [{"token": "a", "logprob": -0.5}]}}) as server:
            [completion] = ask(server, log_probs=True)
        assert (completion.token_ids, completion.log_probs) == ([], [-0.5])

    def test_ids_that_do_not_match_their_log_probs_are_refused(self) -> None:
        extra = {"logprobs": {"content": [{"token": "a", "logprob": -0.5}]}, "token_ids": [5, 6]}
        with FakeServer(extra=extra) as server:
            [completion] = ask(server, max_retries=0)
        assert "2 token ids with 1 log-probabilities" in str(completion.error)

    @pytest.mark.parametrize(
        ("choice", "text", "reason"),
        [
            ({"finish_reason": "length"}, "hi", "length"),
            ({"finish_reason": None}, "hi", "stop"),
            ({"finish_reason": "content_filter"}, "", "error"),
            ({"message": {"content": None}, "finish_reason": "length"}, "", "length"),
            ({"message": {"content": None, "refusal": "No."}}, "No.", "stop"),
            ({"message": {"content": "a \ud800"}}, "a \ufffd", "stop"),
            ({"message": {"content": [1]}}, "", "error"),
            ({"message": "hi"}, "", "error"),
        ],
    )
    def test_kinds_of_answers(self, choice: dict[str, Any], text: str, reason: str) -> None:
        with FakeServer(lambda body: "hi", extra=choice) as server:
            [completion] = ask(server, max_retries=0)
        assert (completion.text, completion.finish_reason) == (text, reason)

    def test_no_requests_no_call(self) -> None:
        assert HttpModel("http://127.0.0.1:9/v1", "m").generate([], Sampling()) == []


class TestFailures:
    @pytest.mark.parametrize("fault", TRANSIENT)
    def test_a_passing_fault_passes(self, fault: Any) -> None:
        with FakeServer(script=[fault]) as server:
            [completion] = ask(server)
        assert completion.text.startswith("I heard")
        assert len(server.calls) == 2

    @pytest.mark.parametrize(
        ("fault", "words"),
        [
            ("429", ["HTTP 429: Slow down.", "concurrency"]),
            ("500", ["HTTP 500: <html>Internal Server Error</html>"]),
            ("not_json", ["no chat completion: <html> <body>Back soon", "base_url"]),
            ("no_choices", ["no chat completion", "upstream failed"]),
            ("cut_off", ["connection failed", "without sending complete message body"]),
            ("slow", ["no answer within 0.2 s", "timeout_s"]),
            ("dropped", ["connection failed", "is a server running"]),
        ],
    )
    def test_a_lasting_fault_is_told_in_one_line(self, fault: Any, words: list[str]) -> None:
        with FakeServer(script=[fault] * 9) as server:
            [completion] = ask(server, max_retries=2, timeout_s=0.2)
        assert len(server.calls) == 3
        assert completion.finish_reason == "error"
        assert completion.text == ""
        error = str(completion.error)
        assert "\n" not in error
        assert [
            w for w in [f"'m' at {server.base_url}", "given up after 3 tries", *words] if w not in error
        ] == []

    @pytest.mark.parametrize(("fault", "advice"), [("401", "OPENAI_API_KEY"), ("404", "/v1")])
    def test_a_wrong_key_or_model_fails_at_once(self, fault: Any, advice: str) -> None:
        with FakeServer(script=[fault]) as server:
            first, second = ask(server, 2, concurrency=1)
        assert len(server.calls) == 2
        assert f"HTTP {fault}" in str(first.error)
        assert advice in str(first.error)
        assert "given up" not in str(first.error)
        assert second.text.startswith("I heard 'hello 1'")

    def test_wrong_path_and_wrong_model(self) -> None:
        with FakeServer() as server:
            for url, model in [(server.base_url.removesuffix("/v1"), "m"), (server.base_url, "other")]:
                other = HttpModel(url, model, **QUICK)
                [completion] = other.generate(requests(), Sampling())
                other.close()
                assert "HTTP 404: " in str(completion.error)

    def test_nothing_there(self) -> None:
        with FakeServer() as server:
            pass
        [completion] = ask(server, max_retries=1)
        assert "connection failed" in str(completion.error)
        assert "is a server running there?" in str(completion.error)

    def test_a_full_context_is_overflow(self) -> None:
        with FakeServer(room=7) as server:
            completions = ask(server, 11)
        assert [c.finish_reason for c in completions] == ["stop"] * 10 + ["overflow"]
        assert "maximum context length is 7 tokens" in str(completions[10].error)
        assert len(server.calls) == 11

    def test_prompt_ids_are_refused(self) -> None:
        with FakeServer() as server:
            model = model_of(server)
            given = GenerationRequest(0, requests()[0].messages, NoiseKey((0,)), prompt_ids=[1])
            refused, fine = model.generate([given, *requests()], Sampling())
            model.close()
        assert "prompt_ids" in str(refused.error)
        assert fine.error is None


class TestWaiting:
    @pytest.mark.parametrize("retry_after", [lambda: "1", lambda: formatdate(time.time() + 3, usegmt=True)])
    def test_retry_after_is_honoured(self, retry_after: Any) -> None:
        with FakeServer(script=["429"], retry_after=retry_after()) as server:
            [completion] = ask(server)
        assert completion.error is None
        assert 0.9 < server.calls[1].at - server.calls[0].at < 5

    def test_a_wait_beyond_the_deadline_is_not_begun(self) -> None:
        began = time.monotonic()
        with FakeServer(script=["429"], retry_after="3600") as server:
            [completion] = ask(server, deadline_s=30.0)
        assert time.monotonic() - began < 10
        assert "the deadline of 30 s" in str(completion.error)
        assert "HTTP 429" in str(completion.error)

    def test_the_deadline_bounds_a_row(self) -> None:
        began = time.monotonic()
        with FakeServer(script=["slow"] * 99) as server:
            [completion] = ask(server, timeout_s=60.0, deadline_s=1.5, max_retries=99)
        assert time.monotonic() - began < 30
        assert "no answer within 1.5 s" in str(completion.error)

    def test_waits_double_with_jitter(self) -> None:
        with FakeServer(script=["500"] * 3) as server:
            ask(server, backoff_s=0.1)
        at = [call.at for call in server.calls]
        for i, (before, after) in enumerate(itertools.pairwise(at)):
            assert after - before >= 0.05 * 2**i

    def test_never_more_at_once_than_agreed(self) -> None:
        with FakeServer(latency_s=0.02) as server:
            model = model_of(server, concurrency=3)
            callers = [
                threading.Thread(target=model.generate, args=(requests(8), Sampling())) for _ in range(3)
            ]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()
            model.close()
        assert len(server.calls) == 24
        assert server.most_at_once == 3


class TestKeys:
    def test_it_is_sent_and_shown_nowhere(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", CANARY)
        caplog.set_level(logging.DEBUG)
        with FakeServer(script=["401", "slow", "not_json", "500"], slow_s=9, key=CANARY) as server:
            model = model_of(server, max_retries=0, timeout_s=0.2, concurrency=1)
            completions = model.generate(requests(5), Sampling())
            model.close()
        assert [c.finish_reason for c in completions] == ["error"] * 4 + ["stop"]
        assert "Incorrect API key provided: ***." in str(completions[0].error)
        assert {call.headers["authorization"] for call in server.calls} == {f"Bearer {CANARY}"}
        shown = [repr(model), str(model), json.dumps(model.identity()), *map(repr, completions)]
        assert [text for text in [*shown, caplog.text] if "canary" in text] == []
        assert b"canary" not in pickle.dumps(model)

    def test_no_part_of_a_long_quote_is_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", CANARY * 40)
        with FakeServer(script=["401"]) as server:
            [completion] = ask(server)
        assert "canary" not in str(completion.error)

    def test_another_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_KEY", f" {CANARY}\n")
        with FakeServer(key=CANARY) as server:
            [completion] = ask(server, api_key_variable="MY_KEY")
            [refused] = ask(server)
        assert completion.error is None
        assert "HTTP 401" in str(refused.error)

    def test_variables_that_cannot_be(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ValueError, match=r"MY_KEY .* is not set"):
            HttpModel("http://h/v1", "m", api_key_variable="MY_KEY")
        for bad in ("sk-canary x", "sk-canary\u00e9", "sk-canary\x07"):
            monkeypatch.setenv("MY_KEY", bad)
            with pytest.raises(ValueError, match="MY_KEY holds more") as caught:
                HttpModel("http://h/v1", "m", api_key_variable="MY_KEY")
            assert "canary" not in str(caught.value)


class TestLife:
    def test_close_ends_what_runs_and_a_later_call_opens_again(self) -> None:
        with FakeServer(script=["slow"] * 2, slow_s=30) as server:
            model = model_of(server, timeout_s=30)
            heard: list[list[Completion]] = []
            caller = threading.Thread(target=lambda: heard.append(model.generate(requests(2), Sampling())))
            caller.start()
            while len(server.calls) < 2:
                time.sleep(0.01)
            model.close()
            caller.join(5)
            assert [c.error for c in heard[0]] == [f"{model}: closed before the answer came"] * 2
            assert model.generate(requests(), Sampling())[0].error is None
            model.close()
            model.close()

    def test_a_model_that_nobody_holds_closes_itself(self) -> None:
        with FakeServer() as server:
            before = threading.active_count()
            model = model_of(server)
            model.generate(requests(), Sampling())
            assert threading.active_count() > before
            del model  # the fixture sees to the thread

    def test_an_interrupt_cancels_what_runs(self) -> None:
        def interrupt() -> None:
            while not server.calls:
                time.sleep(0.01)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        with FakeServer(script=["slow"], slow_s=30) as server:
            model = model_of(server, timeout_s=30, concurrency=1)
            threading.Thread(target=interrupt).start()
            with pytest.raises(KeyboardInterrupt):
                model.generate(requests(), Sampling())
            began = time.monotonic()
            assert model.generate(requests(), Sampling())[0].error is None
            assert time.monotonic() - began < 10
            model.close()

    def test_copies_share_it_and_pickles_open_their_own(self) -> None:
        with FakeServer() as server:
            model = model_of(server, max_retries=7, extra_body={"top_k": 3})
            model.generate(requests(), Sampling())
            assert copy.deepcopy(model) is model is copy.copy(model)
            other = pickle.loads(pickle.dumps(model))
            assert repr(other) == repr(model)
            assert other.generate(requests(), Sampling())[0].error is None
            model.close()
            other.close()


class TestNames:
    def test_an_address_or_a_dict(self) -> None:
        model: Any = load_language_model("https://host.example:8000/v1/#org/name:7b#x")
        assert isinstance(model, LanguageModel)
        assert (model.base_url, model.model) == ("https://host.example:8000/v1", "org/name:7b#x")
        options = {"base_url": "http://h/v1", "model": "m", "concurrency": 3}
        same: Any = load_language_model({"name": "http", **options})
        assert same.concurrency == 3
        assert same.identity() == {"engine": "http", "model": "m", "base_url": "http://h/v1", "seed": True}

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("http://h/v1", "'http://HOST:PORT/v1#MODEL'"),
            ("https://h/v1#", "'http://HOST:PORT/v1#MODEL'"),
            ("http:#m", "base_url must be http"),
            ("http://:80/v1#m", "base_url must be http"),
            ("http://h:port/v1#m", "base_url must be http"),
            ("http://h:99999/v1#m", "base_url must be http"),
            ("http://user:canary@h/v1#m", "without a user name, password or query"),
            ("https://h/v1?key=canary#m", "without a user name, password or query"),
            ("http", "missing a required argument: 'base_url'"),
            ({"name": "http", "base_url": "ftp://h", "model": "m"}, "base_url must be http"),
            ({"name": "http", "base_url": "h:80/v1", "model": "m"}, "base_url must be http"),
            ({"name": "http", "base_url": "http://h /v1", "model": "m"}, "base_url must be http"),
            ({"name": "http", "base_url": 3, "model": "m"}, "base_url must be http"),
            ({"name": "http", "base_url": "http://h", "model": ""}, "model must be a name"),
            (
                {"name": "http", "base_url": "http://h", "model": "m", "api_key": "canary"},
                "no option 'api_key'",
            ),
            ({"name": "http", "base_url": "http://h", "model": "m", "concurrency": 0}, "concurrency must be"),
            ({"name": "http", "base_url": "http://h", "model": "m", "timeout_s": "1"}, "timeout_s must be"),
            (
                {"name": "http", "base_url": "http://h", "model": "m", "max_tokens_field": "x"},
                "must be one of",
            ),
            ({"name": "http", "base_url": "http://h", "model": "m", "extra_body": []}, "must be a dict"),
        ],
    )
    def test_bad_input_is_told_in_one_line(self, spec: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            load_language_model(spec)
        assert "\n" not in str(caught.value)
        assert "canary" not in str(caught.value)

    def test_a_missing_client_names_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "openai", None)
        with pytest.raises(ImportError, match=r"dialogue-gym\[http\]"):
            load_language_model("http://h/v1#m")
