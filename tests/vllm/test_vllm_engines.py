"""One list of checks for vLLM behind a server and in this process: it does what transformers does."""

import json
import os
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from dialogue_gym.language_models.base import Completion, GenerationRequest, LanguageModelError, Sampling
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.language_models.transformers_engine import TransformersModel
from dialogue_gym.seeding import NoiseKey

VLLM = os.environ["DIALOGUE_GYM_VLLM"]
IN_PROCESS = VLLM == "process"
BOUND = 1e-4  # between log-probabilities of the two engines, float32
QUESTIONS = [
    "Hi! I have 3 boxes with 12 pencils each.",
    "Ben reads some pages a day. How many does he read in 4 days?",
    "I want to tell my friends about a party.",
    "Can you help me? It is about apples.",
]


def requests(engine: Any, count: int, seed: int = 0) -> list[GenerationRequest]:
    """Contexts of one or two turns, as token ids."""
    made = []
    for i in range(count):
        ids = engine.codec.encode([{"role": "user", "content": QUESTIONS[i % len(QUESTIONS)]}])
        if i % 2:
            ids += [*engine.codec.content_ids("How many?"), engine.codec.end_of_turn_id]
            ids += engine.codec.extend([{"role": "user", "content": f"It is {i}."}])
        made.append(GenerationRequest((seed, i), [], NoiseKey((seed, i)), ids))
    return made


def gap(left: Sequence[Sequence[float]], right: Sequence[Sequence[float]]) -> float:
    """The largest difference between log-probabilities of the same tokens."""
    pairs = [pair for rows in zip(left, right, strict=True) for pair in zip(*rows, strict=True)]
    return max(abs(a - b) for a, b in pairs)


def sampled_log_probs(reference: Any, completion: Completion, sampling: Sampling) -> list[float]:
    """Those of the tempered distribution, renormalised over the nucleus, by one plain forward pass."""
    context, reply = completion.prompt_ids, completion.token_ids
    with torch.no_grad():
        logits = reference.model(torch.tensor([context + reply])).logits[0, len(context) - 1 : -1].double()
    shares = (logits / (sampling.temperature or 1.0)).softmax(-1)
    ordered, order = shares.sort(dim=-1, descending=True, stable=True)
    outside = ordered.cumsum(-1) - ordered >= sampling.top_p
    shares = shares.masked_fill(torch.zeros_like(outside).scatter(-1, order, outside), 0.0)
    log_probs = (shares / shares.sum(-1, keepdim=True)).log()
    return [float(row[i]) for row, i in zip(log_probs, reply, strict=True)]


def test_token_ids_go_in_and_out(engine: Any) -> None:
    asked = requests(engine, 8)
    answers = engine.generate(asked, Sampling(24))
    for request, answer in zip(asked, answers, strict=True):
        assert answer.error is None
        assert answer.prompt_ids == request.prompt_ids
        assert len(answer.token_ids) == len(answer.log_probs) > 0
        assert answer.text == engine.codec.decode(answer.token_ids)
        stopped = answer.token_ids[-1] == engine.codec.end_of_turn_id
        assert answer.finish_reason == ("stop" if stopped else "length")
        assert engine.codec.end_of_turn_id not in answer.token_ids[:-1]
    assert "stop" in {answer.finish_reason for answer in answers}


def test_messages_are_encoded_by_the_codec(engine: Any) -> None:
    message = {"role": "user", "content": QUESTIONS[0]}
    [answer] = engine.generate([GenerationRequest(0, [message], NoiseKey((1,)))], Sampling(4))
    assert answer.prompt_ids == engine.codec.encode([message])


def test_equal_keys_repeat_and_others_differ(engine: Any) -> None:
    sampling = Sampling(16)
    first, again = (engine.generate(requests(engine, 8), sampling) for _ in range(2))
    alone = [engine.generate([request], sampling)[0] for request in requests(engine, 8)]
    other = engine.generate(requests(engine, 8, seed=1), sampling)
    assert [a.token_ids for a in first] == [a.token_ids for a in again] == [a.token_ids for a in alone]
    assert gap([a.log_probs for a in first], [a.log_probs for a in alone]) < BOUND
    assert sum(a.token_ids != b.token_ids for a, b in zip(first, other, strict=True)) > 4


def test_threads_get_their_own_answers(engine: Any) -> None:
    asked = requests(engine, 16)
    together = engine.generate(asked, Sampling(12))
    with ThreadPoolExecutor(16) as pool:
        apart = list(pool.map(lambda request: engine.generate([request], Sampling(12))[0], asked))
    assert [a.token_ids for a in apart] == [a.token_ids for a in together]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 1.0), (1.5, 0.8), (0.0, 1.0)])
def test_log_probs_are_those_of_transformers(
    engine: Any, reference: Any, figure: Callable[..., None], temperature: float, top_p: float
) -> None:
    sampling = Sampling(24, temperature, top_p)
    answers = engine.generate(requests(engine, 16), sampling)
    expected = [sampled_log_probs(reference, answer, sampling) for answer in answers]
    largest = gap([answer.log_probs for answer in answers], expected)
    figure(f"log-probs, temperature {temperature}, top_p {top_p}", largest_difference=largest)
    assert largest < BOUND


def test_scores_are_those_of_transformers(engine: Any, reference: Any, figure: Callable[..., None]) -> None:
    asked = requests(engine, 32)
    replies = [answer.token_ids[: i % 8 + 1] for i, answer in enumerate(engine.generate(asked, Sampling(24)))]
    largest = gap(engine.score(asked, replies), reference.score(asked, replies))
    figure("scores", largest_difference=largest)
    assert largest < BOUND


