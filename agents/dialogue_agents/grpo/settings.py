"""Everything that can be set in a run: what all that train a language model share, and what GRPO adds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from dialogue_agents.settings import CommonSettings, check_at_least
from dialogue_agents.turn_rewards import reward_spec
from dialogue_gym.cli.arguments import json_object
from dialogue_gym.language_models import named_language_model

_AT_LEAST = {
    **dict.fromkeys(("steps", "groups", "updates_per_rollout", "policies", "importance_cap"), 1),
    **dict.fromkeys(("micro_batch", "beta"), 0),
}


@dataclass(kw_only=True)
class RunSettings(CommonSettings):
    """What every run that trains a language model can be told."""

    policy: str = "tiny"
    """Where training starts: "tiny" or a folder or hub name that transformers can load."""
    out: Path
    """Folder for checkpoints, metrics, settings and the evaluation."""
    max_turns: int = 6
    """Turn limit while training (evaluation uses the same)."""
    max_tokens: int = 48
    """Tokens per message."""
    temperature: float = 1.0
    """Sampling temperature of the policy while training."""
    learning_rate: float = 2e-4
    """AdamW, constant, no weight decay."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this norm."""
    lora_rank: int = 0
    """Train a LoRA adapter of this rank on all linear layers; 0 trains all weights."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Weights' precision: "float32" or "bfloat16"."""
    cpu: bool = False
    """Stay on the CPU even where there is a GPU, with all models of this process."""
    save_steps: int = 40
    """A checkpoint every so many rollouts; the last two are kept."""
    report_to: Literal["tensorboard", "trackio", "wandb", "none"] = "tensorboard"
    """Where TRL sends its metrics: "tensorboard", "trackio", "wandb" or "none"."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        super().__post_init__()
        for name, hint in get_type_hints(type(self)).items():
            if get_origin(hint) is Literal and getattr(self, name) not in get_args(hint):
                valid = ", ".join(get_args(hint))
                raise ValueError(f"{name} must be one of {valid}, got {getattr(self, name)!r}")
        check_at_least(self, {"max_tokens": 1, "save_steps": 1, "lora_rank": 0, "learning_rate": 0})
        for name in ("temperature", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")


@dataclass(kw_only=True)
class LearnerSettings(RunSettings):
    """What every learner on TRL's GRPO trainer can be told."""

    steps: int = 120
    """Rollouts, each of fresh dialogues; also updates where each is used once. May be raised on resume."""
    groups: int = 16
    """Tasks an update (per process)."""
    group_size: int = 8
    """Dialogues a task; they share task, persona and opening."""
    micro_batch: int = 0
    """Dialogues per forward pass; 0 takes all of the update's at once. Smaller saves memory, not work."""
    recompute: bool = False
    """Compute activations again in the backward pass, in place of keeping them: a part of the memory for
    about a third more time."""
    scale_rewards: Literal["none", "group", "batch"] = "none"
    """Divide advantages by the standard deviation of "group" or "batch", or not at all ("none", Dr. GRPO)."""
    loss_type: Literal["dapo", "grpo", "bnpo", "dr_grpo"] = "dapo"
    """TRL's loss: "dapo" averages over all tokens of the batch, "grpo" first over each dialogue's."""
    ratio_level: Literal["token", "turn", "sequence"] = "token"
    """What has one importance ratio, is clipped as one and counts as one in the mean. "token": GRPO (arXiv
    2402.03300); "turn": the tokens of one message, as the sub-sequences of GSsPO (Workflow-R1, arXiv
    2602.01202); "sequence": all of the policy's tokens of a dialogue, GSPO (arXiv 2507.18071). The ratio of
    several tokens is the geometric mean of theirs. For the papers' means take loss_type "grpo"."""
    updates_per_rollout: int = 1
    """Times that each batch of dialogues is used; ratios are against behaviour log-probabilities."""
    epsilon: float = 0.2
    """Clipping range of the ratio."""
    reward: str | None = None
    """What is trained on in place of the score: a turn reward, "progress" or "look_ahead", or a JSON object
    ({"name": "look_ahead", "continuations": 4}). None: the score. Records and evaluations keep the score."""
    beta: float = 0.0
    """Weight of the KL term to the starting policy; 0 keeps no reference model."""
    shuffle_rewards: bool = False
    """Control: permute rewards within each group, so that there is nothing to learn."""
    policies: int = 1
    """Policies to keep, at even distances: the final one in ``policy``, earlier ones in ``policy-UPDATE``."""
    log_dialogues: bool = False
    """Append every training dialogue to ``dialogues.jsonl``."""
    merge_lora: bool = False
    """Add the adapter to the weights while dialogues are played, which saves time and costs a second copy
    of the adapted weights. Afterwards the weights are what they were, bit for bit."""
    engine: str | None = None
    """Who samples in training. None: the trainer's own model. Else a language model that loads adapters,
    "vllm:PATH", "http://HOST:PORT/v1#MODEL" or a JSON object ({"name": "http", "base_url": [...], "model":
    ...}); it gets the adapter of lora_rank after every update. A server has the policy's tokenizer."""
    max_drift: float | None = None
    """With engine, merge_lora or bfloat16: stop where what was sampled has log-probabilities that are on
    average further from the trainer's (natural log); with engine also where after an update any token of some
    replies is. None: 0.001 in float32, 0.5 in bfloat16."""
    importance_cap: float = 2.0
    """With engine, merge_lora or bfloat16, where sampling rounds otherwise than training: a token counts by
    the trainer's probability over that at which it was sampled, at most this much."""
    concurrency: int | None = None
    """Dialogues at once, each at its own pace. None: what is fast with the models, which is all of them where
    only servers are asked, and lockstep where a model in this process is."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        super().__post_init__()
        check_at_least(self, _AT_LEAST)
        if not self.epsilon > 0:
            raise ValueError(f"epsilon must be above 0, got {self.epsilon}")
        if self.group_size < 2:
            raise ValueError(
                f"group_size must be at least 2, since a group is its own baseline, got {self.group_size}"
            )
        if self.micro_batch and self.groups * self.group_size % self.micro_batch:
            raise ValueError(
                f"micro_batch must divide groups * group_size = {self.groups * self.group_size}, "
                f"got {self.micro_batch}"
            )
        if self.ratio_level != "token" and self.loss_type not in ("dapo", "grpo"):
            raise ValueError(
                f"ratio_level {self.ratio_level!r} needs loss_type dapo or grpo, which are means over what "
                f"has a ratio, got {self.loss_type!r}"
            )
        if self.reward is not None:
            reward_spec(self.reward)
        self._check_sampling()

    def _check_sampling(self) -> None:
        """Who samples, and how many dialogues at once."""
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, got {self.concurrency}")
        if self.max_drift is not None and not self.max_drift > 0:
            raise ValueError(f"max_drift must be above 0, got {self.max_drift}")
        for name in ("engine", "merge_lora"):
            if getattr(self, name) and not self.lora_rank:
                raise ValueError(f"{name} needs an adapter: set lora_rank, for example to 16")
        if self.engine is not None and self.merge_lora:
            raise ValueError("merge_lora is for the trainer's own model; leave it out with engine")
        self.engine_options()

    def engine_options(self) -> dict[str, Any]:
        """The name and options of the engine; empty where the trainer's own model samples.

        Raises:
            ValueError: neither a name nor a JSON object.
        """
        if self.engine is None:
            return {}
        if not self.engine.lstrip().startswith("{"):
            return named_language_model(self.engine)
        return json_object(self.engine, "engine")

    @property
    def samples_otherwise(self) -> bool:
        """Whether dialogues are sampled with other arithmetic than they are trained on."""
        return self.engine is not None or self.merge_lora or self.dtype == "bfloat16"

    @property
    def drift_bound(self) -> float:
        """``max_drift``, or what stands for None."""
        return self.max_drift or {"float32": 1e-3, "bfloat16": 0.5}[self.dtype]

    @property
    def turn_advantage(self) -> Literal["turn_return", "turn_baseline"] | None:
        """How each turn gets an advantage of its own; None where a dialogue has one."""
        return None


@dataclass(kw_only=True)
class GRPOSettings(LearnerSettings):
    """Settings of one run; defaults are those of the page beside this file."""

    out: Path = Path("runs/grpo")
    """Folder for checkpoints, metrics, settings and the evaluation."""
    advantage: Literal["episode", "turn_return", "turn_baseline"] = "episode"
    """What reward is held against what. "episode": a dialogue's against the group's mean (GRPO, arXiv
    2402.03300, outcome supervision). "turn_return": what a turn and those after it earned (returns by turn
    as in GTPO, arXiv 2511.14846, undiscounted) against the mean over all turns of the group.
    "turn_baseline": the same against the mean of the group's dialogues at that turn (turns against their
    peers, as in MT-GRPO, arXiv 2505.11821)."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        super().__post_init__()
        if self.turn_advantage and self.scale_rewards == "batch":
            raise ValueError(
                f"advantage {self.advantage!r} needs scale_rewards none or group, since turns are compared "
                "within groups, got 'batch'"
            )

    @property
    def turn_advantage(self) -> Literal["turn_return", "turn_baseline"] | None:
        """How each turn gets an advantage of its own; None where a dialogue has one."""
        return None if self.advantage == "episode" else self.advantage
