"""The models that are timed, and a timer of their forward passes."""

import gc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

from benchmarks.throughput.measuring import Clock, Device
from benchmarks.throughput.settings import DType, Model
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.language_models.tiny_model import load_tiny_model, tiny_model_path
from dialogue_gym.language_models.transformers_engine import TransformersModel

_ROPE = {"rope_type": "default", "rope_theta": 1_000_000.0}
SHAPES: dict[str, tuple[type, Mapping[str, Any]]] = {
    "4M": (
        LlamaConfig,
        {
            "vocab_size": 1000,  # the tiny model's
            "hidden_size": 256,
            "intermediate_size": 1024,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "max_position_embeddings": 4096,
            "tie_word_embeddings": True,
        },
    ),
    "Qwen3-4B": (
        Qwen3Config,
        {
            "vocab_size": 151_936,
            "hidden_size": 2560,
            "intermediate_size": 9728,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "max_position_embeddings": 40_960,
            "rope_parameters": _ROPE,
            "tie_word_embeddings": True,
        },
    ),
    "Qwen2.5-7B": (
        Qwen2Config,
        {
            "vocab_size": 152_064,
            "hidden_size": 3584,
            "intermediate_size": 18_944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "max_position_embeddings": 32_768,
            "rope_parameters": _ROPE,
            "tie_word_embeddings": False,
        },
    ),
}
"""Of random weights: the class of the configuration, and what it says."""


def load(name: Model, device: Device, dtype: DType = "float32") -> TransformersModel:
    """The shipped tiny model, or random weights in another's shape with the same tokenizer.

    A random model ends a turn at hardly any token, so that its messages all have the full length. Of a
    vocabulary larger than the tokenizer's, what the tokenizer has not is no text, and costs as much.
    """
    gc.collect()  # of billions of parameters only one model at a time has room
    if name == "tiny":
        with quiet():
            return TransformersModel.from_pretrained(tiny_model_path(), dtype=dtype, device=device)
    codec = load_tiny_model().codec
    return TransformersModel(random_model(name, codec.tokenizer, device, dtype), codec)


def random_model(name: Model, tokenizer: Any, device: str = "cpu", dtype: DType = "float32") -> Any:
    """Random weights in a shape of ``SHAPES``, made on the device in the precision."""
    torch.manual_seed(0)
    kind, shape = SHAPES[name]
    config = kind(
        **shape,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).eval()


def lacks_memory(name: Model, device: Device, dtype: DType) -> str:
    """One line where a model's weights have no room on the device; empty where they have."""
    if name == "tiny":
        return ""
    weights = random_model(name, load_tiny_model().codec.tokenizer, "meta", dtype).parameters()
    needed, free = sum(w.numel() * w.element_size() for w in weights), free_bytes(device)
    if needed <= free:
        return ""
    there = f"{free / 2**30:.1f} GiB are free on the {'GPU' if device == 'cuda' else 'CPU'}"
    return f"{name} in {dtype} takes {needed / 2**30:.1f} GiB for its weights alone, and {there}"


def free_bytes(device: Device) -> int:
    """Memory of the device that nobody uses."""
    if device == "cuda":
        return (
            int(torch.cuda.mem_get_info()[0]) + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        )
    if (system := Path("/proc/meminfo")).exists():
        [line] = [line for line in system.read_text().splitlines() if line.startswith("MemAvailable")]
        return int(line.split()[1]) * 1024
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


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
