"""The models that are timed, and a timer of their forward passes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.throughput.measuring import Clock, Device
from dialogue_gym.language_models.tiny_model import load_tiny_model
from dialogue_gym.language_models.transformers_engine import TransformersModel

Name = Literal["tiny", "4M"]


def load(name: Name, device: Device) -> TransformersModel:
    """The shipped tiny model, or one of 4.5 million parameters with random weights and the same tokenizer.

    A random model ends a turn at hardly any token, so that its messages all have the full length.
    """
    tiny = load_tiny_model()
    if name == "tiny":
        return TransformersModel(tiny.model, tiny.codec, device=device)
    return TransformersModel(random_model(tiny.codec.tokenizer), tiny.codec, device=device)


def random_model(tokenizer: Any, context: int = 4096) -> Any:
    """A Llama of 4 layers and 256 units with random weights, 4.5 million parameters."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=context,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).eval()


class ForwardTimer:
    """Adds up the seconds that a module spends in ``forward``."""

    def __init__(self, now: Clock) -> None:
        self.seconds = 0.0
        self._now, self._begun = now, 0.0

    @contextmanager
    def watching(self, module: Any) -> Iterator["ForwardTimer"]:
        """Count the module's forward passes inside."""
        self.seconds = 0.0
        hooks = [module.register_forward_pre_hook(self._begin), module.register_forward_hook(self._end)]
        try:
            yield self
        finally:
            for hook in hooks:
                hook.remove()

    def _begin(self, *_: Any) -> None:
        self._begun = self._now()

    def _end(self, *_: Any) -> None:
        self.seconds += self._now() - self._begun
