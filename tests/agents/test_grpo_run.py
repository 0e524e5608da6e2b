"""Whole runs: repeat, resume, several processes, what is left on disk and on the screen."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dialogue_agents.grpo import progress
from dialogue_agents.grpo.__main__ import main
from dialogue_agents.grpo.run import run
from dialogue_gym.calibration.checkpoints import last_checkpoint
from dialogue_gym.logs import read_log
from tests import processes


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(left: Any, right: Any) -> bool:
    """Equal bit for bit, through dicts and lists of tensors."""
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def optimizer(settings: Any, step: int) -> Any:
    return torch.load(settings.out / f"checkpoint-{step}" / "optimizer.pt", weights_only=True)


def test_same_settings_give_the_same_run(make_settings: Any) -> None:
    first, second = make_settings("first"), make_settings("second")
    curves = [run(settings)["curve"] for settings in (first, second)]
    assert curves[0] == curves[1]
    assert len(set(curves[0])) == 2
    assert same(weights(first.out / "policy"), weights(second.out / "policy"))
    assert not same(weights(first.out / "policy"), weights(Path(first.policy)))
    other = make_settings("other", seed=1)
    assert run(other)["curve"] != curves[0]


@pytest.mark.parametrize("changes", [{}, {"updates_per_rollout": 2, "micro_batch": 4, "beta": 0.1}])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    make_settings: Any, monkeypatch: Any, changes: dict[str, Any]
) -> None:
    whole, killed = make_settings("whole", steps=4, **changes), make_settings("killed", steps=4, **changes)
    updates = whole.updates_per_rollout
    expected = run(whole)
    with monkeypatch.context() as patch:
        step_end = progress.Bar.on_step_end

        def kill(self: Any, args: Any, state: Any, *rest: Any, **keywords: Any) -> None:
            if state.global_step == 3 * updates:
                raise KeyboardInterrupt
            step_end(self, args, state, *rest, **keywords)

        patch.setattr(progress.Bar, "on_step_end", kill)
        with pytest.raises(KeyboardInterrupt):
            run(killed)
    assert last_checkpoint(killed.out) == str(killed.out / f"checkpoint-{2 * updates}")
    result = run(replace(killed, resume=True))
    assert result["curve"] == expected["curve"]
    assert len(result["curve"]) == 4
    assert result["budget"] == expected["budget"]
    assert result["budget"]["updates"] == 4 * updates
    assert same(weights(killed.out / "policy"), weights(whole.out / "policy"))
    assert same(optimizer(killed, 4 * updates), optimizer(whole, 4 * updates))


def test_a_finished_run_can_be_made_longer(make_settings: Any) -> None:
    whole, short = make_settings("whole", steps=4), make_settings("short", steps=2)
    expected = run(whole)
    run(short)
    assert run(replace(short, steps=4, resume=True))["curve"] == expected["curve"]
    assert same(weights(short.out / "policy"), weights(whole.out / "policy"))
    assert run(replace(short, steps=4, resume=True))["curve"] == expected["curve"]  # nothing left to do


def test_a_half_written_checkpoint_is_passed_over(make_settings: Any) -> None:
    settings = make_settings(steps=2)
    run(settings)
    (settings.out / "checkpoint-10").mkdir()
    assert last_checkpoint(settings.out) == str(settings.out / "checkpoint-2")


def test_a_folder_with_a_run_is_left_alone(make_settings: Any) -> None:
    settings = make_settings(steps=1)
    run(settings)
    before = (settings.out / "result.json").read_bytes()
    with pytest.raises(FileExistsError, match=r"holds a run already; go on with --resume"):
        run(settings)
    with pytest.raises(ValueError, match="has other settings: groups, max_tokens; resume with those"):
        run(replace(settings, resume=True, groups=3, max_tokens=7))
    assert (settings.out / "result.json").read_bytes() == before


def test_evaluations_before_and_after_are_paired(make_settings: Any, capsys: Any) -> None:
    settings = make_settings(eval_dialogues=12, eval_split="validation", steps=3)
    result = run(settings)
    assert json.loads((settings.out / "result.json").read_text()) == result
    seeds = [[o["task_seed"] for o in result[name]["outcomes"]] for name in ("before", "after")]
    assert seeds[0] == seeds[1]
    assert result["before"]["split"] == "validation"
    assert result["difference"]["pairs"] == 12
    rewards = [[o["reward"] for o in result[name]["outcomes"]] for name in ("before", "after")]
    assert rewards[0] != rewards[1]
    table = progress.report(result).splitlines()
    assert table[0].split() == ["before", "after", "after", "-", "before"]
    assert table[1].startswith("reward ")
    assert max(map(len, table)) <= 110


def test_dialogues_are_logged_with_their_rollout(make_settings: Any) -> None:
    settings = make_settings(log_dialogues=True, updates_per_rollout=2)
    result = run(settings)
    budget, records = result["budget"], list(read_log(settings.out / "dialogues.jsonl"))
    assert result["unscored"] == pytest.approx(sum(r.reward is None for r in records) / 16)
    assert f"unscored in training     {result['unscored']:.3f}" in progress.report(result)
    assert [r.extra["rollout"] for r in records] == [0] * 8 + [1] * 8
    heard = [m["content"] for r in records for m in r.messages if m["role"] == "user"]
    # a token a character
    assert (budget["user_calls"], budget["user_tokens"]) == (len(heard), sum(map(len, heard)))
    said = [m for r in records if r.reward is not None for m in r.messages if m["role"] == "assistant"]
    assert len(said) <= budget["policy_tokens"] <= settings.max_tokens * len(said)
    assert (budget["updates"], budget["look_ahead_tokens"]) == (4, 0)


def test_shuffled_rewards_keep_the_curve_and_change_the_weights(make_settings: Any) -> None:
    plain, shuffled = (
        make_settings("plain", steps=1),
        make_settings("shuffled", steps=1, shuffle_rewards=True),
    )
    assert run(plain)["curve"] == pytest.approx(run(shuffled)["curve"])
    assert not same(weights(plain.out / "policy"), weights(shuffled.out / "policy"))


def test_lora_runs_and_saves_an_adapter(make_settings: Any) -> None:
    settings = make_settings(lora_rank=4)
    run(settings)
    assert (settings.out / "policy" / "adapter_config.json").exists()


def test_reward_rises(make_settings: Any) -> None:
    settings = make_settings(
        steps=25, groups=4, group_size=8, fail=0.02, learning_rate=1e-2, save_steps=100, scale_rewards="group"
    )
    curve = run(settings)["curve"]
    assert sum(curve[-5:]) > 2 * sum(curve[:5])


def test_the_command_prints_what_matters_and_no_warnings(policy_folder: Path, tmp_path: Path) -> None:
    sizes = (
        "--steps 2 --groups 2 --group-size 2 --max-turns 2 --max-tokens 4 --eval-dialogues 4 --save-steps 1"
    )
    command = [sys.executable, "-m", "dialogue_agents.grpo", *sizes.split(), "--cpu"]
    command += ["--policy", str(policy_folder), "--out", str(tmp_path / "run")]
    done = processes.run(command, text=True)
    assert done.stdout.splitlines()[1].startswith("reward")
    shown = [line for line in done.stderr.replace("\r", "\n").splitlines() if line.strip()]
    assert all(line.startswith(("evaluation before", "GRPO", "evaluation after")) for line in shown), shown
    assert list((tmp_path / "run").glob("**/events.out.tfevents*"))
    assert main(["--policy", str(policy_folder), "--out", str(tmp_path / "run"), "--cpu"]) == 2


def test_training_with_a_user_who_always_fails_ends_with_the_first_reason(
    policy_folder: Path, tmp_path: Path, capsys: Any
) -> None:
    user = json.dumps({"simulator": {"name": "moody", "fail": 1.0}})
    sizes = "--steps 2 --groups 1 --group-size 2 --max-tokens 4 --eval-dialogues 4 --cpu".split()
    out = tmp_path / "run"
    given = ["--env-kwargs", user, "--policy", str(policy_folder), "--out", str(out), "--log-dialogues"]
    assert main([*sizes, *given]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "error: none of the 2 dialogues of rollout 0 has a reward" in captured.err
    assert captured.err.rstrip().endswith("simulator_failure: in a bad mood")
    assert not (out / "policy").exists()
    assert len(list(read_log(out / "dialogues.jsonl"))) == 2


SCRIPT = """
import dialogue_gym.cli.threads
import hashlib, json, sys
from pathlib import Path
import tests.agents.conftest, tests.agents.folder_engine
from dialogue_agents.grpo import run as grpo
from dialogue_agents.grpo.settings import GRPOSettings
settings = GRPOSettings(**json.loads(sys.argv[1], object_hook=lambda d: d | {"out": Path(d["out"])}))
kept = grpo.DialogueGRPOTrainer.train
def train(self, **keywords):
    kept(self, **keywords)
    flat = b"".join(p.detach().numpy().tobytes() for p in self.model.parameters())
    rank = self.accelerator.process_index
    Path(settings.out, f"rank{rank}").write_text(hashlib.sha256(flat).hexdigest())
