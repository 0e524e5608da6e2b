"""An engine that is not the trainer's module: adapters, the probe, what its tokens count for, refusals."""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from dialogue_agents.grpo.__main__ import main
from dialogue_agents.grpo.engines import EngineDrift, OwnModel, load_engine
from dialogue_agents.grpo.lora import merged
from dialogue_agents.grpo.ratios import truncated_weights
from dialogue_agents.grpo.reference import grpo_loss, turn_advantages
from dialogue_agents.grpo.run import run
from dialogue_agents.grpo.settings import GRPOSettings
from dialogue_gym.calibration.checkpoints import last_checkpoint
from dialogue_gym.language_models import GenerationRequest, Sampling
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.language_models.modules import default_device
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.language_models.tiny_model import tiny_model_path
from dialogue_gym.language_models.transformers_engine import TransformersModel
from dialogue_gym.seeding import NoiseKey
from tests.agents import folder_engine

RATE = 0.05


@pytest.fixture
def make_synced(make_settings: Any, policy_folder: Path) -> Callable[..., GRPOSettings]:
    """``make_synced(out, stale=, shift=, **settings)``: a run on an engine beside the trainer."""

    def make(out: str = "synced", stale: bool = False, shift: float = 0.0, **changes: Any) -> GRPOSettings:
        spec = {"name": "folder", "path": str(policy_folder), "stale": stale, "shift": shift}
        defaults = {"lora_rank": 4, "engine": json.dumps(spec), "learning_rate": RATE}
        settings: GRPOSettings = make_settings(out, **(defaults | changes))
        return settings

    return make


def logged(trainer: Any, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def test_a_run_on_an_engine_is_the_run_on_the_own_model(make_settings: Any, make_synced: Any) -> None:
    own = run(make_settings("own", lora_rank=4, learning_rate=RATE, steps=3))
    settings = make_synced(steps=3)
    assert run(settings)["curve"] == pytest.approx(own["curve"], abs=1e-6)
    adapters = settings.out / "adapters"
    assert [p.name for p in adapters.iterdir()] == ["2"]  # those before are gone
    assert folder_engine.made[-1].loaded == [adapters.resolve() / name for name in "012"]


@pytest.mark.parametrize("level", ["token", "turn", "sequence"])
def test_without_difference_the_gradient_is_that_of_the_own_model(
    make_settings: Any, make_synced: Any, train: Any, level: str
) -> None:
    changes = {"steps": 2, "ratio_level": level, "micro_batch": 4, "groups": 3}
    own = train(make_settings(lora_rank=4, learning_rate=RATE, **changes))
    synced = train(make_synced(**changes))
    assert len(own.gradients) == 2
    for left, right in zip(own.gradients, synced.gradients, strict=True):
        assert left.norm() > 0
        assert (left - right).norm() <= 1e-4 * left.norm()
    for name in ("engine/drift", "engine/drift_mean", "engine/drift_max"):
        found = logged(synced.trainer, name)
        assert len(found) == 2
        assert 0 <= max(found) <= 1e-4
    assert logged(synced.trainer, "engine/weight_mean") == pytest.approx([1.0, 1.0], abs=1e-4)
    assert logged(synced.trainer, "engine/capped_mean") == [0.0, 0.0]


def test_weights_by_hand() -> None:
    own = torch.log(torch.tensor([[0.5, 0.5, 0.1], [0.2, 0.9, 0.4]]))
    behaviour = torch.log(torch.tensor([[0.25, 0.1, 0.2], [0.2, 0.3, 0.8]]))
    by_token = truncated_weights(own, behaviour, None, 3.0)
    assert by_token.tolist() == [pytest.approx([2.0, 3.0, 0.5]), pytest.approx([1.0, 3.0, 0.5])]
    units = torch.tensor([[0, 0, 1], [0, -1, 0]])
    by_turn = truncated_weights(own, behaviour, units, 3.0)
    assert by_turn[0].tolist() == pytest.approx([3.0, 3.0, 0.5])  # the root of 2 * 5 is beyond the cap
    assert by_turn[1, [0, 2]].tolist() == pytest.approx([0.5**0.5, 0.5**0.5])


@pytest.mark.parametrize(("shift", "factor"), [(0.5, 0.6065307), (-0.5, 1.6487213), (-1.0, 2.0)])
def test_an_engine_that_is_off_by_a_constant(
    make_synced: Any, train: Any, shift: float, factor: float
) -> None:
    """All probabilities are off by one factor, so that the weights are its inverse, up to the cap of 2."""
    changes = {"steps": 1, "max_grad_norm": 1e9, "fail": 0.0, "max_drift": 2.0}
    plain, off = train(make_synced(**changes)), train(make_synced(shift=shift, **changes))
    expected = factor * plain.gradients[0]
    assert (off.gradients[0] - expected).norm() <= 1e-4 * expected.norm()
    assert logged(off.trainer, "engine/weight_mean") == pytest.approx([factor], abs=1e-4)
    assert logged(off.trainer, "engine/drift_mean") == pytest.approx([abs(shift)], abs=1e-4)
    assert logged(off.trainer, "engine/drift")[0] <= 1e-4  # its scores are right
    assert logged(off.trainer, "engine/capped_mean") == [float(factor == 2.0)]


def shifted(trajectories: Any) -> None:
    for i, t in enumerate(trajectories):
        noise = NoiseKey((i,)).generator().normal((-1) ** i * 0.4, 0.5, len(t.log_probs))
        t.log_probs = [p + n * m for p, n, m in zip(t.log_probs, noise, t.loss_mask, strict=True)]
        t.rewards = [float((7 * i + 3 * turn) % 5) for turn in range(len(t.rewards))]
        t.reward = None if t.reward is None else sum(t.rewards)


@pytest.mark.parametrize("advantage", ["episode", "turn_baseline"])
@pytest.mark.parametrize("level", ["token", "turn", "sequence"])
def test_the_gradient_is_that_of_the_reference(
    make_synced: Any, train: Any, monkeypatch: Any, level: str, advantage: str
) -> None:
    """All weights are trained, so that plain torch needs no adapter: the engine is named, and not used."""
    settings = make_synced(
        steps=1,
        groups=3,
        micro_batch=6,
        ratio_level=level,
        advantage=advantage,
        max_drift=9.0,
        importance_cap=1.1,
    )
    object.__setattr__(settings, "lora_rank", 0)
    object.__setattr__(settings, "max_grad_norm", 1e9)
    monkeypatch.setattr(
        "dialogue_agents.grpo.rollouts.make_sampler",
        lambda settings, codec: OwnModel(codec),
    )
    watch = train(settings, shifted)
    model = AutoModelForCausalLM.from_pretrained(settings.policy)
    advantages = turn_advantages(watch.trajectories, settings.group_size, False, advantage)
    loss = grpo_loss(
        model, watch.trajectories, advantages, level=level, importance_cap=settings.importance_cap
    )
    loss.backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters()])
    assert expected.norm() > 0
    assert (watch.gradients[0] - expected).norm() <= 1e-5 * expected.norm()
    assert 0 < logged(watch.trainer, "engine/capped_mean")[0] < 1


