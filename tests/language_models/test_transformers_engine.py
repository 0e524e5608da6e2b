from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("transformers")

import torch
from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

from dialogue_gym.dialogue import Message
from dialogue_gym.language_models import load_language_model
from dialogue_gym.language_models.base import Completion, GenerationRequest, LanguageModel, Sampling
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.language_models.modules import default_device, on_cpu
from dialogue_gym.language_models.transformers_engine import TransformersModel
from dialogue_gym.seeding import NoiseKey
from tests.language_models.conftest import SAMPLING, assert_same, request

pytestmark = pytest.mark.usefixtures("one_thread")


def play(
    model: TransformersModel, lives: list[int], *, cached: bool, token_level: bool
) -> list[list[Completion]]:
    """Dialogue i talks for ``lives[i]`` turns; finished dialogues leave, and one joins at every turn."""
    prompts: dict[int, Any] = {}
    history = []
    for turn in range(max(lives)):
        living = [i for i, life in enumerate(lives) if turn < life and turn >= i % 2]
        requests = []
        for i in living:
            contents = prompts.setdefault(i, [f"I am number {i}" * (1 + i % 3)])
            ids = contents if token_level and isinstance(contents[0], int) else None
            requests.append(
                GenerationRequest(
                    i, request(i, contents).messages if ids is None else (), NoiseKey((i, turn)), ids
                )
            )
        if not cached:
            model.weights_changed()
        completions = model.generate(requests, SAMPLING)
        history.append(completions)
        for i, done in zip(living, completions, strict=True):
            user: Message = {"role": "user", "content": f"and {turn}?"}
            if token_level:
                close = [] if done.finish_reason == "stop" else [model.codec.end_of_turn_id]
                prompts[i] = done.prompt_ids + done.token_ids + close + model.codec.extend([user])
            else:
                prompts[i] = [*prompts[i], done.text, user["content"]]
        model.forget(i for i, life in enumerate(lives) if turn + 1 >= life)
    return history


@pytest.mark.parametrize("token_level", [True, False])
@settings(max_examples=10, deadline=None)
@given(lives=st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_the_cache_changes_nothing(
    module: Any, codec: ChatCodec, lives: list[int], token_level: bool
) -> None:
    model = TransformersModel(module, codec)
    kept = play(model, lives, cached=True, token_level=token_level)
    assert len(model._store) == 0
    rebuilt = play(model, lives, cached=False, token_level=token_level)
    for left, right in zip(kept, rebuilt, strict=True):
        assert_same(left, right)


def test_the_cache_is_used(model: TransformersModel, monkeypatch: pytest.MonkeyPatch) -> None:
    widths = []
    forward = model._forward
    monkeypatch.setattr(model, "_forward", lambda x, *rest: widths.append(x.shape[1]) or forward(x, *rest))
    (first,) = model.generate([request(0, ["a long opening of a dialogue " * 5])], SAMPLING)
    extension = model.codec.extend([{"role": "user", "content": "yes"}])
    close = [] if first.finish_reason == "stop" else [model.codec.end_of_turn_id]
    ids = first.prompt_ids + first.token_ids + close + extension
    widths.clear()
    model.generate([GenerationRequest(0, (), NoiseKey((1,)), ids)], SAMPLING)
    assert widths[0] == 1 + len(close) + len(extension)
    assert set(widths[1:]) <= {1}


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_neighbours_and_order_change_nothing(module: Any, codec: ChatCodec, data: st.DataObject) -> None:
    """Any selections of the same dialogues, in any order, alternating between two groups of callers."""
    alone, together = TransformersModel(module, codec), TransformersModel(module, codec)
    contexts = {i: [f"hello {i}" * (i + 1)] for i in range(5)}
    for turn in range(3):
        living = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True))
        requests = [request(i, contexts[i], turn) for i in living]
        batched = together.generate(requests, SAMPLING)
        alone.weights_changed()
        assert_same(batched, [alone.generate([r], SAMPLING)[0] for r in requests])
        for i, done in zip(living, batched, strict=True):
            contexts[i] += [done.text, "go on"]


