"""Token ids in and out of a server, and scores: what a learner needs of an engine."""

import logging
import pickle
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openai")

from dialogue_gym.language_models import (
    AdapterModel,
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
from tests.fake_server import TINY, TINY_TOKENS, TRANSIENT, token_server
from tests.fake_server_engine import sample
from tests.language_models.conftest import Opened, requests

pytestmark = pytest.mark.usefixtures("no_key")

CANARY = "sk-canary-7f3a9b2c"


class TestCompletions:
    def test_it_keeps_the_protocol_with_several_servers(self, model_of: Opened) -> None:
        with token_server() as one, token_server() as two:
            checked = check_language_model(model_of(one, two), 4, max_tokens=4)
        assert checked[-1] == "takes token ids as the context"

    def test_what_is_sent(self, model_of: Opened) -> None:
        with token_server() as server:
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
        with token_server() as server:
            model = model_of(server)
            asked = requests(20)
            completions = model.generate(asked, Sampling(3, 1.3, 0.95))
        bodies = {tuple(call.body["prompt"]): call.body for call in server.calls}
        for request, completion in zip(asked, completions, strict=True):
            assert completion.prompt_ids == model.codec.encode(request.messages)
            ids, log_probs = sample(TINY_TOKENS, bodies[tuple(completion.prompt_ids)], None)
            assert (completion.token_ids, completion.log_probs) == (ids, log_probs)
            assert completion.text == model.codec.decode(ids)
            assert completion.finish_reason == ("stop" if ids[-1] == 1 else "length")
        assert {c.finish_reason for c in completions} == {"stop", "length"}

    def test_it_does_what_the_transformers_engine_does_with_bad_rows(self, model_of: Opened) -> None:
        with token_server() as server:
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
        with token_server(max_context=13) as server:
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
        with token_server(max_context=12) as server:
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
        with token_server(script=[fault], scripts={"models": [fault]}, slow_s=9) as server:
            [completion] = model_of(server, timeout_s=0.3).generate(requests(), Sampling(4))
        assert completion.error is None
        assert (len(server.others), len(server.calls)) == (2, 2)

    @pytest.mark.parametrize("fault", ["junk", "truncated", "not_json"])
    def test_junk_is_told_in_one_line(self, fault: Any, model_of: Opened) -> None:
        with token_server(script=[fault] * 9) as server:
            [completion] = model_of(server, max_retries=1).generate(requests(), Sampling(4))
        assert str(completion.error).startswith(f"'m' at {server.base_url}: the answer is no completion: ")
        assert "\n" not in str(completion.error)
        assert str(completion.error).isprintable()

    def test_junk_without_end_is_not_read_to_its_end(self, model_of: Opened) -> None:
        with token_server(script=["endless"]) as server:
            [completion] = model_of(server, max_retries=0, timeout_s=60).generate(requests(), Sampling(4))
        assert "more than 64 MiB" in str(completion.error)

    def test_an_answer_after_the_deadline(self, model_of: Opened) -> None:
        with token_server(script=["slow"] * 9, slow_s=9) as server:
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
        with token_server(extra={"logprobs": {"token_logprobs": [-1.0]}, **choice}) as server:
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
        with token_server(extra=choice) as server:
            [completion] = model_of(server).generate(requests(), Sampling(4))
        assert words in str(completion.error)
        assert len(server.calls) == 1

    def test_a_wrong_model(self, model_of: Opened) -> None:
        with token_server(model="another") as server:
            [completion] = model_of(server).generate(requests(), Sampling(4))
        assert "HTTP 404: The model `m` does not exist.; check the model's name" in str(completion.error)

    def test_no_server(self, model_of: Opened) -> None:
        with token_server() as server:
            pass
        model = model_of(server, max_retries=1)
        assert "is a server running there?" in str(model.generate(requests(), Sampling(4))[0].error)
        for call in (lambda: model.score(requests(), [[5]]), lambda: model.load_adapter("x")):
            with pytest.raises(LanguageModelError, match=r"connection failed.*given up after 1 try"):
                call()

    def test_closed_meanwhile(self, model_of: Opened) -> None:
        with token_server(script=["slow"], slow_s=30) as server:
            model = model_of(server, timeout_s=30)
            ends = threading.Thread(target=lambda: (server.await_call(), time.sleep(0.05), model.close()))
            ends.start()
            with pytest.raises(LanguageModelError, match="closed before the answer came"):
                model.score(requests(), [[5]])
            ends.join()


class TestTempering:
    def test_log_probs_before_temperature_are_refused(self, model_of: Opened) -> None:
        with token_server(processed=False) as server:
            model = model_of(server)
            assert model.generate(requests(), Sampling(4, 1.0))[0].error is None
            assert model.generate(requests(), Sampling(4, 0.0))[0].error is None
            for sampling in (Sampling(4, 0.7), Sampling(4, 1.0, 0.9)):
                [completion] = model.generate(requests(), sampling)
                assert "before temperature and top_p" in str(completion.error)
                assert "--logprobs-mode processed_logprobs" in str(completion.error)

    def test_servers_that_temper_are_asked_once(self, model_of: Opened) -> None:
        with token_server() as server:
            model = model_of(server)
            for _ in range(2):
                assert {c.error for c in model.generate(requests(3), Sampling(4, 0.7))} == {None}
        assert len(server.calls) == 7


class TestScore:
    def test_it_gives_what_was_sampled(self, model_of: Opened) -> None:
        with token_server() as one, token_server() as two:
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
        with token_server(engine=Tiny()) as server:
            model = model_of(server)
            assert model.codec.identity() == tiny.codec.identity()
            ours, theirs = model.score(requests(3), texts), tiny.score(requests(3), texts)
            sampled = model.generate(requests(3), Sampling(5, 0.8, 0.9))
        for our, their in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(our, their, atol=1e-5)
        for got in sampled:
            assert 0 < len(got.token_ids) <= 5

    def test_an_empty_reply_and_no_rows(self, model_of: Opened) -> None:
        with token_server() as server:
            model = model_of(server)
            assert model.score(requests(), [[]]) == [[]]
            assert model.score([], []) == []

    def test_bad_input(self, model_of: Opened) -> None:
        with token_server(max_context=10) as server:
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
        with token_server() as server:
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
        with token_server(extra=answer) as server, pytest.raises(LanguageModelError, match=words):
            model_of(server, max_retries=0).score(requests(), [[5, 6]])


class TestMaxContext:
    def test_the_server_says(self, model_of: Opened) -> None:
        with token_server(max_context=77) as server:
            model = model_of(server)
            assert model.max_context == model.max_context == 76
        assert len(server.others) == 1

    def test_a_server_that_does_not_say(self, model_of: Opened) -> None:
        with token_server(scripts={"models": ["404"] * 9}) as server:
            model = model_of(server)
            assert model.generate(requests(), Sampling(4))[0].error is None
            with pytest.raises(LanguageModelError, match="HTTP 404"):
                _ = model.max_context
        with (
            token_server(model="another") as server,
            pytest.raises(LanguageModelError, match="max_model_len"),
        ):
            _ = model_of(server).max_context


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
    with token_server(script=["401", "junk", "500", "dropped"], scripts=scripts, key=CANARY) as server:
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
