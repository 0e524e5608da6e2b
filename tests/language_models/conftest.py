"""A byte-level tokenizer with a ChatML-like template, a random Llama of two layers, models of servers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dialogue_gym.dialogue import Message
from dialogue_gym.language_models import Completion, GenerationRequest, HttpModel, Sampling
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.language_models.transformers_engine import TransformersModel
from dialogue_gym.seeding import NoiseKey
from tests.fake_server import TINY, FakeServer

SAMPLING = Sampling(max_tokens=10)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(template: str = CHATML) -> PreTrainedTokenizerFast:
    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = [("u", "s"), ("us", "e"), ("use", "r"), ("t", "h"), ("th", "e")]
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        extra_special_tokens=["<|im_start|>"],
        chat_template=template,
    )


def make_llama(vocabulary: int, seed: int = 0, positions: int = 512, **options: Any) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        initializer_range=0.3,
        **options,
    )
    return LlamaForCausalLM(config)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


@pytest.fixture
def llama(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    return make_llama(len(tokenizer))


@pytest.fixture(scope="session")
def build_tokenizer() -> Any:
    """``build_tokenizer(template=CHATML)``, for tests that bring a template of their own."""
    return make_tokenizer


@pytest.fixture(scope="session")
def chatml() -> str:
    return CHATML


@pytest.fixture(scope="session")
def build_llama() -> Any:
    """``build_llama(vocabulary, seed, positions, **config)``."""
    return make_llama


@pytest.fixture(scope="session")
def codec(tokenizer: PreTrainedTokenizerFast) -> ChatCodec:
    return ChatCodec(tokenizer)


@pytest.fixture(scope="module")
def module(build_llama: Any, tokenizer: Any, codec: ChatCodec) -> Any:
    """A random model that ends a turn now and then (with untied weights, by a larger output row)."""
    model = build_llama(len(tokenizer))
    with torch.no_grad():
        model.lm_head.weight[codec.end_of_turn_id] *= 4
    return model


@pytest.fixture
def model(module: Any, codec: ChatCodec) -> TransformersModel:
    return TransformersModel(module, codec)


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def request(dialogue: int, contents: list[str], turn: int = 0) -> GenerationRequest:
    """Of one dialogue, in which this was said, the user first."""
    messages: list[Message] = [
        {"role": "assistant" if i % 2 else "user", "content": c} for i, c in enumerate(contents)
    ]
    return GenerationRequest(dialogue, messages, NoiseKey((dialogue, turn)))


def assert_same(left: list[Completion], right: list[Completion]) -> None:
    assert [c.token_ids for c in left] == [c.token_ids for c in right]
    assert [(c.text, c.finish_reason, c.prompt_ids) for c in left] == [
        (c.text, c.finish_reason, c.prompt_ids) for c in right
    ]
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(a.log_probs, b.log_probs, atol=1e-5, rtol=1e-5)


@pytest.fixture
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


class Opened:
    """Models of servers of token ids, closed after the test."""

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
    """Of that many dialogues that begin."""
    return [
        GenerationRequest(i, ({"role": "user", "content": f"hello {i}"},), NoiseKey((i,)), **fields)
        for i in range(count)
    ]
