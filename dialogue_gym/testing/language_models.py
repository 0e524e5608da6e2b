"""Does a language model keep the protocol?"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, get_args

from dialogue_gym.dialogue import Message
from dialogue_gym.language_models.base import (
    Completion,
    FinishReason,
    GenerationRequest,
    LanguageModel,
    Sampling,
)
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.testing.common import (
    ODD_TEXTS,
    check_copy,
    check_identity,
    check_methods,
    check_number,
    no_error,
    run_checks,
    shown,
)

_USER_TEXTS = ("hi", "What is 2 + 2?", "I need a short note about a club.", "Tom has 3 cats. How many legs?")
_SLACK = 1e-6  # rounding may lift a log-probability above 0


def check_language_model(
    model: LanguageModel, n: int = 4, *, max_tokens: int = 8, deterministic: bool = True
) -> list[str]:
    """Check that a language model keeps the protocol. The first fault ends the check.

    Args:
        model: yours.
        n: conversations in a batch, at least 2.
        max_tokens: of a completion.
        deterministic: False relaxes the checks that equal requests get equal completions, for servers and
            for models that compute differently in batches of other shapes.

    Returns:
        What was checked, one line each.

    Raises:
        AssertionError: the first thing that is wrong, in one line.
        ValueError: ``n`` below 2.
    """
    if n < 2:
        raise ValueError(f"n must be at least 2 conversations, got {n}")
    checks: list[tuple[str, Callable[[_Checker], None]]] = [
        ("has the methods of a LanguageModel", _check_protocol),
        ("identity is JSON-able and stays the same", _check_identity),
        ("gives one proper completion for each request", _check_completions),
        ("goes on with dialogues, with and without a system message", _check_longer),
        ("keeps to max_tokens", _check_length),
        ("leaves requests and conversations as they are", _check_mutation),
        ("bears odd messages, and a fault stays in its row", _check_odd_texts),
        ("forgets known and unknown dialogues", _check_forget),
        ("can be copied without copying its weights", _check_copy),
    ]
    if deterministic:
        checks += [
            ("gives equal completions to equal requests", _check_repeats),
            ("completions do not depend on order or neighbours", _check_batches),
            ("what is cached changes no completion", _check_cache),
            ("greedy completions do not depend on the key", _check_greedy),
        ]
    if hasattr(model, "codec"):
        checks.append(("takes token ids as the context", _check_prompt_ids))
    return run_checks(checks, _Checker(model, n, Sampling(max_tokens=max_tokens)))


class _Checker:
    """A language model under check, with requests for it."""

    def __init__(self, model: LanguageModel, n: int, sampling: Sampling) -> None:
        self.model, self.n, self.sampling = model, n, sampling

    def requests(self, about: Hashable = "first") -> list[GenerationRequest]:
        """Conversations of one message each; the messages differ."""
        return [self.request(i, [_USER_TEXTS[i % len(_USER_TEXTS)]], (about, i)) for i in range(self.n)]

    def request(self, i: int, texts: Sequence[str], dialogue_id: Hashable) -> GenerationRequest:
        """A request after these texts, the user's first and last."""
        messages: list[Message] = [
            {"role": "assistant" if t % 2 else "user", "content": text} for t, text in enumerate(texts)
        ]
        return GenerationRequest(("check", dialogue_id), messages, NoiseKey(("check", i, len(texts))))

    def generate(
        self, requests: Sequence[GenerationRequest], when: str, sampling: Sampling | None = None
    ) -> list[Completion]:
        """The model's completions, or an AssertionError that says what was asked."""
        with no_error("generate()", when):
            completions: Any = self.model.generate(requests, sampling or self.sampling)
        assert isinstance(completions, list), (
            f"generate() must return a list, got {type(completions).__name__} ({when})"
        )
        assert len(completions) == len(requests), (
            f"generate() must return one completion per request, got {len(completions)} for {len(requests)} "
            f"({when})"
        )
        for completion in completions:
            _check_completion(completion, when)
        return completions

    def answered(self, requests: Sequence[GenerationRequest], when: str) -> list[Completion]:
        """Completions of requests that no model should fail on."""
        completions = self.generate(requests, when)
        for completion in completions:
            assert completion.finish_reason in ("stop", "length"), (
                f"a completion failed: {completion.finish_reason}: {completion.error} ({when})"
            )
        return completions


def _check_completion(completion: Any, when: str) -> None:
    assert isinstance(completion, Completion), (
        f"a completion must be a Completion, got {type(completion).__name__} ({when})"
    )
    assert isinstance(completion.text, str), f"Completion.text must be a str ({when})"
    reasons = get_args(FinishReason)
    assert completion.finish_reason in reasons, (
        f"finish_reason must be one of {', '.join(reasons)}, got {completion.finish_reason!r} ({when})"
    )
    failed = completion.finish_reason in ("overflow", "error")
    line = isinstance(completion.error, str) and len(completion.error.splitlines()) == 1
    assert line if failed else completion.error is None, (
        f"error must be one line when finish_reason is 'error' or 'overflow', else None; got "
        f"{completion.error!r} with {completion.finish_reason!r} ({when})"
    )
    _check_tokens(completion, when)


