"""One run: evaluate, train on what a rollout plays, evaluate again."""

import dialogue_gym.language_models.quiet  # noqa: F401  before TRL is imported

# isort: split
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig

from dialogue_agents.device import trainer_arguments
from dialogue_agents.evaluation import held_out, learn_between_evaluations
from dialogue_agents.folder import prepare_folder
from dialogue_agents.grpo.engines import policy_path, rank
from dialogue_agents.grpo.policies import KeepPolicies
from dialogue_agents.grpo.progress import use_bar
from dialogue_agents.grpo.rollouts import DialogueRollout, Rollout
from dialogue_agents.grpo.settings import GRPOSettings, LearnerSettings, RunSettings
from dialogue_agents.grpo.trainer import DialogueGRPOTrainer
from dialogue_gym.calibration.checkpoints import last_checkpoint
from dialogue_gym.language_models import Sampling
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.language_models.modules import on_cpu
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.language_models.transformers_engine import TransformersModel
from dialogue_gym.logs import append
from dialogue_gym.rollout import Evaluation, LanguageModelPolicy, Trajectory
from dialogue_gym.simulators import UserSimulator

logger = logging.getLogger(__name__)

FREE = ("steps", "engine", "max_drift", "concurrency")
"""Settings that may change when a run is resumed."""


def load_policy(settings: RunSettings) -> tuple[Any, Any]:
    """Model and tokenizer of ``settings.policy``; a warning where training would lose small updates.

    Raises:
        FileNotFoundError: nothing loadable there.
    """
    if settings.dtype == "bfloat16" and not settings.lora_rank and rank()[0] == 0:
        logger.warning(
            "dtype bfloat16 with lora_rank 0 keeps no float32 copy of the weights: updates below about 0.3 % "
            "of a weight are lost in rounding; train an adapter (lora_rank) or in float32"
        )
    path = policy_path(settings)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, settings.dtype))
    except OSError as error:
        first = str(error).strip().splitlines()[0]
        raise FileNotFoundError(f"no policy at {path!r}: {first}") from error
    return model, tokenizer


def make_trainer(
    settings: LearnerSettings,
    model: Any,
    tokenizer: Any,
    rollout: Rollout,
    config: GRPOConfig | None = None,
) -> DialogueGRPOTrainer:
    """The trainer with its rollout, reward and prompts."""
    config = config or trl_config(settings)
    count = settings.steps * settings.groups * config.world_size
    trainer = DialogueGRPOTrainer(
        settings=settings,
        model=model,
        args=config,
        reward_funcs=rollout.reward,
        rollout_func=rollout,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"prompt": [rollout.prompt(i) for i in range(count)]}),
        peft_config=lora_config(settings),
    )
    # TRL's card speaks of a model on a hub, with links that lead nowhere
    trainer.create_model_card = lambda *_, **__: None
    use_bar(trainer, "GRPO")
    trainer.add_callback(KeepPolicies(trainer, settings))
    return trainer


def trl_config(settings: LearnerSettings) -> GRPOConfig:
    """Our settings in TRL's words."""
    return GRPOConfig(
        **trainer_arguments(settings, settings.groups * settings.group_size, settings.micro_batch),
        num_generations=settings.group_size,
        num_iterations=settings.updates_per_rollout,
        max_steps=settings.steps * settings.updates_per_rollout,
        max_completion_length=settings.max_tokens,
        temperature=settings.temperature,
        loss_type=settings.loss_type,
        scale_rewards=settings.scale_rewards,
        epsilon=settings.epsilon,
        beta=settings.beta,
        shuffle_dataset=False,
        disable_dropout=True,
        activation_checkpointing=settings.recompute,
        # in the middle of a rollout's updates a checkpoint would lose the rest of them
        save_steps=settings.save_steps * settings.updates_per_rollout,
        ddp_find_unused_parameters=False,  # all are used; looking for others costs time in every update
    )


def lora_config(settings: RunSettings) -> Any:
    """The adapter that the settings want; None for none."""
    if not settings.lora_rank:
        return None
    from peft import LoraConfig

    return LoraConfig(r=settings.lora_rank, lora_alpha=2 * settings.lora_rank, target_modules="all-linear")


def evaluate_model(
    settings: RunSettings,
    model: Any,
    codec: ChatCodec,
    user: UserSimulator | None = None,
    what: str | None = None,
) -> Evaluation:
    """Held-out dialogues at the training temperature; the same ones at every call.

    Args:
        settings: of the run.
        model: the policy.
        codec: of its tokenizer.
        user: who plays the user in training; loaded anew where it is needed, if None.
        what: name of the progress bar and of the log in ``out``; None for neither.
    """
    sampling = Sampling(settings.max_tokens, settings.temperature)
    policy = LanguageModelPolicy(TransformersModel(model, codec), sampling)
    return held_out(settings, policy, user, what)