def test_a_second_use_keeps_the_weights_of_the_first(make_synced: Any, train: Any) -> None:
    """Ratios are against the trainer's log-probabilities at the first use, not against the engine's."""
    watch = train(make_synced(steps=1, updates_per_rollout=2, fail=0.0, shift=0.25, max_drift=1.0))
    first, second = watch.inputs
    assert first["own_log_probs"] is second["own_log_probs"]
    assert torch.equal(first["own_log_probs"], watch.log_probs[0])
    mask = watch.mask(0)
    assert (watch.log_probs[1] - second["own_log_probs"]).abs()[mask].max() > 1e-3  # an update in between
    assert logged(watch.trainer, "engine/drift_mean") == pytest.approx([0.25], abs=1e-4)


def test_an_engine_with_other_weights_is_refused(make_synced: Any, capsys: Any) -> None:
    expected = run(make_synced("whole", steps=4, save_steps=1))
    settings = make_synced("stale", stale=True, steps=4, save_steps=1)
    with pytest.raises(EngineDrift) as caught:
        run(settings)
    message = str(caught.value)
    assert message.startswith("after update 1 the engine's log-probability of a token is ")
    assert "more than max_drift 0.001" in message
    assert "\n" not in message
    assert last_checkpoint(settings.out) == str(settings.out / "checkpoint-1")
    assert not list(settings.out.rglob("*.partial"))
    assert not (settings.out / "policy").exists()
    assert not (settings.out / "result.json").exists()
    good = replace(settings, resume=True, engine=make_synced().engine)
    assert run(good)["curve"] == expected["curve"]
    assert [p.name for p in (settings.out / "adapters").iterdir()] == ["3"]