grpo.DialogueGRPOTrainer.train = train
grpo.run(settings)
"""


LAUNCHERS = {
    "torchrun": "torch.distributed.run --standalone --nproc-per-node=2",
    # as docs/scaling.md has it; without --multi_gpu it starts one process
    "accelerate": "accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 "
    "--mixed_precision no --dynamo_backend no --main_process_port 0",
}


def run_in_two_processes(settings: Any, folder: Path, launcher: str = "torchrun") -> dict[str, Any]:
    """The result of a run under a launcher, once it has left the same weights in both processes."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    launch = [sys.executable, "-m", *LAUNCHERS[launcher].split()]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "agents")])}
    given = json.dumps(settings.described())
    processes.run([*launch, str(script), given], env=environment)
    assert (settings.out / "rank0").read_text() == (settings.out / "rank1").read_text()
    result: dict[str, Any] = json.loads((settings.out / "result.json").read_text())
    return result


@pytest.mark.parametrize("launcher", ["torchrun", pytest.param("accelerate", marks=pytest.mark.slow)])
def test_two_processes_make_the_update_of_one(
    policy_folder: Path, tmp_path: Path, make_settings: Any, launcher: str
) -> None:
    changes: dict[str, Any] = {"eval_dialogues": 4, "log_dialogues": True}
    settings = make_settings("two", groups=1, **changes)
    result, two = run_in_two_processes(settings, tmp_path, launcher), settings.out
    settings = make_settings("one", groups=2, **changes)
    expected, one = run(settings), settings.out
    seeds = [
        sorted((r.task_seed, r.reply_seed) for r in read_log(out / "dialogues.jsonl")) for out in (one, two)
    ]
    assert seeds[0] == seeds[1]
    assert result["curve"] == pytest.approx(expected["curve"], abs=1e-6)
    assert result["budget"] == expected["budget"]
    start, left, right = weights(policy_folder), weights(one / "policy"), weights(two / "policy")
    moved = max(float((left[k] - start[k]).abs().max()) for k in start)
    apart = max(float((left[k] - right[k]).abs().max()) for k in start)
    assert moved > 1e-3
    assert apart < 0.05 * moved  # sums in another order, which Adam can magnify


def test_two_processes_give_their_engines_one_adapter(
    policy_folder: Path, tmp_path: Path, make_settings: Any
) -> None:
    engine = json.dumps({"name": "folder", "path": str(policy_folder)})
    settings = make_settings("two", groups=1, lora_rank=4, engine=engine)
    result = run_in_two_processes(settings, tmp_path)
    assert [p.name for p in (settings.out / "adapters").iterdir()] == ["1"]
    expected = run(make_settings("one", groups=2, lora_rank=4))
    assert result["curve"] == pytest.approx(expected["curve"], abs=1e-6)
    assert result["budget"] == expected["budget"]
