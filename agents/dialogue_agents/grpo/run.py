"""One GRPO run: evaluate, train, evaluate again."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, ProgressCallback, TrainerCallback
from trl import GRPOConfig

from dialogue_agents.grpo.rollouts import DialogueRollout, make_env, task_seed
from dialogue_agents.grpo.settings import GRPOSettings
from dialogue_agents.grpo.trainer import DialogueGRPOTrainer
from dialogue_gym.language_models.base import Sampling
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.language_models.tiny_model import tiny_model_path
from dialogue_gym.language_models.transformers_engine import TransformersModel
from dialogue_gym.logs import append
from dialogue_gym.rollout import Evaluation, LanguageModelPolicy, Trajectory, evaluate

EVALUATION_SEED = 20_000
"""Seeds of the held-out dialogues; the same before and after, so that differences are paired."""


class Bar(TrainerCallback):  # type: ignore[misc]
    """A progress bar with what matters in dialogues, in place of the trainer's printed dictionaries."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Open the bar."""
        from tqdm import tqdm

        self.bar = tqdm(
            total=state.max_steps, initial=state.global_step, desc="GRPO", unit="update", mininterval=1
        )

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """Show the latest figures."""
        names = {"reward": "reward", "dialogue/ask_rate": "asks", "dialogue/turns": "turns", "kl": "kl"}
        self.bar.set_postfix(
            {short: f"{logs[name]:.2f}" for name, short in names.items() if logs and name in logs}
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move on."""
        self.bar.update(state.global_step - self.bar.n)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close the bar."""
        self.bar.close()


def load_policy(settings: GRPOSettings) -> tuple[Any, Any]:
    """Model and tokenizer of ``settings.policy``.

    Raises:
        FileNotFoundError: nothing loadable there.
    """
    path = str(tiny_model_path() if settings.policy == "tiny" else settings.policy)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, settings.dtype))
    except OSError as error:
        first = str(error).strip().splitlines()[0]
        raise FileNotFoundError(f"no policy at {path!r}: {first}") from error
    return model, tokenizer


def make_trainer(settings: GRPOSettings, model: Any, tokenizer: Any) -> DialogueGRPOTrainer:
    """The trainer with its rollout, reward and tasks."""
    log = settings.out / "dialogues.jsonl" if settings.log_dialogues else None

    def keep(trajectories: Sequence[Trajectory]) -> None:
        if log is not None:
            append(log, [t.record for t in trajectories])

    rollout = DialogueRollout(settings, ChatCodec(tokenizer), keep)
    config = trl_config(settings)
    count = settings.steps * settings.groups * config.world_size
    trainer = DialogueGRPOTrainer(
        settings=settings,
        model=model,
        args=config,
        reward_funcs=rollout.reward,
        rollout_func=rollout,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"prompt": [str(task_seed(settings, i)) for i in range(count)]}),
        peft_config=_lora(settings),
    )
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(Bar())
    return trainer


def trl_config(settings: GRPOSettings) -> GRPOConfig:
    """Our settings in TRL's words."""
    batch = settings.groups * settings.group_size
    micro = settings.micro_batch or batch
    return GRPOConfig(
        output_dir=str(settings.out),
        use_cpu=settings.cpu,
        bf16=settings.dtype == "bfloat16",
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=batch // micro,
        num_generations=settings.group_size,
        num_iterations=settings.updates_per_rollout,
        max_steps=settings.steps * settings.updates_per_rollout,
        max_completion_length=settings.max_tokens,
        temperature=settings.temperature,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        max_grad_norm=settings.max_grad_norm,
        loss_type=settings.loss_type,
        scale_rewards=settings.scale_rewards,
        epsilon=settings.epsilon,
        beta=settings.beta,
        seed=settings.seed,
        shuffle_dataset=False,
        disable_dropout=True,
        gradient_checkpointing=False,
        logging_steps=1,
        save_steps=settings.save_steps,
        save_total_limit=2,
        report_to=settings.report_to,
    )


def _lora(settings: GRPOSettings) -> Any:
    if not settings.lora_rank:
        return None
    from peft import LoraConfig

    return LoraConfig(r=settings.lora_rank, lora_alpha=2 * settings.lora_rank, target_modules="all-linear")


def evaluate_model(settings: GRPOSettings, model: Any, tokenizer: Any) -> Evaluation:
    """Held-out dialogues at the training temperature; the same ones at every call."""
    env = make_env(settings, min(settings.eval_dialogues, 128), settings.eval_split)
    engine = TransformersModel(model, ChatCodec(tokenizer))
    policy = LanguageModelPolicy(engine, Sampling(settings.max_tokens, settings.temperature))
    return evaluate(env, policy, settings.eval_dialogues, seed=EVALUATION_SEED)


def run(settings: GRPOSettings) -> dict[str, Any]:
    """Train and evaluate; the policy ends up in ``out/policy``, the figures in ``out/result.json``.

    Raises:
        FileExistsError: ``out`` holds a run and ``resume`` is off.
        FileNotFoundError: nothing to resume, or no policy to start from.
        ValueError: the run in ``out`` has other settings.
    """
    prepare_folder(settings)
    torch.set_num_threads(1)
    model, tokenizer = load_policy(settings)
    result = _read(settings.out / "result.json")
    if settings.eval_dialogues and "before" not in result:
        result["before"] = evaluate_model(settings, model, tokenizer).to_dict()
        _write(settings.out / "result.json", result)
    trainer = make_trainer(settings, model, tokenizer)
    checkpoints = sorted(settings.out.glob("checkpoint-*"))
    trainer.train(resume_from_checkpoint=True if settings.resume and checkpoints else None)
    trainer.save_model(str(settings.out / "policy"))
    result["curve"] = [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]
    if settings.eval_dialogues:
        trained = trainer.accelerator.unwrap_model(trainer.model)
        result["after"] = evaluate_model(settings, trained, tokenizer).to_dict()
    _write(settings.out / "result.json", result)
    return result


def prepare_folder(settings: GRPOSettings) -> None:
    """Write ``settings.json``, or check that the run to resume has the same settings."""
    path = settings.out / "settings.json"
    current = json.loads(json.dumps(asdict(settings), default=str))
    if settings.resume:
        if not path.exists():
            raise FileNotFoundError(f"nothing to resume: there is no {path}")
        before = _read(path)
        differ = [k for k in current if k not in ("steps", "resume") and before.get(k) != current[k]]
        if differ:
            raise ValueError(f"{path} has other settings: {', '.join(differ)}; resume with those of the run")
    elif path.exists():
        raise FileExistsError(
            f"{settings.out} holds a run already; go on with --resume or choose another --out"
        )
    settings.out.mkdir(parents=True, exist_ok=True)
    _write(path, current)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def _write(path: Path, data: dict[str, Any]) -> None:
    """All or nothing, so that a kill leaves the old file."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(data, indent=1) + "\n")
    partial.replace(path)
