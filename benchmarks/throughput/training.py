"""A GRPO update with our rollout, and with the trainer's own generation, on the same model and dialogues."""

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.throughput.environment import FreeScorer, FreeUser
from benchmarks.throughput.measuring import (
    MEMORY,
    Device,
    Findings,
    Target,
    by_series,
    clock,
    clock_name,
    peak_gib,
    progress,
    ratios,
    reset_peak,
)
from benchmarks.throughput.models import random_model
from benchmarks.throughput.settings import Settings
from dialogue_agents.grpo.rollouts import DialogueRollout, Played
from dialogue_agents.grpo.run import make_trainer
from dialogue_agents.grpo.settings import GRPOSettings
from dialogue_gym.bridges.trl_rollout import to_trl
from dialogue_gym.language_models import Completion, GenerationRequest, Sampling
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.language_models.tiny_model import load_tiny_model
from dialogue_gym.rollout import LanguageModelPolicy, make_vector_env

SHAPES = {4: 48, 10: 16}
"""Tokens per message by number of turns."""
BOUNDS = {4: 1.25, 10: 1.9}
OURS, TRLS = "our rollout", "TRL's generation"
OUTSIDE = "outside generation, forward, backward"
"""Generation is all of a call of the model; how much of it lies outside forward passes: section rollouts."""
OF_ROLLOUT = "of that the rollout: environment, user, scorer, records"
OF_TRAINER = "of that the trainer: rewards, advantages, optimizer"


def measure(settings: Settings) -> Findings:
    """Updates with the one and the other in turn, by one trainer."""
    findings = Findings()
    seconds: dict[tuple[str, float], list[float]] = {}
    peaks: dict[tuple[str, float], list[float]] = {}
    shares: dict[tuple[str, float], list[float]] = {}
    for turns, tokens in SHAPES.items():
        progress(f"training: {turns} turns, {2 * settings.rounds + 2} updates")
        with tempfile.TemporaryDirectory() as folder, quiet():
            timed = _train(settings, turns, tokens, Path(folder))
        progress("")
        for what, samples in timed.seconds.items():
            seconds[what, float(turns)] = samples
        peaks |= {(f"update, {who}", float(turns)): samples for who, samples in timed.peaks.items()}
        shares |= {(part, float(turns)): samples for part, samples in timed.shares.items()}
        for what, bound in (("rollout", BOUNDS[turns]), ("update", None)):
            ratio = ratios(seconds[f"{what}, {TRLS}", turns], seconds[f"{what}, {OURS}", turns])
            if bound:
                findings.targets.append(
                    Target(f"TRL's rollout over ours, {turns} turns", ratio, bound, "least")
                )
            findings.notes.append(
                f"{turns} turns of at most {tokens} tokens: our {what} is {statistics.median(ratio):.2f} "
                f"times as fast; {timed.tokens[OURS]:.0f} and {timed.tokens[TRLS]:.0f} tokens of the policy's"
            )
    findings.series = by_series(clock_name(settings.device), "turns", seconds)
    findings.series += by_series("share of an update, our rollout", "turns", shares)
    findings.series += by_series(MEMORY, "turns", peaks) if settings.device == "cuda" else []
    rest = [share for (part, _), samples in shares.items() if part == OUTSIDE for share in samples]
    findings.targets.append(Target(f"share of an update {OUTSIDE}", rest, 0.02, "most"))
    return findings