def _check_tokens(completion: Completion, when: str) -> None:
    for name in ("token_ids", "prompt_ids"):
        ids = getattr(completion, name)
        proper = isinstance(ids, list) and all(type(i) is int for i in ids)
        assert proper, f"{name} must be a list of ints ({when})"
    for value in completion.log_probs:
        check_number(value, f"a log-probability ({when})")
        assert value <= _SLACK, f"a log-probability must not be above 0, got {value} ({when})"
    tokens, log_probs = len(completion.token_ids), len(completion.log_probs)
    assert not tokens or tokens == log_probs, (
        f"log_probs must have one number for each token id, got {log_probs} for {tokens} ({when})"
    )
    if completion.finish_reason == "overflow":
        assert not completion.token_ids, f"a full context samples nothing, got {tokens} tokens ({when})"


def _check_protocol(checker: _Checker) -> None:
    check_methods(checker.model, "LanguageModel", "generate", "forget", "identity")


def _check_identity(checker: _Checker) -> None:
    def use() -> None:
        checker.generate(checker.requests(), "a batch")

    check_identity(checker.model, use, "completions are sampled", field="engine")


def _check_completions(checker: _Checker) -> None:
    assert checker.generate([], "no request") == []
    checker.answered(checker.requests(), "conversations of one message")


def _check_longer(checker: _Checker) -> None:
    longer = checker.request(0, ["hi", "Hello.", "What is 2 + 2?"], "longer")
    system: Message = {"role": "system", "content": "Be brief."}
    with_system = replace(longer, dialogue_id=("check", "system"), messages=[system, *longer.messages])
    checker.answered([longer, with_system], "dialogues of two turns, the second with a system message")


def _check_length(checker: _Checker) -> None:
    for limit in (1, checker.sampling.max_tokens):
        sampling = replace(checker.sampling, max_tokens=limit)
        for completion in checker.generate(checker.requests(limit), f"max_tokens={limit}", sampling):
            got = len(completion.token_ids)
            assert got <= limit, f"a completion must have at most max_tokens={limit} tokens, got {got}"


def _check_mutation(checker: _Checker) -> None:
    requests = checker.requests()
    kept = list(requests), [[dict(m) for m in request.messages] for request in requests]
    checker.generate(requests, "conversations of one message")
    assert requests == kept[0], "generate() must not change the list of requests"
    for request, before in zip(requests, kept[1], strict=True):
        assert list(request.messages) == before, "generate() must not change a conversation"


def _check_odd_texts(checker: _Checker) -> None:
    for number, text in enumerate(ODD_TEXTS):
        when = f"the user said {shown(text)}"
        good, odd = checker.requests(("odd", number))[:1], checker.request(1, [text], ("odd", number))
        completions = checker.generate([*good, odd], when)
        assert completions[0].finish_reason in ("stop", "length"), (
            f"a neighbour failed: {completions[0].error} ({when})"
        )


def _check_forget(checker: _Checker) -> None:
    with no_error("forget()", "known and unknown dialogues"):
        checker.model.forget([request.dialogue_id for request in checker.requests()])
        checker.model.forget([("check", "never seen")])


def _check_copy(checker: _Checker) -> None:
    check_copy(checker.model, "language model")


def _said(completions: Sequence[Completion]) -> list[tuple[str, list[int], str]]:
    return [(c.text, c.token_ids, c.finish_reason) for c in completions]


def _check_repeats(checker: _Checker) -> None:
    first = _said(checker.generate(checker.requests("repeat"), "the first time"))
    assert first == _said(checker.generate(checker.requests("again"), "again")), (
        "equal requests must get equal completions: take all noise from request.key"
    )


def _check_batches(checker: _Checker) -> None:
    together = _said(checker.generate(checker.requests("together"), "one batch"))
    backwards = _said(checker.generate(checker.requests("backwards")[::-1], "the same in reverse order"))
    assert together == backwards[::-1], "a completion must not depend on the order of the batch"
    alone = [_said(checker.generate([r], "a request alone"))[0] for r in checker.requests("alone")]
    assert together == alone, "a completion must not depend on its neighbours in the batch"


def _check_cache(checker: _Checker) -> None:
    opening = ["What is 2 + 2?"]
    first = checker.generate([checker.request(0, opening, "cached")], "the first turn")[0]
    texts = [*opening, first.text, "Are you sure?"]
    known = _said(checker.generate([checker.request(0, texts, "cached")], "the second turn"))
    fresh = _said(checker.generate([checker.request(0, texts, "fresh")], "the same in a new dialogue"))
    assert known == fresh, (
        "a completion must depend on its conversation, not on what is cached for the dialogue"
    )
    checker.model.forget([("check", "cached")])
    again = _said(checker.generate([checker.request(0, texts, "cached")], "after forget()"))
    assert known == again, "forget() must change no completion: what was cached has to be rebuilt"


def _check_greedy(checker: _Checker) -> None:
    greedy = replace(checker.sampling, temperature=0.0)
    one = checker.requests("greedy")
    other = [replace(r, dialogue_id=("other", r.dialogue_id), key=r.key.child("other")) for r in one]
    said = [_said(checker.generate(requests, "temperature=0", greedy)) for requests in (one, other)]
    assert said[0] == said[1], "with temperature=0 a completion must not depend on request.key"


def _check_prompt_ids(checker: _Checker) -> None:
    requests = checker.requests("ids")
    first = checker.answered(requests, "conversations of one message")
    exact = [
        replace(request, dialogue_id=("exact", request.dialogue_id), prompt_ids=completion.prompt_ids)
        for request, completion in zip(requests, first, strict=True)
    ]
    for before, after in zip(first, checker.answered(exact, "prompt_ids given"), strict=True):
        assert after.prompt_ids == before.prompt_ids, "the given prompt_ids must be the context, unchanged"
