"""What CollabLLM (2502.00640) measures beside the task: interactivity, and tokens in thousands.

The names of the metrics carry where they come from, since other projects define them otherwise:
``collabllm_interactivity`` is a language model's judgement of the whole dialogue from 0 to 1 (the paper's
figures are by Claude-3.5-Sonnet and times 100; another judge, or another prompt, is another metric), and
``collabllm_ktokens`` are the cl100k tokens of all of the assistant's messages, in thousands. Counted by
another tokenizer they are ``ktokens``.
"""

from collections.abc import Callable
from typing import Any

from dialogue_gym.dialogue import Conversation
from dialogue_gym.language_models.modules import check_folder
from dialogue_gym.scoring.cost import assistant_texts
from dialogue_gym.scoring.judge import Rater, as_text, number_in
from dialogue_gym.scoring.judge_prompts import INTERACTIVITY
from dialogue_gym.tasks.token_counts import TOKEN_COUNTS

_CL100K = "cl100k"
_TOKENIZER = "tokenizer:"


def interactivity(rater: Rater, conversation: Conversation) -> float | None:
    """How well the assistant works with the user, 0 to 1; None where the judge's answer cannot be read."""
    return rater.ask(
        INTERACTIVITY, as_text(conversation), lambda data: number_in(data.get("interactivity"), 0, 1)
    )


class TokenCount:
    """Thousands of tokens in the assistant's messages.

    Args:
        tokens: "cl100k", as in CollabLLM (needs tiktoken); "estimate", close to it and without its file; or
            "tokenizer:PATH", a folder or hub name that transformers loads.

    Raises:
        ValueError: none of these, or a vocabulary that cannot be loaded.
        ImportError: the package that counts is missing; the message names it.
    """

    def __init__(self, tokens: str) -> None:
        if not isinstance(tokens, str) or not (tokens in TOKEN_COUNTS or tokens.startswith(_TOKENIZER)):
            valid = ", ".join(map(repr, TOKEN_COUNTS))
            raise ValueError(f"tokens must be one of {valid} or 'tokenizer:PATH', got {tokens!r}")
        self.tokens = tokens
        self.metric = "collabllm_ktokens" if tokens == _CL100K else "ktokens"
        self._count = _counter(tokens)

    def thousands(self, conversation: Conversation) -> float:
        """Tokens of all of the assistant's messages, divided by 1,000."""
        return sum(map(self._count, assistant_texts(conversation))) / 1000

    def __deepcopy__(self, memo: dict[int, Any]) -> "TokenCount":
        """Copies of an environment share the vocabulary."""
        return self


def _counter(tokens: str) -> Callable[[str], int]:
    if tokens.startswith(_TOKENIZER):
        return _transformers(tokens.removeprefix(_TOKENIZER))
    try:
        return TOKEN_COUNTS[tokens]()
    except OSError as error:  # tiktoken fetches its file when it has none
        raise ValueError(
            f"the vocabulary of {tokens!r} could not be loaded ({type(error).__name__}); "
            "TIKTOKEN_CACHE_DIR names a folder that holds it, 'estimate' needs none"
        ) from None


def _transformers(path: str) -> Callable[[str], int]:
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise ImportError(
            'counting tokens of a tokenizer needs transformers: pip install "dialogue-gym[llm]"'
        ) from None
    try:
        check_folder(path, "tokenizer")
        tokenizer: Any = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"tokenizer:{path}: {str(error).strip().splitlines()[0]}") from None
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])
