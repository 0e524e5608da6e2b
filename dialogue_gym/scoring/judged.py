"""A scorer's metrics, with what language models say and what tokens count; off unless asked for."""

import re
from collections.abc import Mapping
from typing import Any

from dialogue_gym.dialogue import Conversation
from dialogue_gym.registry import nearest
from dialogue_gym.scoring.answers import answers_equal
from dialogue_gym.scoring.base import Score, Scorer, scorers
from dialogue_gym.scoring.cost import assistant_texts
from dialogue_gym.scoring.documents import LONGEST, DocumentScorer
from dialogue_gym.scoring.drafts import without_user_text
from dialogue_gym.scoring.interactivity import TokenCount, interactivity
from dialogue_gym.scoring.judge import Rater, as_text, number_in
from dialogue_gym.scoring.judge_prompts import EXTRACTOR, INTERACTIVITY, JUDGE
from dialogue_gym.tasks.base import Kind, Task

_BASES: Mapping[Kind, str] = {"math": "answer", "document": "facts_and_bleu"}
_JUDGED: Mapping[Kind, str] = {"math": "judged_accuracy", "document": "judged_quality"}
_DOCUMENT = ("bleu", "drafted", "facts", "char_bleu", "char_bleu_of_unrelated_text")
_OWN_WORK = 0.8  # share of an extract's runs of four words that the assistant must have written


class MissingMetric(RuntimeError):
    """The reward weighs a metric that could not be taken: the dialogue is unscored, not worth nothing."""