class Timed:
    """Seconds of each part of every update, ours and TRL's by turns; the first of each is not counted."""

    def __init__(self, device: Device) -> None:
        self.now, self.updates, self.current = clock(device), 0, OURS
        self.seconds: dict[str, list[float]] = {}
        self.shares: dict[str, list[float]] = {}
        self.peaks: dict[str, list[float]] = {}
        self.tokens: dict[str, float] = {}
        self._parts: dict[str, float] = {}
        self._device = device
        self._begun = self.now()

    def part(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed as part of an update."""

        def timed(*arguments: Any, **keywords: Any) -> Any:
            begin = self.now()
            result = function(*arguments, **keywords)
            self._parts[name] = self._parts.get(name, 0.0) + self.now() - begin
            return result

        return timed

    def end_of_update(self) -> None:
        """Between two updates: file the parts, let the other one generate."""
        total, parts = self.now() - self._begun, self._parts
        if self.updates >= 2:
            self.seconds.setdefault(f"rollout, {self.current}", []).append(parts["rollout"])
            self.seconds.setdefault(f"update, {self.current}", []).append(total)
            self.peaks.setdefault(self.current, []).append(peak_gib(self._device))
            if self.current == OURS:
                self._file_shares(parts, total)
        reset_peak(self._device)
        self.updates += 1
        self.current = TRLS if self.current == OURS else OURS
        self._parts, self._begun = {}, self.now()

    def _file_shares(self, parts: Mapping[str, float], total: float) -> None:
        """Where an update's time goes; generation is part of the rollout."""
        rollout, generation = parts["rollout"] - parts["generation"], parts["generation"]
        trainer = total - parts["rollout"] - parts["forward"] - parts["backward"]
        seconds = {"generation": generation, "forward": parts["forward"], "backward": parts["backward"]}
        seconds |= {OUTSIDE: rollout + trainer, OF_ROLLOUT: rollout, OF_TRAINER: trainer}
        for part, value in seconds.items():
            self.shares.setdefault(part, []).append(value / total)


def _train(settings: Settings, turns: int, tokens: int, out: Path) -> Timed:
    codec = load_tiny_model().codec
    run = GRPOSettings(
        out=out,
        steps=2 * settings.rounds + 2,
        groups=4,
        group_size=8,
        max_turns=turns,
        max_tokens=tokens,
        learning_rate=0.0,  # so that messages keep their length
        cpu=settings.device == "cpu",
        report_to="none",
        eval_dialogues=0,
        save_steps=10**6,
    )
    timed = Timed(settings.device)
    rollout = AlternatingRollout(run, codec, timed)
    trainer = make_trainer(run, random_model("4M", codec.tokenizer).train(), codec.tokenizer, rollout)
    trainer.rollout_func = timed.part("rollout", rollout)
    setattr(trainer, "_compute_loss", timed.part("forward", trainer._compute_loss))  # noqa: B010
    trainer.accelerator.backward = timed.part("backward", trainer.accelerator.backward)
    trainer.add_callback(_end_of_update(timed))
    trainer.train()
    return timed


def _end_of_update(timed: Timed) -> Any:
    from transformers import TrainerCallback

    class EndOfUpdate(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            timed.end_of_update()

    return EndOfUpdate()


class AlternatingRollout(DialogueRollout):
    """Dialogues with a user who costs nothing; every other batch is sampled by TRL's own generation."""

    def __init__(self, settings: GRPOSettings, codec: ChatCodec, timed: Timed) -> None:
        super().__init__(settings, codec, FreeUser())
        self._timed = timed
        rows = settings.groups * settings.group_size
        self._env = make_vector_env(
            settings.env, rows, simulator=FreeUser(), scorer=FreeScorer(), max_turns=settings.max_turns
        )

    def play(self, policy: Any, prompts: Sequence[str], offset: int) -> Played:
        """As ever, but timing generation and counting tokens."""
        model = TimedGeneration(policy.language_model, self._timed)
        played = super().play(LanguageModelPolicy(model, policy.sampling), prompts, offset)
        self._timed.tokens[self._timed.current] = sum(sum(t.loss_mask) for t in played.trajectories)
        return played

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, list[Any]]:
        """Ours or TRL's."""
        if self._timed.current == OURS:
            return super().__call__(prompts, trainer)
        sampling = Sampling(self.settings.max_tokens, self.settings.temperature)
        played = self.play(LanguageModelPolicy(TrlGeneration(trainer, self.codec), sampling), prompts, 0)
        return to_trl(played.trajectories, self.codec.end_of_turn_id)


class TimedGeneration:
    """A language model whose generation counts as a part of the update."""

    def __init__(self, model: Any, timed: Timed) -> None:
        self.codec, self.forget, self.identity = model.codec, model.forget, model.identity
        self.generate = timed.part("generation", model.generate)


class TrlGeneration:
    """The trainer's own generation as a language model: it reads the whole dialogue anew at every turn."""

    def __init__(self, trainer: Any, codec: ChatCodec) -> None:
        self.codec, self._trainer = codec, trainer

    def generate(self, requests: Sequence[GenerationRequest], sampling: Sampling) -> list[Completion]:
        """One padded batch; TRL gives no log-probabilities here, and zeros stand for them."""
        contexts = [list(request.prompt_ids or ()) for request in requests]
        rows, _ = self._trainer._generate_single_turn(contexts, None, {}, 1)
        return [
            Completion(self.codec.decode(ids), list(ids), [0.0] * len(ids), context)
            for ids, context in zip(rows, contexts, strict=True)
        ]

    def forget(self, dialogue_ids: object) -> None:
        """Nothing is kept."""

    def identity(self) -> dict[str, Any]:
        """Its name."""
        return {"engine": "TRL"}
