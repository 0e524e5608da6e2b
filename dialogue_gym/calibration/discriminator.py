"""Discriminators: how much likelier a user's turn is from people than from a simulator.

A discriminator learns from turns in context: the request that a simulator would get, and a reply. Its
``logit`` is an estimate of log p(people) - log p(simulator), so that it can serve as a reward, and how well
it tells turns of dialogues apart that it has not seen is a distance between users (classifier two-sample
test, Lopez-Paz & Oquab 2017). One that was trained against must never judge.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dialogue_gym.calibration.turn_numbers import agents_message, turn_numbers
from dialogue_gym.calibration.words import words
from dialogue_gym.dialogue import Message
from dialogue_gym.simulators.base import UserReply, UserRequest
from dialogue_gym.simulators.prompted import user_view
from dialogue_gym.simulators.user_turns import UserTurn

Floats: TypeAlias = NDArray[np.float64]
Exchange: TypeAlias = tuple[UserRequest, UserReply]
"""A context and what was said in it."""

FOLDS = 5
_CONTEXT_WORDS = 30


def shown(turn: UserTurn, reply: UserReply) -> UserReply:
    """The reply as discriminators see it: they must not learn that excerpts never show an end."""
    return reply if turn.stop_counts else replace(reply, stop=False)


class Discriminator(Protocol):
    """What learners and metrics need of a discriminator."""

    def fit(
        self, turns: Sequence[Exchange], labels: ArrayLike, groups: Sequence[Hashable] | None = None
    ) -> "Discriminator":
        """Learn from turns; labels are 1 for people and 0 for the simulator.

        With groups (one dialogue, one group) logits are calibrated on held-out dialogues.
        """
        ...

    def logit(self, turns: Sequence[Exchange]) -> Floats:
        """Log odds that people said it, both being as frequent; (turns,)."""
        ...


class FeatureDiscriminator:
    """Logistic regression on features that need no fitting; deterministic.

    Args:
        strength: inverse of the L2 penalty.

    Raises:
        ImportError: scikit-learn is missing; the message names the extra.
    """

    def __init__(self, strength: float = 3.0) -> None:
        _need_sklearn()
        self.strength = strength
        self._model: Any = None
        self._scale, self._offset = 1.0, 0.0

    def features(self, turns: Sequence[Exchange]) -> Any:
        """A matrix with a row for each turn, a pure function of it; the costly part, so compute it once."""
        raise NotImplementedError

    def pipeline(self) -> Any:
        """A new scikit-learn classifier of rows of ``features``."""
        raise NotImplementedError

    def fit(
        self, turns: Sequence[Exchange], labels: ArrayLike, groups: Sequence[Hashable] | None = None
    ) -> "FeatureDiscriminator":
        """See ``Discriminator``.

        Raises:
            ValueError: labels other than 0 and 1, one of them missing, or fewer than two groups for one.
        """
        features, y = self.features(turns), _labels(labels, len(turns))
        self._scale, self._offset = 1.0, 0.0
        if groups is not None:
            held_out = held_out_logits(self, features, y, groups, folds=3)
            self._scale, self._offset = _platt(held_out, y)
        self._model = self.pipeline().fit(features, y)
        return self

    def logit(self, turns: Sequence[Exchange]) -> Floats:
        """See ``Discriminator``.

        Raises:
            ValueError: not fitted yet.
        """
        if self._model is None:
            raise ValueError("this discriminator has learned nothing yet; call fit first")
        if not turns:
            return np.empty(0)
        raw = self._model.decision_function(self.features(turns))
        return np.asarray(self._scale * raw + self._offset, dtype=np.float64)


class NgramDiscriminator(FeatureDiscriminator):
    """Features that count: characters (1 to 4), words (1 and 2), the end of the agent's message, numbers.

    The stop flag and joint features of context and reply are among them: lengths, words in common with the
    agent's message, the brief and the user's earlier turns, and whether a number is known, told or new.
    """

    def features(self, turns: Sequence[Exchange]) -> Any:
        """Hashed counts, as 1 + ln and of unit length for each kind, and numbers; one sparse matrix."""
        from scipy.sparse import csr_matrix, hstack
        from sklearn.feature_extraction.text import HashingVectorizer
        from sklearn.preprocessing import normalize

        replies = [reply.text for _, reply in turns]
        heard = [" ".join(words(agents_message(request))[-_CONTEXT_WORDS:]) for request, _ in turns]
        plain: dict[str, Any] = {"norm": None, "alternate_sign": False, "lowercase": False}
        counters = [
            HashingVectorizer(analyzer="char", ngram_range=(1, 4), n_features=2**16, **plain),
            HashingVectorizer(ngram_range=(1, 2), n_features=2**15, token_pattern=r"\w+|[^\w\s]", **plain),
            HashingVectorizer(n_features=2**12, token_pattern=r"\w+", **plain),
        ]
        blocks = []
        for counter, texts in zip(counters, (replies, replies, heard), strict=True):
            counts = counter.transform(texts)
            counts.data = 1.0 + np.log(counts.data)
            blocks.append(normalize(counts))
        numbers = csr_matrix(np.array([turn_numbers(*turn) for turn in turns]))
        return hstack([*blocks, numbers], format="csr")

    def pipeline(self) -> Any:
        """Logistic regression."""
        return _logistic(self.strength)


class EncoderDiscriminator(FeatureDiscriminator):
    """A linear head on a frozen language model, by logistic regression.

    The head sees the mean of the last hidden states over the reply's tokens, in context, and beside it the
    numbers that ``NgramDiscriminator`` counts too, which know the brief and the stop flag. Hence its logit is
    a mean over tokens of linear scores, plus a linear score of the numbers. Nothing of the model itself is
    learned, and mean and scale of each feature are those of the turns that the head learns from.

    Args:
        language_model: a ``TransformersModel``.
        strength: inverse of the L2 penalty.
        batch_size: turns that are encoded at a time.

    Raises:
        ValueError: the language model is of another kind.
        ImportError: scikit-learn is missing; the message names the extra.
    """

    def __init__(self, language_model: Any, strength: float = 0.1, batch_size: int = 32) -> None:
        super().__init__(strength)
        if not (hasattr(language_model, "model") and hasattr(language_model, "codec")):
            raise ValueError(
                f"an encoder needs a model run by transformers, got {type(language_model).__name__}"
            )
        self.language_model = language_model
        self.batch_size = batch_size

    def features(self, turns: Sequence[Exchange]) -> Any:
        """(turns, hidden size + numbers); contexts are cut from the left to the model's limit."""
        hidden = [self._encode(turns[i : i + self.batch_size]) for i in range(0, len(turns), self.batch_size)]
        return np.hstack([np.concatenate(hidden), np.array([turn_numbers(*turn) for turn in turns])])

    def pipeline(self) -> Any:
        """Standardised features, then logistic regression."""
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), _logistic(self.strength, solver="lbfgs"))

    def _encode(self, turns: Sequence[Exchange]) -> Floats:
        import torch

        language_model = self.language_model
        ids, spans = zip(*(self._tokens(turn) for turn in turns), strict=True)
        width = max(map(len, ids))
        rows = torch.full((len(ids), width), language_model.codec.pad_id)
        mask = torch.zeros_like(rows)
        for i, row in enumerate(ids):  # padded on the right, which causal attention never sees
            rows[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = 1
        model = language_model.model
        was_training = model.training
        model.eval()
        with torch.no_grad():
            output = model(
                input_ids=rows.to(model.device),
                attention_mask=mask.to(model.device),
                output_hidden_states=True,
                use_cache=False,
                **({"logits_to_keep": 1} if getattr(language_model, "_keeps_logits", False) else {}),
            )
        model.train(was_training)
        states = output.hidden_states[-1].float().cpu()
        means = [
            states[i, len(row) - n : len(row)].mean(dim=0)
            for i, (row, n) in enumerate(zip(ids, spans, strict=True))
        ]
        return torch.stack(means).numpy().astype(np.float64)

    def _tokens(self, turn: Exchange) -> tuple[list[int], int]:
        """The ids of context and reply, and how many of them are the reply's."""
        codec = self.language_model.codec
        request, reply = turn
        view: list[Message] = user_view(request, "compact")
        said = [*codec.content_ids(reply.text), codec.end_of_turn_id]
        limit = self.language_model.max_context
        said = said[-limit:]
        context = codec.encode(view)[len(said) - limit :] if len(said) < limit else []
        return [*context, *said], len(said)


def two_sample_auc(
    discriminator: FeatureDiscriminator,
    turns: Sequence[Exchange],
    labels: ArrayLike,
    groups: Sequence[Hashable],
    folds: int = FOLDS,
) -> float:
    """Area under the ROC curve of classifiers on dialogues that they have not seen: 0.5 to 1, save chance.

    Args:
        discriminator: which kind; fresh copies of its classifier learn, it stays as it is.
        turns: of both sides.
        labels: 1 for people, 0 for the simulator.
        groups: the dialogue of each turn; one never lies in two folds.
        folds: at most; fewer where a side has fewer dialogues.

    Raises:
        ValueError: see ``held_out_logits``.
    """
    y = _labels(labels, len(turns))
    logits = held_out_logits(discriminator, discriminator.features(turns), y, groups, folds)
    return float(weighted_auc(logits, y, np.ones((1, len(y))))[0])


def held_out_logits(
    discriminator: FeatureDiscriminator,
    features: Any,
    labels: ArrayLike,
    groups: Sequence[Hashable] | NDArray[Any],
    folds: int = FOLDS,
) -> Floats:
    """The logit of each row by a classifier that has not seen its group.

    Raises:
        ValueError: labels other than 0 and 1, one of them missing, or a side with fewer than two groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    y = _labels(labels, features.shape[0])
    names = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    ids = np.array([names[group] for group in groups])
    fewest = min(len(set(ids[y == side])) for side in (0, 1))
    if fewest < 2:
        raise ValueError(f"a side has {fewest} dialogue; held-out scores need two on each")
    if hasattr(features, "getnnz"):  # no classifier needs the columns of n-grams that nobody says
        features = features[:, np.flatnonzero(features.getnnz(axis=0))]
    logits = np.zeros(len(y))
    splits = StratifiedGroupKFold(min(folds, fewest), shuffle=True, random_state=0)
    for train, test in splits.split(np.zeros(len(y)), y, ids):
        if len(set(y[train])) == 2:
            logits[test] = (
                discriminator.pipeline().fit(features[train], y[train]).decision_function(features[test])
            )
    return logits


def weighted_auc(scores: Floats, labels: NDArray[Any], weights: Floats) -> Floats:
    """The probability that one of label 1 scores higher than one of label 0; ties count half.

    Args:
        scores: (n,).
        labels: (n,) of 0 and 1.
        weights: (k, n), how often each counts.

    Returns:
        (k,); NaN where a side has no weight.

    Example:
        >>> weighted_auc(np.array([0.0, 1.0, 1.0]), np.array([0, 1, 0]), np.ones((1, 3)))
        array([0.75])
    """
    values, place = np.unique(scores, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(values)))
    people = np.add.reduceat((weights * (labels == 1))[:, order], starts, axis=1)
    others = np.add.reduceat((weights * (labels == 0))[:, order], starts, axis=1)
    below = np.cumsum(others, axis=1) - others / 2
    total = people.sum(axis=1) * others.sum(axis=1)
    wins = (people * below).sum(axis=1)
    areas: Floats = np.divide(wins, total, out=np.full(len(wins), np.nan), where=total > 0)
    return areas


def _labels(labels: ArrayLike, count: int) -> NDArray[np.int64]:
    y = np.asarray(labels)
    if y.shape != (count,) or set(np.unique(y).tolist()) != {0, 1}:
        raise ValueError(
            f"labels must be {count} numbers, 1 for people and 0 for the simulator, some of each"
        )
    return y.astype(np.int64)


def _logistic(strength: float, solver: str = "liblinear") -> Any:
    from sklearn.linear_model import LogisticRegression

    # balanced: the log odds are then those of the likelihoods, whatever the numbers of turns
    return LogisticRegression(
        C=strength, solver=solver, class_weight="balanced", max_iter=500, random_state=0
    )


def _platt(logits: Floats, labels: NDArray[np.int64]) -> tuple[float, float]:
    """Scale and offset that make held-out logits log odds (Platt 1999); the scale is never negative."""
    fitted = _logistic(1e3, solver="lbfgs").fit(logits[:, None], labels)
    return max(float(fitted.coef_[0, 0]), 0.0), float(fitted.intercept_[0])


def _need_sklearn() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise ImportError('discriminators need scikit-learn: pip install "dialogue-gym[realism]"') from None
