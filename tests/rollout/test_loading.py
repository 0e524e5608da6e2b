"""Names become environments and policies; what cannot be is said in one line."""

from typing import Any

import pytest

from dialogue_gym.language_models import Completion, LanguageModel, language_models
from dialogue_gym.language_models.tiny_model import tiny_model_path
from dialogue_gym.rollout import (
    LanguageModelPolicy,
    Policy,
    PolicyRequest,
    RulePolicy,
    TextPolicy,
    load_policy,
    make_vector_env,
)
from dialogue_gym.seeding import NoiseKey


@pytest.mark.parametrize("kind", ["math", "document"])
@pytest.mark.parametrize("spec", ["rule", {"name": "rule"}])
def test_rules(kind: Any, spec: Any) -> None:
    policy = load_policy(spec, kind, ask_rate=0.25)
    assert isinstance(policy, RulePolicy)
    assert policy.identity() == {"name": "rules", "kind": kind, "ask_rate": 0.25}


def test_language_models() -> None:
    tiny = load_policy("tiny", "math", temperature=0.5, system_prompt="Be brief.")
    assert isinstance(tiny, LanguageModelPolicy)
    assert tiny.sampling.temperature == 0.5
    assert tiny.identity()["system_prompt"] == "Be brief."
    for spec in (
        f"transformers:{tiny_model_path()}",
        {"name": "transformers", "path": str(tiny_model_path())},
    ):
        policy = load_policy(spec, "math", max_tokens=8, device="cpu")
        assert isinstance(policy, LanguageModelPolicy)
        assert policy.sampling.max_tokens == 8


def test_objects_pass_through() -> None:
    policy: Policy = RulePolicy("math")
    assert load_policy(policy, "math") is policy
    with pytest.raises(ValueError, match="a policy object takes no options, got ask_rate"):
        load_policy(policy, "math", ask_rate=0.5)


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("tinny", {}, "unknown policy 'tinny': did you mean 'tiny'"),
        ("", {}, "unknown policy '': valid names: .*'http', 'rule', 'tiny', 'transformers'"),
        ("gpt-4", {}, "or 'http://HOST:PORT/v1#MODEL', 'transformers:PATH'"),
        ({"ask_rate": 1}, {}, "unknown policy None"),
        ("rule", {"askrate": 1}, "policy 'rule' has no option 'askrate': did you mean 'ask_rate'"),
        ("rule:path", {}, "policy 'rule' has no option 'path'"),
        ("rule", {"name": "rule", "kind": "math"}, "leave 'kind' out"),
        ("tiny", {"ask_rate": 1}, "has no option 'ask_rate'"),
        ("transformers", {}, "needs a folder or hub name"),
    ],
)
def test_bad_names_and_options(spec: Any, options: dict[str, Any], message: str) -> None:
    given = {"name": spec, **options} if "name" in options else spec
    rest = {k: v for k, v in options.items() if "name" not in options}
    with pytest.raises(ValueError, match=message):
        load_policy(given, "math", **rest)


def test_a_language_model_without_a_codec_gives_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare:
        def generate(self, requests: Any, sampling: Any) -> list[Any]:
            assert requests[0].prompt_ids is None
            return [Completion(r.messages[-1]["content"], [1, 2], [-1.0, -1.0]) for r in requests]

        def forget(self, dialogue_ids: Any) -> None: ...

        def identity(self) -> dict[str, Any]:
            return {}

    def bare() -> LanguageModel:
        return Bare()

    monkeypatch.setattr(language_models, "_factories", {"bare": bare})
    policy = load_policy("bare", "math", system_prompt="Be brief.")
    assert isinstance(policy, TextPolicy)
    [reply] = policy.act([PolicyRequest(0, [{"role": "user", "content": "hi"}], NoiseKey((0,)))])
    assert (reply.text, reply.token_ids, reply.log_probs) == ("hi", [], [])


def test_environments() -> None:
    env = make_vector_env("DocEditChat-v0", 3, max_turns=2)
    assert (env.num_envs, env.kind, env.max_turns) == (3, "document", 2)


@pytest.mark.parametrize(
    ("env_id", "keywords", "message"),
    [
        ("MathChat-v9", {}, "env 'MathChat-v9' cannot be used"),
        ("CartPole-v1", {}, "env 'CartPole-v1'"),
        ("Nope-v0", {}, "not registered: valid names: 'DocEditChat-v0', 'MathChat-v0'"),
        ("MathChatt-v0", {}, "cannot be used, it is not registered: did you mean 'MathChat-v0'"),
        ("MathChat-v0", {"max_turn": 3}, "did you mean 'max_turns'"),
        ("MathChat-v0", {"num_envs": 3}, "multiple values .* 'num_envs'"),
    ],
)
def test_bad_environments(env_id: str, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_vector_env(env_id, 1, **keywords)
