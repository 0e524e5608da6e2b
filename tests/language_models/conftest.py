"""A byte-level tokenizer with a ChatML-like template and a random Llama of two layers."""

from typing import Any

import pytest

pytest.importorskip("transformers")

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dialogue_gym.language_models.codec import ChatCodec

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
