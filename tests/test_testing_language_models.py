"""The conformance check passes good language models and names what is wrong with broken ones."""

from typing import Any

import numpy as np
import pytest

from dialogue_gym.language_models import Completion
from dialogue_gym.testing import check_language_model


class Minimal:
    """The least that conforms: no tokens. Broken ones below change one thing."""

    def generate(self, requests: Any, sampling: Any) -> Any:
        return [self.one(request, sampling) for request in requests]

    def one(self, request: Any, sampling: Any) -> Any:
        noise = request.key.integer(0, 9) if sampling.temperature else 0
        return Completion(f"{len(request.messages)} {request.messages[-1]['content'][:5]} {noise}")

    def forget(self, dialogue_ids: Any) -> None:
        pass

    def identity(self) -> Any:
        return {"engine": "minimal"}


def test_the_least_model_conforms() -> None:
    assert len(check_language_model(Minimal())) == 13
    assert len(check_language_model(Minimal(), deterministic=False)) == 9


def test_the_tiny_model_conforms() -> None:
    pytest.importorskip("transformers")
    from dialogue_gym.language_models import load_language_model

    checked = check_language_model(load_language_model("tiny"), 2, max_tokens=4)
    assert checked[-1] == "takes token ids as the context"


class Tokens(Minimal):
    """A model with tokens: what it samples are the code points of its text."""

    codec = None

    def one(self, request: Any, sampling: Any) -> Any:
        text = super().one(request, sampling).text[: sampling.max_tokens]
        prompt = request.prompt_ids or [ord(c) for c in request.messages[-1]["content"][:9]]
        return self.completion(text, [ord(c) for c in text], [-1.0] * len(text), list(prompt))

    def completion(self, *parts: Any) -> Any:
        return Completion(*parts)


def test_a_model_with_tokens_conforms() -> None:
    assert len(check_language_model(Tokens())) == 14


class NoForget(Minimal):
    forget = None  # type: ignore[assignment]


class Nameless(Minimal):
    def identity(self) -> Any:
        return {}


class Counting(Minimal):
    calls = 0

    def generate(self, requests: Any, sampling: Any) -> Any:
        self.calls += 1
        return super().generate(requests, sampling)

    def identity(self) -> Any:
        return {"engine": "x", "calls": self.calls}


class OneShort(Minimal):
    def generate(self, requests: Any, sampling: Any) -> Any:
        return super().generate(requests, sampling)[1:]


class Tuples(Minimal):
    def generate(self, requests: Any, sampling: Any) -> Any:
        return tuple(super().generate(requests, sampling))


class Texts(Minimal):
    def one(self, request: Any, sampling: Any) -> Any:
        return "hello"


class Bytes(Minimal):
    def one(self, request: Any, sampling: Any) -> Any:
        return Completion(b"hello")  # type: ignore[arg-type]


class OddReason(Minimal):
    def one(self, request: Any, sampling: Any) -> Any:
        return Completion("hi", finish_reason="eos")  # type: ignore[arg-type]


class SilentError(Minimal):
    def one(self, request: Any, sampling: Any) -> Any:
        return Completion("", finish_reason="error")


class Failing(Minimal):
    def one(self, request: Any, sampling: Any) -> Any:
        return Completion("", finish_reason="error", error="no connection")


class NeedsARequest(Minimal):
    def generate(self, requests: Any, sampling: Any) -> Any:
        requests[0]
        return super().generate(requests, sampling)


class NoSystem(Minimal):
    def one(self, request: Any, sampling: Any) -> Any:
        if request.messages[0]["role"] == "system":
            raise ValueError("roles must alternate")
        return super().one(request, sampling)


class Endless(Tokens):
    def one(self, request: Any, sampling: Any) -> Any:
        return self.completion("many", [1, 2, 3], [-1.0] * 3, [])


class Certain(Tokens):
    def completion(self, *parts: Any) -> Any:
        return Completion(parts[0], parts[1], [0.5] * len(parts[1]), parts[3])


class Unlikely(Tokens):
    def completion(self, *parts: Any) -> Any:
        return Completion(parts[0], parts[1], [float("-inf")] * len(parts[1]), parts[3])


class FewLogProbs(Tokens):
    def completion(self, *parts: Any) -> Any:
        return Completion(parts[0], parts[1], [], parts[3])


class Arrays(Tokens):
    def completion(self, *parts: Any) -> Any:
        return Completion(parts[0], np.array(parts[1]), parts[2], parts[3])  # type: ignore[arg-type]


class Edits(Minimal):
    def one(self, request: Any, sampling: Any) -> Any:
        request.messages[-1]["content"] = "[user] " + request.messages[-1]["content"]
        return Completion("ok")