def test_what_was_sampled_scores_the_same(engine: Any) -> None:
    asked = requests(engine, 8)
    answers = engine.generate(asked, Sampling(24))
    assert gap([a.log_probs for a in answers], engine.score(asked, [a.token_ids for a in answers])) < BOUND


def test_a_full_context_is_an_overflow_and_others_go_on(engine: Any) -> None:
    [good] = requests(engine, 1)
    limit = engine.max_context
    full = GenerationRequest("full", [], NoiseKey((0,)), [5] * (limit + 1))
    nearly = GenerationRequest("nearly", [], NoiseKey((0,)), [5] * (limit - 3))
    answers = engine.generate([full, good, nearly], Sampling(24))
    assert answers[0].finish_reason == "overflow"
    assert answers[0].error
    assert "\n" not in answers[0].error
    assert answers[1].error is None
    assert 1 <= len(answers[2].token_ids) <= 3
    with pytest.raises(ValueError, match="context"):
        engine.score([full], [[7]])


def test_a_token_that_there_is_not_fails_alone(engine: Any) -> None:
    [good] = requests(engine, 1)
    bad = GenerationRequest("bad", [], NoiseKey((0,)), [10**6])
    answers = engine.generate([bad, good], Sampling(4))
    assert [answer.finish_reason == "error" for answer in answers] == [True, False]


def test_a_call_that_is_cut_short_returns_and_later_ones_work(engine: Any) -> None:
    asked = [GenerationRequest(i, [], NoiseKey((i,)), [5] * 10) for i in range(64)]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(engine.generate, asked, Sampling(900))
        while not running.running():
            pass
        engine.cancel()
        answers = running.result(timeout=60)
    assert {answer.finish_reason for answer in answers} <= {"error", "stop", "length"}
    assert engine.generate(requests(engine, 1), Sampling(4))[0].error is None


def test_the_identity_is_json_and_names_the_engine(engine: Any) -> None:
    identity = json.loads(json.dumps(engine.identity()))
    assert identity["engine"] in ("http", "vllm")
    assert identity["codec"] == engine.codec.identity()


def save_adapter(folder: Path, out: Path, seed: int | None) -> str:
    """A LoRA adapter that changes much, or, without a seed, nothing."""
    torch.manual_seed(seed or 0)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", init_lora_weights=seed is None)
    with quiet():
        get_peft_model(base, config).save_pretrained(out)
    return str(out)


@pytest.fixture
def adapters(engine: Any, folder: Path, tmp_path: Path) -> Iterator[list[str]]:
    """Folders of two adapters; afterwards the base weights are back."""
    yield [save_adapter(folder, tmp_path / f"adapter{seed}", seed) for seed in (1, 2)]
    engine.load_adapter(save_adapter(folder, tmp_path / "nothing", None))


def test_adapters_change_while_it_runs(
    engine: Any, reference: Any, folder: Path, adapters: list[str], figure: Callable[..., None]
) -> None:
    asked = requests(engine, 16)
    replies = [answer.token_ids for answer in engine.generate(asked, Sampling(16))]
    before = reference.score(asked, replies)
    largest = []
    for path in adapters:
        engine.load_adapter(path)
        adapted = TransformersModel.from_pretrained(folder, adapter=path)
        expected, scored = adapted.score(asked, replies), engine.score(asked, replies)
        assert gap(expected, before) > 0.1
        answers = engine.generate(asked, Sampling(16))
        resampled = adapted.score(asked, [answer.token_ids for answer in answers])
        largest.append(gap(scored, expected))
        largest.append(gap([answer.log_probs for answer in answers], resampled))
        before = expected
    figure("adapters", largest_difference=max(largest))
    assert max(largest) < BOUND


def test_an_adapter_that_is_refused_leaves_the_one_before(
    engine: Any, folder: Path, adapters: list[str], tmp_path: Path
) -> None:
    engine.load_adapter(adapters[0])
    asked = requests(engine, 4)
    before = engine.score(asked, [[7, 8]] * 4)
    with pytest.raises(LanguageModelError, match="adapter") as caught:
        engine.load_adapter(tmp_path / "nowhere")
    assert "\n" not in str(caught.value)
    assert gap(engine.score(asked, [[7, 8]] * 4), before) < BOUND


@pytest.mark.skipif(IN_PROCESS, reason="an engine in this process is not started anew")
def test_a_server_that_lost_the_adapter_is_given_it_again(engine: Any, adapters: list[str]) -> None:
    engine.load_adapter(adapters[0])
    asked = requests(engine, 8)
    scores = engine.score(asked, [[7, 8]] * 8)
    with urllib.request.urlopen(f"{VLLM}/models", timeout=60) as answer:
        names = [card["id"] for card in json.load(answer)["data"] if card.get("parent")]
    assert len(names) == 1
    body, head = json.dumps({"lora_name": names[0]}).encode(), {"Content-Type": "application/json"}
    unload = urllib.request.Request(f"{VLLM}/unload_lora_adapter", body, head)
    urllib.request.urlopen(unload, timeout=60).close()  # as by a new start
    assert [c.error for c in engine.generate(asked, Sampling(4))] == [None] * 8
    assert gap(engine.score(asked, [[7, 8]] * 8), scores) < BOUND


def test_a_copy_shares_the_engine(engine: Any) -> None:
    import copy

    assert copy.deepcopy(engine) is engine