def run(settings: GRPOSettings) -> dict[str, Any]:
    """GRPO on whole dialogues; see ``train``."""
    return train(settings, lambda codec: DialogueRollout(settings, codec, on_batch=log_of_training(settings)))


def train(settings: LearnerSettings, make_rollout: Callable[[ChatCodec], Rollout]) -> dict[str, Any]:
    """Train and evaluate; the policy ends up in ``out/policy``, the figures in ``out/result.json``.

    With several processes (``torchrun``) the first one prepares the folder and writes.

    Args:
        settings: of the run.
        make_rollout: gets the codec of the policy's tokenizer and returns what is played in training.

    Returns:
        "curve", the mean score of each rollout; "unscored", the share of dialogues without a reward over
        all rollouts; "budget", what training cost ("updates", "policy_tokens" with loss, each counted once,
        "user_calls", "user_tokens", "look_ahead_tokens"); and, where there are evaluations, "before" and
        "after" (``Evaluation.to_dict``) and their paired "difference".

    Raises:
        FileExistsError: ``out`` holds a run and ``resume`` is off.
        FileNotFoundError: nothing to resume, or no policy to start from.
        NothingScored: a rollout in which no dialogue has a reward.
        ValueError: the run in ``out`` has other settings, or the environment does not know one of them.
    """
    with quiet(), on_cpu(settings.cpu):
        torch.set_num_threads(1)
        config = trl_config(settings)
        model, tokenizer = load_policy(settings)
        rollout = make_rollout(ChatCodec(tokenizer))
        if config.process_index == 0:
            prepare_folder(settings, FREE)
        config.distributed_state.wait_for_everyone()
        trainer = make_trainer(settings, model, tokenizer, rollout, config)
        return Run(settings, trainer, rollout.codec, rollout.user).result()


class Run:
    """The parts of one run; ``result`` goes through its phases, leaving out what a killed run has done.

    Args:
        settings: of the run.
        trainer: transformers' or one made of it.
        codec: of the policy's tokenizer.
        user: who plays the user in training, if anybody does.
    """

    def __init__(
        self, settings: RunSettings, trainer: Any, codec: ChatCodec, user: UserSimulator | None = None
    ) -> None:
        self.settings, self.trainer, self.codec, self.user = settings, trainer, codec, user
        self.first = bool(trainer.is_world_process_zero())

    def result(self) -> dict[str, Any]:
        """Evaluate, train, evaluate again."""
        return learn_between_evaluations(self.settings, self._evaluate, self._learn, writes=self.first)

    def _learn(self, _: Mapping[str, Any]) -> dict[str, Any]:
        self.trainer.train(resume_from_checkpoint=last_checkpoint(self.settings.out))
        self.trainer.save_model(str(self.settings.out / "policy"))
        return self.figures()

    def figures(self) -> dict[str, Any]:
        """What is known once training is over."""
        history = self.trainer.state.log_history
        unscored = [entry["dialogue/unscored"] for entry in history if "dialogue/unscored" in entry]
        return {
            **({"unscored": sum(unscored) / len(unscored)} if unscored else {}),
            "curve": [entry.get("dialogue/score", entry["reward"]) for entry in history if "reward" in entry],
            "budget": self._budget(),
        }

    def _evaluate(self, what: str) -> Evaluation:
        """On every process the same, which costs no more time than waiting for the first would."""
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        name = what if self.first else None
        return evaluate_model(self.settings, model, self.codec, self.user, name)

    def _budget(self) -> dict[str, int]:
        """Sums over the rollouts, those before a resume included; TRL logs means over processes."""
        state, processes = self.trainer.state, self.trainer.accelerator.num_processes
        budget = {"updates": int(state.global_step)}
        for entry in state.log_history:
            for name in (name for name in entry if name.startswith("budget/")):
                what = name.removeprefix("budget/")
                budget[what] = budget.get(what, 0) + round(entry[name] * processes)
        return budget


def log_of_training(settings: LearnerSettings) -> Callable[[Sequence[Trajectory]], None] | None:
    """What writes training dialogues to ``dialogues.jsonl``, where the settings want that."""
    if not settings.log_dialogues:
        return None
    return lambda trajectories: append(settings.out / "dialogues.jsonl", [t.record for t in trajectories])