class Empties(Minimal):
    def generate(self, requests: Any, sampling: Any) -> Any:
        if any(not request.messages[-1]["content"].strip() for request in requests):
            return [Completion("", finish_reason="error", error="empty")] * len(requests)
        return super().generate(requests, sampling)


class LongRaises(Minimal):
    def one(self, request: Any, sampling: Any) -> Any:
        if len(request.messages[-1]["content"]) > 100_000:
            raise ValueError("context too long")
        return super().one(request, sampling)


class ForgetsOnce(Minimal):
    def forget(self, dialogue_ids: Any) -> None:
        raise KeyError("unknown")


class HoldsAModel(Minimal):
    def __init__(self) -> None:
        self.weights = np.zeros(400_000)


class Streamed(Minimal):
    said = 0

    def one(self, request: Any, sampling: Any) -> Any:
        self.said += 1
        return Completion(str(self.said))


class HearsOrder(Minimal):
    def generate(self, requests: Any, sampling: Any) -> Any:
        return [Completion(str(i)) for i, _ in enumerate(requests)]


class HearsNeighbours(Minimal):
    def generate(self, requests: Any, sampling: Any) -> Any:
        return [Completion(str(len(requests))) for _ in requests]


class StaleCache(Minimal):
    def __init__(self) -> None:
        self.first: dict[Any, str] = {}

    def one(self, request: Any, sampling: Any) -> Any:
        text = super().one(request, sampling).text
        return Completion(self.first.setdefault(request.dialogue_id, text))


class WarmAtZero(Minimal):
    def one(self, request: Any, sampling: Any) -> Any:
        return Completion(str(request.key.integer(0, 10**9)))


class IgnoresIds(Tokens):
    def one(self, request: Any, sampling: Any) -> Any:
        return self.completion("a", [97], [-1.0], [1, len(str(request.dialogue_id))])


BROKEN = [
    (NoForget, r"a LanguageModel needs a method forget\(\)"),
    (Nameless, "needs a field 'engine'"),
    (Counting, "must not change when completions are sampled"),
    (OneShort, "one completion per request, got 3 for 4"),
    (Tuples, r"generate\(\) must return a list, got tuple"),
    (Texts, "must be a Completion, got str"),
    (Bytes, "Completion.text must be a str"),
    (OddReason, "finish_reason must be one of stop, length, overflow, error, got 'eos'"),
    (SilentError, "error must be one line when"),
    (Failing, "a completion failed: error: no connection"),
    (NeedsARequest, r"generate\(\) raised IndexError.*\(no request\)"),
    (NoSystem, r"raised ValueError: roles must alternate .*system message"),
    (Endless, "at most max_tokens=1 tokens, got 3"),
    (Certain, "must not be above 0, got 0.5"),
    (Unlikely, "a log-probability .* must be finite"),
    (FewLogProbs, "one number for each token id, got 0 for 6"),
    (Arrays, "token_ids must be a list of ints"),
    (Edits, "must not change a conversation"),
    (Empties, "a neighbour failed: empty"),
    (LongRaises, r"raised ValueError: context too long \(the user said 1000000 characters\)"),
    (ForgetsOnce, r"forget\(\) raised KeyError"),
    (HoldsAModel, "copying the language model copies 3,20"),
    (Streamed, "take all noise from request.key"),
    (HearsOrder, "must not depend on the order"),
    (HearsNeighbours, "must not depend on its neighbours"),
    (StaleCache, "not on what is cached for the dialogue"),
    (WarmAtZero, "with temperature=0 a completion must not depend on request.key"),
    (IgnoresIds, "the given prompt_ids must be the context"),
]


@pytest.mark.parametrize(("broken", "message"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_each_fault_is_found_and_said_in_one_line(broken: type[Minimal], message: str) -> None:
    with pytest.raises(AssertionError, match=message) as caught:
        check_language_model(broken())
    assert "\n" not in str(caught.value)


def test_a_cache_that_forget_breaks_is_found() -> None:
    class Scarred(Minimal):
        def __init__(self) -> None:
            self.gone: set[Any] = set()

        def one(self, request: Any, sampling: Any) -> Any:
            scar = " again" * (request.dialogue_id in self.gone)
            return Completion(super().one(request, sampling).text + scar)

        def forget(self, dialogue_ids: Any) -> None:
            self.gone.update(dialogue_ids)

    with pytest.raises(AssertionError, match=r"forget\(\) must change no completion"):
        check_language_model(Scarred())


def test_noise_is_allowed_where_it_is_asked_for() -> None:
    for relaxed in (Streamed, HearsNeighbours, StaleCache):
        check_language_model(relaxed(), deterministic=False)


def test_two_conversations_are_the_least() -> None:
    with pytest.raises(ValueError, match="n must be at least 2 conversations, got 1"):
        check_language_model(Minimal(), n=1)