def test_the_command_ends_in_one_line(make_synced: Any, capsys: Any) -> None:
    settings = make_synced()
    arguments = [
        "--policy",
        settings.policy,
        "--env-kwargs",
        settings.env_kwargs,
        "--lora-rank",
        "4",
        "--cpu",
    ]
    arguments += ["--engine", json.dumps({**json.loads(settings.engine), "shift": 0.25}), "--max-turns", "2"]
    arguments += ["--groups", "1", "--group-size", "4", "--max-tokens", "4", "--eval-dialogues", "0"]
    assert main([*arguments, "--out", str(settings.out), "--report-to", "none"]) == 2
    error = "error: " + capsys.readouterr().err.splitlines()[-1].partition("error: ")[2]
    assert error.startswith("error: what the engine sampled after update 0 has log-probabilities that")
    assert "0.25 off the trainer's" in error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"engine": "vllm:X", "lora_rank": 0}, "engine needs an adapter: set lora_rank"),
        ({"merge_lora": True, "lora_rank": 0}, "merge_lora needs an adapter: set lora_rank"),
        ({"engine": "vllm:X", "merge_lora": True}, "leave it out with engine"),
        ({"engine": '{"name": '}, "engine must be a JSON object"),
        ({"engine": "http://localhost:1/v1"}, "needs a model after '#'"),
        ({"max_drift": 0.0}, "max_drift must be above 0"),
        ({"importance_cap": 0.5}, "importance_cap must be at least 1"),
        ({"concurrency": 0}, "concurrency must be at least 1"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GRPOSettings(**{"lora_rank": 4, **changes})


def test_engines_that_cannot_be_are_refused_before_anything_is_written(
    make_synced: Any, policy_folder: Path
) -> None:
    other = json.dumps({"name": "folder", "path": str(tiny_model_path())})
    for engine, message in (
        ("foldr:X", "unknown language model 'foldr'"),
        (other, "has another tokenizer or chat template than policy"),
        ("tiny", "has another tokenizer or chat template than policy"),
    ):
        settings = make_synced("refused", engine=engine)
        with pytest.raises(ValueError, match=message):
            run(settings)
        assert not settings.out.exists()


def test_each_process_has_its_share_of_the_addresses(monkeypatch: Any, make_synced: Any) -> None:
    asked = []

    def load(options: dict[str, Any]) -> Any:
        asked.append(options["base_url"])
        raise ValueError("that is all")

    monkeypatch.setattr("dialogue_agents.grpo.engines.load_adapter_model", load)
    spec = json.dumps({"name": "http", "model": "m", "base_url": ["a", "b", "c"]})
    for process in range(2):
        monkeypatch.setenv("RANK", str(process))
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(ValueError, match="that is all"):
            load_engine(make_synced(engine=spec), None)  # type: ignore[arg-type]
    assert asked == [["a", "c"], "b"]


@pytest.mark.parametrize(
    ("spec", "own", "expected"),
    [
        ("vllm:P", {"lora_rank": 32}, {"lora_rank": 32, "dtype": "float32"}),
        ("vllm:P", {"lora_rank": 24, "dtype": "bfloat16"}, {"lora_rank": 32, "dtype": "bfloat16"}),
        (
            '{"name": "vllm", "path": "P", "lora_rank": 64, "dtype": "auto"}',
            {},
            {"lora_rank": 64, "dtype": "auto"},
        ),
    ],
)
def test_vllm_has_room_for_the_adapter_in_the_learners_precision(
    monkeypatch: Any, make_synced: Any, spec: str, own: dict[str, Any], expected: dict[str, Any]
) -> None:
    made = []

    def make(path: str, **options: Any) -> Any:
        made.append(options)
        raise ValueError("that is all")

    monkeypatch.setitem(sys.modules, "vllm", ModuleType("vllm"))
    monkeypatch.setattr("dialogue_gym.language_models.vllm_engine.VllmModel", make)
    with pytest.raises(ValueError, match="that is all"):
        load_engine(make_synced(engine=spec, **own), None)  # type: ignore[arg-type]
    assert {name: made[0][name] for name in expected} == expected


def test_vllm_inside_several_processes_is_refused(monkeypatch: Any, make_synced: Any, capsys: Any) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        ValueError, match="in each of its 2 processes; start servers with vllm serve"
    ) as caught:
        load_engine(make_synced(engine="vllm:P"), None)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_the_engine_of_a_learner_on_the_cpu_stays_there(monkeypatch: Any, make_synced: Any) -> None:
    def beside_an_accelerator() -> str:
        with monkeypatch.context() as patch:  # no longer than this, since the optimizer asks torch as well
            patch.setattr(torch.accelerator, "is_available", lambda: True)
            patch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("meta"))
            return default_device()

    monkeypatch.setattr(
        "dialogue_gym.language_models.transformers_engine.default_device", beside_an_accelerator
    )
    settings = make_synced(steps=1)
    run(settings)
    assert folder_engine.made[-1].model.device.type == "cpu"
    assert folder_engine.folder_engine(settings.policy).model.device.type == "meta"


