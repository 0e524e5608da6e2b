"""The prompted user over a stub of a language model, and over the shipped one."""

import copy
import json
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import pytest

from dialogue_gym.dialogue import Message
from dialogue_gym.language_models.base import Completion, GenerationRequest, Sampling
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import Persona, PromptedUser, UserReply, UserRequest, simulators
from dialogue_gym.simulators.prompted import STOP_MARK, brief_text, user_view
from dialogue_gym.tasks import Brief, Fact
from dialogue_gym.testing import check_user_simulator


class StubModel:
    """Completes with what a function makes of the request; keeps what it was asked."""

    def __init__(self, complete: Callable[[GenerationRequest], Completion] | None = None) -> None:
        self.complete = complete or (lambda r: Completion(f"number {r.key.integer(0, 99)}", [1, 2]))
        self.requests: list[GenerationRequest] = []
        self.samplings: list[Sampling] = []
        self.forgotten: list[Hashable] = []

    def generate(self, requests: Sequence[GenerationRequest], sampling: Sampling) -> list[Completion]:
        self.requests += requests
        self.samplings.append(sampling)
        return [self.complete(request) for request in requests]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        self.forgotten += dialogue_ids

    def identity(self) -> dict[str, Any]:
        return {"name": "stub"}


BRIEF = Brief(
    "How many eggs?",
    (Fact("groups", "6", "there are 6 boxes"), Fact("each", "4", "each box has 4 eggs")),
    "",
    unit="eggs",
)
TALK: list[Message] = [
    {"role": "user", "content": "how many eggs?"},
    {"role": "assistant", "content": "How many boxes?"},
]


def request(conversation: Sequence[Message] = TALK, kind: Any = "math") -> UserRequest:
    return UserRequest("d7", kind, BRIEF, Persona(politeness=0.123), conversation, NoiseKey((5,)))


def test_it_conforms() -> None:
    for kind in ("math", "document"):
        assert len(check_user_simulator(PromptedUser(StubModel()), kind)) == 13  # type: ignore[arg-type]


@pytest.mark.parametrize("prompt", ["full", "compact"])
@pytest.mark.parametrize("kind", ["math", "document"])
def test_what_never_changes_comes_first_and_roles_are_flipped(prompt: Any, kind: Any) -> None:
    opening, later = user_view(request((), kind), prompt), user_view(request(TALK, kind), prompt)
    assert later[: len(opening)] == opening
    assert [m["role"] for m in later] == ["system", "user", "assistant", "user"]
    assert [m["content"] for m in later[2:]] == [m["content"] for m in TALK]
    assert opening[0]["content"].endswith(brief_text(BRIEF))
    assert "0.123" not in json.dumps(later)


def test_one_call_with_its_own_cache_name_and_noise() -> None:
    model = StubModel()
    user = PromptedUser(model, sampling={"max_tokens": 9, "temperature": 0.5})
    user.reply([request(), request(())])
    assert model.samplings == [Sampling(9, 0.5)]
    assert [r.dialogue_id for r in model.requests] == [("user", "d7")] * 2
    assert model.requests[0].key == NoiseKey((5, "user"))
    user.forget(["d7"])
    assert model.forgotten == [("user", "d7")]


@pytest.mark.parametrize("prompt", ["full", "compact"])
@pytest.mark.parametrize(
    ("said", "text", "stop"),
    [
        ("it's 6 ", "it's 6", False),
        (f"thanks {STOP_MARK} and more", "thanks", True),
        (STOP_MARK, "", True),
        ("[STOP", "[STOP", False),
    ],
)
def test_the_stop_mark_ends_the_dialogue_and_is_not_said(
    said: str, text: str, stop: bool, prompt: Any
) -> None:
    (reply,) = PromptedUser(StubModel(lambda _: Completion(said, [1])), prompt).reply([request()])
    assert (reply.text, reply.stop, reply.error) == (text, stop, None)
    assert reply.metadata["tokens"] == 1
    assert reply.metadata["finish_reason"] == "stop"


@pytest.mark.parametrize("said", ["", "how many eggs?", "Sure! I can help you with that.", '"quoted"'])
def test_the_compact_prompt_takes_every_turn_as_it_comes(said: str) -> None:
    model = StubModel(lambda _: Completion(said, [1]))
    user = PromptedUser(model, "compact")
    (reply,) = user.reply([request()])
    assert (reply.text, reply.error, len(model.requests)) == (said, None, 1)
    assert reply.metadata == {"tokens": 1, "finish_reason": "stop"}
    assert user.identity().keys() == {
        "name", "model", "prompt", "prompt_hash", "temperature", "max_tokens"
    }  # fmt: skip


