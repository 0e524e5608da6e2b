"""The tiny model that ships with the package: a toy of less than a million parameters."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from dialogue_gym.language_models.transformers_engine import TransformersModel


def tiny_model_path() -> Path:
    """The folder of its weights, its tokenizer and ``training.json``, which says how it came about."""
    return Path(str(files("dialogue_gym.language_models") / "tiny"))


def load_tiny_model() -> TransformersModel:
    """The tiny model on the CPU in float32.

    It was trained on generated dialogues (``python -m benchmarks.tiny_model``) and can play the agent and
    the user of the procedural tasks, nothing else. Its figures are those of a toy.
    """
    with _no_progress_bar():  # it would be the first thing that a newcomer sees
        model = TransformersModel.from_pretrained(tiny_model_path(), device="cpu", name="tiny")
    model.user_prompt = "compact"  # the only prompt for users that it has seen
    return model


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