def test_rows_that_are_done_leave_the_batch(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many rows of ragged length, one dialogue twice; completions and later turns are as if alone."""
    sizes = []
    forward = model._forward
    monkeypatch.setattr(model, "_forward", lambda x, *rest: sizes.append(len(x)) or forward(x, *rest))
    contexts = {i: [f"hello {i}" * (1 + i % 4)] for i in range(30)}
    sampling = Sampling(max_tokens=60)
    for turn in range(2):
        requests = [request(i, contexts[i], turn) for i in [*contexts, 0]]
        done = model.generate(requests, sampling)
        assert min(sizes) <= 8 < max(sizes)
        fresh = TransformersModel(model.model, model.codec)
        assert_same(done, [fresh.generate([r], sampling)[0] for r in requests])
        for i, completion in zip(contexts, done, strict=False):
            contexts[i] += [completion.text, "go on"]


def test_one_dialogue_can_be_asked_twice_in_a_batch(model: TransformersModel) -> None:
    model.generate([request(0, ["hi"])], SAMPLING)
    twice = model.generate([request(0, ["hi"]), request(0, ["hi"], turn=1), request(0, ["hi"])], SAMPLING)
    assert_same(twice[:1], twice[2:])
    assert twice[0].token_ids != twice[1].token_ids


def training_log_probs(module: Any, rows: list[tuple[list[int], list[int]]], pad: int) -> list[torch.Tensor]:
    """A plain right-padded forward pass, as a trainer does it."""
    width = max(len(context) + len(reply) for context, reply in rows)
    ids = torch.tensor([[*c, *r] + [pad] * (width - len(c) - len(r)) for c, r in rows])
    mask = torch.tensor([[1] * len(c + r) + [0] * (width - len(c) - len(r)) for c, r in rows])
    with torch.no_grad():
        log_probs = module(input_ids=ids, attention_mask=mask).logits.float().log_softmax(-1)
    return [
        log_probs[i, len(c) - 1 : len(c) + len(r) - 1].gather(1, torch.tensor(r).unsqueeze(1)).squeeze(1)
        for i, (c, r) in enumerate(rows)
    ]


def test_log_probs_are_those_of_a_training_forward(model: TransformersModel, module: Any) -> None:
    contexts = [["hi"], ["what is 1 + 1, please?"], ["x" * 60]]
    for turn in range(3):
        done = model.generate([request(i, c, turn) for i, c in enumerate(contexts)], SAMPLING)
        expected = training_log_probs(module, [(d.prompt_ids, d.token_ids) for d in done], model.codec.pad_id)
        for completion, row in zip(done, expected, strict=True):
            np.testing.assert_allclose(completion.log_probs, row.numpy(), atol=1e-5)
        for context, completion in zip(contexts, done, strict=True):
            context += [completion.text, f"so {turn}"]


def test_scores_are_those_of_a_training_forward(model: TransformersModel, module: Any) -> None:
    requests = [request(0, ["hi"]), request(1, ["hi there", "yes?", "what now"])]
    replies = ["a longer reply <|im_end|>", ""]
    scores = model.score(requests, replies)
    rows = [
        (model.codec.encode(r.messages), [*model.codec.content_ids(t), model.codec.end_of_turn_id])
        for r, t in zip(requests, replies, strict=True)
    ]
    for score, row in zip(scores, training_log_probs(module, rows, model.codec.pad_id), strict=True):
        np.testing.assert_allclose(score, row.numpy(), atol=1e-5)
    assert model.score([], []) == []
    with pytest.raises(ValueError, match=r"request 0: .* tokens"):
        model.score(requests[:1], ["x" * 1000])


def test_a_full_context_stops_no_other_dialogue(module: Any, codec: ChatCodec) -> None:
    model = TransformersModel(module, codec, max_context=60)
    fits = request(0, ["hi"])
    room = 60 - len(codec.encode(fits.messages))
    nearly = request(1, ["x" * (room - 2 + 2)])  # leaves no room for ten tokens
    full = request(2, ["x" * 100])
    alone = model.generate([fits], SAMPLING)
    model.weights_changed()
    done = model.generate([full, fits, nearly, full], SAMPLING)
    assert_same(alone, done[1:2])
    for overflow in (done[0], done[3]):
        assert (overflow.finish_reason, overflow.token_ids) == ("overflow", [])
        assert overflow.error
        assert "60" in overflow.error
        assert "\n" not in overflow.error
    assert len(done[2].prompt_ids) + len(done[2].token_ids) <= 60


def test_learned_positions_stay_in_their_table(tokenizer: Any, codec: ChatCodec) -> None:
    """A row that is full goes on in the batch until its neighbours are done."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=60)
    model = TransformersModel(GPT2LMHeadModel(config), codec)
    requests = [GenerationRequest(n, (), NoiseKey((n,)), list(range(n))) for n in (58, 20, 60, 5)]
    done = model.generate(requests, Sampling(max_tokens=20))
    assert [d.finish_reason for d in done] == ["length", "length", "overflow", "length"]
    assert [len(d.token_ids) for d in done] == [2, 20, 0, 20]
    model.weights_changed()
    assert_same(done, [model.generate([r], Sampling(max_tokens=20))[0] for r in requests])


def test_a_context_that_fills_up_while_sampling_is_cut(module: Any, codec: ChatCodec) -> None:
    ids = list(range(50))
    for room in (1, 3):
        model = TransformersModel(module, codec, max_context=50 + room)
        requests = [GenerationRequest(i, (), NoiseKey((i,)), ids) for i in range(30)]
        done = model.generate(requests, SAMPLING)
        assert max(len(d.token_ids) for d in done) == room
        assert {len(d.token_ids) for d in done if d.finish_reason == "length"} == {room}


def test_malformed_requests_fail_alone(model: TransformersModel) -> None:
    good = request(0, ["hi"])
    bad = [
        request(1, ["hi", "yes"]),
        GenerationRequest(2, (), NoiseKey((2,)), []),
        GenerationRequest(3, (), NoiseKey((3,)), [10**6]),
    ]
    done = model.generate([*bad, good], SAMPLING)
    assert [d.finish_reason for d in done[:3]] == ["error"] * 3
    assert all(d.error for d in done[:3])
    assert_same(done[3:], model.generate([good], SAMPLING))


def test_greedy_takes_the_likeliest_token(model: TransformersModel, module: Any) -> None:
    (done,) = model.generate([request(0, ["hi"])], Sampling(max_tokens=5, temperature=0.0))
    ids = torch.tensor([done.prompt_ids + done.token_ids])
    with torch.no_grad():
        best = module(input_ids=ids).logits[0, len(done.prompt_ids) - 1 : -1].argmax(-1)
    assert best.tolist() == done.token_ids


@pytest.mark.parametrize(
    "sampling", [Sampling(max_tokens=0), Sampling(temperature=-1.0), Sampling(top_p=0.0)]
)
def test_meaningless_settings_are_refused(model: TransformersModel, sampling: Sampling) -> None:
    with pytest.raises(ValueError, match=r"sampling\."):
        model.generate([], sampling)


def test_training_flags_survive(model: TransformersModel, module: Any) -> None:
    module.train()
    frozen = module.model.layers[0].eval()
    model.generate([request(0, ["hi"])], SAMPLING)
    assert module.training
    assert not frozen.training
    assert module.model.layers[1].training
    module.eval()


def test_dropout_is_off_while_sampling(build_llama: Any, tokenizer: Any, codec: ChatCodec) -> None:
    model = TransformersModel(build_llama(len(tokenizer), attention_dropout=0.5).train(), codec)
    first = model.generate([request(0, ["hi"])], SAMPLING)
    model.weights_changed()
    assert_same(first, model.generate([request(0, ["hi"])], SAMPLING))


def test_an_optimizer_step_drops_the_cache(build_llama: Any, tokenizer: Any, codec: ChatCodec) -> None:
    module = build_llama(len(tokenizer))
    model = TransformersModel(module, codec)
    model.generate([request(0, ["hi"])], SAMPLING)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1)
    module(input_ids=torch.tensor([[1, 2]])).logits.sum().backward()
    optimizer.step()
    after = model.generate([request(0, ["hi"])], SAMPLING)
    assert_same(after, TransformersModel(module, codec).generate([request(0, ["hi"])], SAMPLING))