class JudgedScorer:
    """Adds language-model judgements, interactivity and token counts to another scorer's metrics.

    All parts are off by default. The reward stays the base scorer's unless ``weights`` are given; then it is
    the weighted sum of metrics, as in CollabLLM. A judgement that cannot be read is left out of the metrics
    and counted in ``unread_judgements``; where the reward weighs it, ``score`` raises and the environment
    ends the dialogue unscored.

    Metrics: the base's, and

    - ``judged_accuracy`` (math: 0 or 1) or ``judged_quality`` (documents: 0 to 1), by ``judge``, which sees
      the reference and the whole dialogue;
    - ``extracted_accuracy``, or ``extracted_bleu`` and the base's other metrics of a draft, by
      ``extractor``: of the final answer or document that a model finds in the dialogue. A document that
      the assistant did not write counts as unread; what the user wrote is taken out;
    - ``collabllm_interactivity`` by ``interactivity``; ``collabllm_ktokens`` or ``ktokens`` by ``tokens``:
      see ``scoring.interactivity``.

    Args:
        kind: "math" or "document".
        base: the scorer that it adds to: a name, a dict or an object; the kind's own by default.
        judge: a language model, or a dict of ``RaterSettings``'s fields.
        extractor: likewise.
        interactivity: likewise.
        tokens: "cl100k", "estimate" or "tokenizer:PATH".
        weights: of the reward, by metric, such as ``{"accuracy": 1, "collabllm_interactivity": 1,
            "collabllm_ktokens": -0.5}``, CollabLLM's example for math.

    Raises:
        ValueError: an unknown option, model or weight.
        ImportError: a package is missing; the message names it.
    """

    def __init__(
        self,
        kind: Kind,
        base: Any = None,
        judge: Any = None,
        extractor: Any = None,
        interactivity: Any = None,
        tokens: str | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.kind = kind
        self.base: Scorer = scorers[kind].build(_BASES[kind] if base is None else base)
        if not isinstance(self.base, Scorer):
            raise ValueError(f"base must be a Scorer, a name or a dict, got {type(self.base).__name__}")
        self.judge = None if judge is None else Rater(judge, "judge")
        self.extractor = None if extractor is None else Rater(extractor, "extractor")
        self.interactivity = None if interactivity is None else Rater(interactivity, "interactivity")
        self.tokens = None if tokens is None else TokenCount(tokens)
        self.weights = None if weights is None else self._checked(weights)

    def score(self, task: Task, conversation: Conversation) -> Score:
        """Score the dialogue as it stands.

        Raises:
            MissingMetric: the reward weighs a metric that could not be taken.
        """
        based = self.base.score(task, conversation)
        judged: dict[str, float | None] = {}
        if self.judge:
            judged[_JUDGED[self.kind]] = self._judged(self.judge, task, conversation)
        if self.extractor:
            judged |= self._extracted(self.extractor, task, conversation)
        if self.interactivity:
            judged["collabllm_interactivity"] = interactivity(self.interactivity, conversation)
        metrics = based.metrics | {name: value for name, value in judged.items() if value is not None}
        if judged:
            metrics["unread_judgements"] = float(sum(value is None for value in judged.values()))
        if self.tokens:
            metrics[self.tokens.metric] = self.tokens.thousands(conversation)
        return Score(based.reward if self.weights is None else self._weighted(metrics), metrics)

    def identity(self) -> dict[str, Any]:
        """JSON-able name and settings, for logs: models, seeds and hashes of prompts among them."""
        parts = {
            "judge": (self.judge, JUDGE[self.kind]),
            "extractor": (self.extractor, EXTRACTOR[self.kind]),
            "interactivity": (self.interactivity, INTERACTIVITY),
        }
        return {
            "name": "judged",
            "base": self.base.identity(),
            **{name: rater.identity(prompt) for name, (rater, prompt) in parts.items() if rater},
            **({"tokens": self.tokens.tokens} if self.tokens else {}),
            **({"weights": dict(self.weights)} if self.weights is not None else {}),
        }

    def _checked(self, weights: Mapping[str, float]) -> dict[str, float]:
        """The weights, if they are numbers by names of metrics that this scorer can have."""
        extracted = ("accuracy",) if self.kind == "math" else _DOCUMENT
        own = ("accuracy", "answered") if self.kind == "math" else _DOCUMENT
        valid = [
            *own, "words", "tokens", "cost",
            *([_JUDGED[self.kind]] if self.judge else []),
            *([f"extracted_{name}" for name in extracted] if self.extractor else []),
            *(["collabllm_interactivity"] if self.interactivity else []),
            *([self.tokens.metric] if self.tokens else []),
        ]  # fmt: skip
        for name, weight in weights.items():
            # the metrics of others' scorers are not known before they score
            if name not in valid and type(self.base).__module__.startswith("dialogue_gym."):
                raise ValueError(f"weights: this scorer has no metric {name!r}: {nearest(name, valid)}")
            if type(weight) not in (int, float):
                raise ValueError(f"weights: {name!r} must be a number, got {weight!r}")
        return dict(weights)

    def _weighted(self, metrics: Mapping[str, float]) -> float:
        assert self.weights is not None
        if missing := [name for name in self.weights if name not in metrics]:
            raise MissingMetric(f"the reward weighs {missing[0]!r}, which could not be taken")
        return float(sum(weight * metrics[name] for name, weight in self.weights.items()))

    def _judged(self, rater: Rater, task: Task, conversation: Conversation) -> float | None:
        wanted, right = task.brief.text or task.brief.goal, task.reference.answer or task.reference.text
        known = f"What the user wants:\n{wanted}\n\nWhat is right:\n{right}\n\nThe dialogue:\n"
        math = self.kind == "math"

        def read(data: dict[str, Any]) -> float | None:
            return number_in(data.get("right" if math else "quality"), 0, 1, whole=math)

        return rater.ask(JUDGE[self.kind], known + as_text(conversation), read)

    def _extracted(self, rater: Rater, task: Task, conversation: Conversation) -> dict[str, float | None]:
        """Metrics of what the extractor finds; None where it is unread."""
        field = "answer" if self.kind == "math" else "document"
        found = rater.ask(EXTRACTOR[self.kind], as_text(conversation), lambda data: _text(data, field))
        if self.kind == "math":
            right = None if found is None else float(answers_equal(found, task.reference.answer))
            return {"extracted_accuracy": right}
        if found is None or not _is_written(found, assistant_texts(conversation)):
            return {"extracted_bleu": None}
        said = [message["content"] for message in conversation if message["role"] == "user"]
        draft = without_user_text(found, said)[:LONGEST]
        base = self.base if isinstance(self.base, DocumentScorer) else DocumentScorer()
        return {f"extracted_{name}": value for name, value in base.draft_metrics(task, draft).items()}


def _text(data: Mapping[str, Any], field: str) -> str | None:
    """The text of a field, "" where it is null; None where it is missing or no text."""
    value = data.get(field, ...)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return "" if value is None else value if isinstance(value, str) else None


def _is_written(document: str, texts: list[str]) -> bool:
    """Whether most of a document stands in texts, by runs of four words; an empty one does."""
    words = re.findall(r"\w+", document.casefold())
    n = min(4, len(words))
    if n == 0:
        return True
    known = {run for text in texts for run in _runs(re.findall(r"\w+", text.casefold()), n)}
    runs = _runs(words, n)
    return sum(run in known for run in runs) >= _OWN_WORK * len(runs)


def _runs(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