def test_merging_changes_little_and_leaves_nothing_behind(policy_folder: Path) -> None:
    from peft import LoraConfig, get_peft_model

    engine = TransformersModel.from_pretrained(policy_folder)
    torch.manual_seed(0)
    with quiet():
        adapted = get_peft_model(engine.model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    codec: ChatCodec = engine.codec
    model = TransformersModel(adapted, codec)
    before = {name: parameter.clone() for name, parameter in adapted.named_parameters()}
    requests = [
        GenerationRequest(i, ({"role": "user", "content": f"number {i}"},), NoiseKey((i,))) for i in range(6)
    ]
    apart = model.generate(requests, Sampling(12))
    with merged(adapted):
        model.weights_changed()
        together = model.generate(requests, Sampling(12))
        scores = model.score(requests, [c.token_ids for c in apart])
    with adapted.disable_adapter():
        model.weights_changed()
        bare = model.score(requests, [c.token_ids for c in apart])
    assert [c.token_ids for c in apart] == [c.token_ids for c in together]
    gaps, bare_gaps = (
        max(
            abs(a - b)
            for c, row in zip(apart, rows, strict=True)
            for a, b in zip(c.log_probs, row, strict=True)
        )
        for rows in (scores, bare)
    )
    assert gaps <= 1e-5
    assert bare_gaps > 0.1  # the adapter does something
    assert all(torch.equal(before[name], parameter) for name, parameter in adapted.named_parameters())


def test_a_run_with_merged_rollouts(make_settings: Any) -> None:
    changes = {"lora_rank": 4, "learning_rate": RATE, "steps": 3}
    apart = run(make_settings("apart", **changes))
    together = run(make_settings("together", merge_lora=True, **changes))
    assert together["curve"] == pytest.approx(apart["curve"], abs=1e-6)


def lowered(trajectories: Any) -> None:
    """As if everything had been sampled with e times less probability."""
    for t in trajectories:
        t.log_probs = [p - m for p, m in zip(t.log_probs, t.loss_mask, strict=True)]


def test_without_an_engine_the_difference_is_a_metric_and_no_more(make_settings: Any, train: Any) -> None:
    same, off = train(make_settings()), train(make_settings(), lowered)
    assert 0 <= max(logged(same.trainer, "engine/drift_max")) <= 1e-4
    assert logged(off.trainer, "engine/drift_mean") == pytest.approx([1.0, 1.0], abs=1e-4)
    assert logged(off.trainer, "engine/weight_mean") == []


def test_a_merged_adapter_counts_by_importance_as_an_engine_does(make_settings: Any, train: Any) -> None:
    changes = {"lora_rank": 4, "merge_lora": True, "steps": 1, "max_grad_norm": 1e9, "fail": 0.0}
    plain = train(make_settings(**changes))
    off = train(make_settings(max_drift=2.0, **changes), lowered)
    assert (off.gradients[0] - 2.0 * plain.gradients[0]).norm() <= 1e-4 * plain.gradients[0].norm()
    assert logged(plain.trainer, "engine/weight_mean") == pytest.approx([1.0], abs=1e-4)
    assert logged(off.trainer, "engine/capped_mean") == [1.0]
    with pytest.raises(EngineDrift, match=r"what the policy sampled after update 0 .* without merge_lora"):
        train(make_settings(**changes), lowered)


@pytest.mark.parametrize("merge_lora", [False, True])
def test_two_updates_in_bfloat16(make_settings: Any, train: Any, merge_lora: bool) -> None:
    changes = {"dtype": "bfloat16", "lora_rank": 4, "merge_lora": merge_lora, "learning_rate": RATE}
    changes |= {"fail": 0.0, "max_tokens": 12}  # so that there are rewards to tell apart
    watch = train(make_settings(**changes))
    losses = [entry["loss"] for entry in watch.trainer.state.log_history if "loss" in entry]
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    assert all(gradient.isfinite().all() and gradient.norm() > 0 for gradient in watch.gradients)
    assert len(logged(watch.trainer, "engine/drift_mean")) == 2
    assert all(0 < drift < 0.5 for drift in logged(watch.trainer, "engine/drift_max"))
    assert logged(watch.trainer, "engine/weight_mean") == pytest.approx([1.0, 1.0], abs=0.1)
    trained = {p.dtype for p in watch.trainer.model.parameters() if p.requires_grad}
    frozen = {p.dtype for p in watch.trainer.model.parameters() if not p.requires_grad}
    assert (trained, frozen) == ({torch.float32}, {torch.bfloat16})