def test_bfloat16_runs(build_llama: Any, tokenizer: Any, codec: ChatCodec) -> None:
    model = TransformersModel(build_llama(len(tokenizer)).to(torch.bfloat16), codec)
    for turn in range(2):
        done = model.generate([request(0, ["hi"], turn), request(1, ["hi there"], turn)], SAMPLING)
        assert all(np.isfinite(d.log_probs).all() for d in done)


def test_a_sliding_window_is_refused(tokenizer: Any, codec: ChatCodec) -> None:
    config = MistralConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, sliding_window=8,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"full attention.*DynamicSlidingWindowLayer"):
        TransformersModel(MistralForCausalLM(config), codec)


def test_positions_that_depend_on_neighbours_are_refused(
    build_llama: Any, tokenizer: Any, codec: ChatCodec
) -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    module = build_llama(len(tokenizer), rope_parameters=rope)
    with pytest.raises(ValueError, match="max_context=512 or less"):
        TransformersModel(module, codec, max_context=1000)
    assert TransformersModel(module, codec).max_context == 512


def test_it_is_a_language_model(model: TransformersModel) -> None:
    assert isinstance(model, LanguageModel)
    assert model.identity()["dtype"] == "float32"
    assert model.generate([], SAMPLING) == []


@pytest.mark.parametrize(
    ("found", "local", "device"),
    [(None, None, "cpu"), ("mps", None, "cpu"), ("cuda", None, "cuda"), ("cuda", "1", "cuda:1")],
)
def test_a_model_goes_to_the_accelerator_of_its_process(
    monkeypatch: pytest.MonkeyPatch, found: str | None, local: str | None, device: str
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: found is not None)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: found and torch.device(found))
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local is not None:
        monkeypatch.setenv("LOCAL_RANK", local)
    assert default_device() == device
    with on_cpu(), on_cpu(stay=False):
        assert default_device() == "cpu"
    assert default_device() == device


def test_a_device_that_is_given_holds(module: Any, tokenizer: Any, tmp_path: Path, monkeypatch: Any) -> None:
    module.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("meta"))
    spec = {"name": "transformers", "path": str(tmp_path)}
    devices = [load_language_model({**spec, **given}).model.device.type for given in ({}, {"device": "cpu"})]
    assert devices == ["meta", "cpu"]


def test_forgetting_does_not_wait_for_a_call_that_hangs(model: TransformersModel) -> None:
    ask = request(7, ["hi"])
    sampling = Sampling(max_tokens=3)
    [first] = model.generate([ask], sampling)
    seen: list[int] = list(first.prompt_ids)
    assert model._store.reusable(ask.dialogue_id, [*seen, 1]) > 0
    with model._lock:  # as in a call that goes on in its abandoned thread
        model.forget([ask.dialogue_id])
        assert model._store.reusable(ask.dialogue_id, [*seen, 1]) > 0
    model.generate([request(8, ["hi"])], sampling)
    assert model._store.reusable(ask.dialogue_id, [*seen, 1]) == 0