def test_the_prompt_of_the_shipped_model_is_what_it_was_trained_on() -> None:
    view = user_view(request(), "compact")
    assert view[0]["content"] == (
        "What you want: How many eggs?\nWhat you know: there are 6 boxes. each box has 4 eggs."
    )
    assert PromptedUser(StubModel(), "compact").identity()["prompt_hash"] == "d3ce4f99f172"


@pytest.mark.parametrize("reason", ["error", "overflow"])
def test_a_model_that_fails_costs_one_dialogue(reason: Any) -> None:
    def complete(r: GenerationRequest) -> Completion:
        return (
            Completion("", finish_reason=reason, error="too long")
            if len(r.messages) > 2
            else Completion("hi")
        )

    failed, fine = PromptedUser(StubModel(complete)).reply([request(), request(())])
    assert (failed.error, fine.error, fine.text) == ("too long", None, "hi")
    assert (failed.overflow, fine.overflow) == (reason == "overflow", False)
    nameless = PromptedUser(StubModel(lambda _: Completion("", finish_reason=reason)))
    assert nameless.reply([request()])[0].error == f"language model: {reason}"


def test_identity_tells_prompts_and_sampling_apart() -> None:
    model = StubModel()
    full, compact = PromptedUser(model), PromptedUser(model, "compact")
    assert full.identity() != compact.identity()
    assert full.identity()["prompt_hash"] != compact.identity()["prompt_hash"]
    assert full.identity() == PromptedUser(model).identity()
    assert full.identity() != PromptedUser(model, sampling=Sampling(3)).identity()


def test_a_model_names_the_prompt_that_it_was_trained_on() -> None:
    model = StubModel()
    model.user_prompt = "compact"  # type: ignore[attr-defined]
    assert PromptedUser(model).prompt == "compact"
    assert PromptedUser(model, "full").prompt == "full"


def test_a_copy_shares_the_model() -> None:
    user = PromptedUser(StubModel())
    assert copy.deepcopy({"simulator": user})["simulator"] is user


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown prompt 'ful': did you mean 'full'"):
        PromptedUser(StubModel(), "ful")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown language model 'tinny': did you mean 'tiny'"):
        simulators.build({"name": "prompted", "language_model": "tinny"})


def test_bad_options_are_one_clear_line() -> None:
    with pytest.raises(ValueError, match="language_model must be a LanguageModel or a name, got int"):
        PromptedUser(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sampling has no option 'temprature': did you mean 'temperature'"):
        simulators.build({"name": "prompted", "language_model": "tiny", "sampling": {"temprature": 1}})


# log-probabilities ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_user() -> PromptedUser:
    pytest.importorskip("transformers")
    return PromptedUser("tiny")


@pytest.mark.parametrize(
    ("text", "stop"), [("6 boxes", False), ("thanks", True), ("", True), ("ok \n", True)]
)
def test_log_prob_is_the_models_score_of_what_it_would_write(
    tiny_user: PromptedUser, text: str, stop: bool
) -> None:
    (found,) = tiny_user.log_prob([request()], [UserReply(text, stop)])
    written = f"{text} {STOP_MARK}" if stop and text else STOP_MARK if stop else text
    (score,) = tiny_user.score([request()], [written])
    count = len(tiny_user.language_model.codec.content_ids(text))  # type: ignore[attr-defined]
    assert found.total == pytest.approx(sum(score), abs=1e-4)
    assert found.text == pytest.approx(sum(score[:count]), abs=1e-4)
    assert tiny_user.read(written) == (text.strip(), stop)


def test_sampled_replies_score_as_the_model_sampled_them(tiny_user: PromptedUser) -> None:
    asked = tiny_user.generation_request(request())
    (completion,) = tiny_user.language_model.generate([asked], Sampling(40))
    (score,) = tiny_user.score([request()], [completion.token_ids])
    assert score == pytest.approx(completion.log_probs, abs=1e-4)


def test_scores_do_not_depend_on_how_many_are_scored_together(tiny_user: PromptedUser) -> None:
    replies = [UserReply("6 " * (i % 7), i % 2 == 0) for i in range(40)]
    together = tiny_user.log_prob([request()] * 40, replies)
    for i in (0, 1, 33, 39):
        (alone,) = tiny_user.log_prob([request()], [replies[i]])
        assert together[i].total == pytest.approx(alone.total, abs=1e-3)
    assert tiny_user.log_prob([], []) == []


def test_a_model_that_cannot_score_says_so() -> None:
    with pytest.raises(NotImplementedError, match="StubModel cannot score given texts; a local model can"):
        PromptedUser(StubModel()).log_prob([request()], [UserReply("6")])
