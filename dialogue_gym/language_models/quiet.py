"""Keeps the chatter of transformers, TRL and the hub's client from people who cannot act on it."""

import logging as standard_logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # rollout_func is experimental; our TRL is pinned


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Inside, the hub's client tries again without two lines for each try; the fault at the end says why."""
    logger = standard_logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(standard_logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, transformers says only what is an error, and shows no bars for loading and saving."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    trl = standard_logging.getLogger("trl")  # prints a whole row for each dialogue without a reward
    trl_level = trl.level
    trl.setLevel(standard_logging.ERROR)
    try:
        with warnings.catch_warnings():
            # TRL and transformers deprecate each other's settings
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl)\b")
            yield
    finally:
        logging.set_verbosity(verbosity)
        trl.setLevel(trl_level)
        if bars:
            logging.enable_progress_bar()
