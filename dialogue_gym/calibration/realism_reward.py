"""The realism reward: a calibrated user learns to say what a discriminator takes for people's.

The reward of a reply is the log odds ``r`` that people, and not the simulator, said it in that context. The
policy that maximises ``E[r] - beta KL(policy || simulator)`` is ``simulator * exp(r / beta) / Z`` (Rafailov
et al. 2023, 2305.18290, equation 4). A Bayes-optimal discriminator has ``exp(r) = people / simulator``, so
at ``beta = 1`` that policy is people's distribution itself, and a smaller beta overshoots: it prefers what
marks people out to what people say. DPO reaches the optimum of pairs that were labelled by the Bradley-Terry
model, so the preferred reply of a pair is drawn with probability ``sigmoid(r1 - r2)``; always taking the
better one would act like a much larger reward.

Replies are scored by discriminators that have not seen their dialogue (cross-fitting), in rounds as in
DIAL (2512.20773): each samples from the last accepted user and trains a new discriminator against it. What
a round gave is judged on held-out dialogues by a fresh discriminator, and refused where people's turns
become less likely or diversity falls.
"""

import copy
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dialogue_gym.calibration.discriminator import (
    EncoderDiscriminator,
    Exchange,
    FeatureDiscriminator,
    NgramDiscriminator,
    two_sample_auc,
)
from dialogue_gym.calibration.realism.resampling import Floats
from dialogue_gym.calibration.realism.speech import Speaker, two_speakers
from dialogue_gym.calibration.samples import check_enough, describe, split_dialogues
from dialogue_gym.calibration.words import ngrams, words
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.registry import nearest
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.base import UserReply
from dialogue_gym.simulators.calibrated import CalibratedUser
from dialogue_gym.simulators.calibrated_folder import MANIFEST, file_hash, read_manifest, write_manifest
from dialogue_gym.simulators.user_turns import UserTurn, user_turns

_ASKED_TOGETHER = 64  # dialogues
_FEATURES = ("ngrams", "encoder")


@dataclass
class RewardSettings:
    """How a calibrated user learns from the realism reward."""

    rounds: int = 2
    """Times of sampling, training a discriminator, and learning from it, each from the best so far."""
    samples: int = 4
    """Replies sampled in each context; even, since they are compared two by two."""
    beta: float = 1.0
    """Weight of the KL term; at 1 the best policy for an ideal discriminator is people's own."""
    features: Literal["ngrams", "encoder"] = "ngrams"
    """What the discriminator that is learned from sees: counts, or the start model's hidden states."""
    folds: int = 3
    """Parts of the dialogues; replies are scored by a discriminator of the other parts."""
    learning_rate: float = 1e-4
    """Peak of AdamW's cosine schedule; about 1e-6 for full training of billions of parameters."""
    epochs: float = 1
    """Passes over a round's pairs."""
    batch_size: int = 16
    """Pairs an update."""
    max_length: int = 1024
    """Pairs with more tokens than this in a row are left out and counted."""
    diversity_tolerance: float = 0.05
    """A round is refused when distinct-2 falls by more than this share below the start's and people's."""
    nats_tolerance: float = 0.02
    """A round is refused when it raises the held-out nats a turn by more than this."""
    seed: int = 0
    """Seeds folds, samples, labels and the order of pairs."""
    cpu: bool = False
    """Stay on the CPU even where there is a GPU."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        for name, low in {"rounds": 1, "samples": 2, "folds": 2, "batch_size": 1, "max_length": 8}.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}, got {getattr(self, name)}")
        if self.samples % 2:
            raise ValueError(f"samples must be even, got {self.samples}")
        for name in ("beta", "learning_rate", "epochs"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("diversity_tolerance", "nats_tolerance", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if self.features not in _FEATURES:
            raise ValueError(f"unknown features {self.features!r}: {nearest(self.features, _FEATURES)}")


@dataclass(frozen=True, slots=True)
class Standing:
    """What held-out dialogues say of a user.

    Attributes:
        auc: of fresh discriminators, on dialogues that they have not seen; 0.5 where nothing tells the
            user from people.
        nats: negative log-likelihood of people's turns, a turn.
        first_turn_distinct_2: distinct-2 of first turns (Li et al. 2016); NaN where the log shows none.
        distinct_2: distinct-2 of all turns.
    """

    auc: float
    nats: float
    first_turn_distinct_2: float
    distinct_2: float


@dataclass
class Improvement:
    """What came of it.

    Attributes:
        folder: the new calibrated folder.
        manifest: what its manifest says.
    """

    folder: Path
    manifest: dict[str, Any] = field(repr=False)

    def summary(self) -> str:
        """A few lines for people."""
        metrics = self.manifest["metrics"]
        lines = [f"start    {_line(metrics['before'])}"]
        lines += [
            f"round {r['round']}  {_line(r['standing'])}; {r['pairs']} pairs; "
            f"{r['refused'] or 'within bounds'}"
            for r in metrics["rounds"]
        ]
        kept = metrics["kept_round"]
        return "\n".join([*lines, f"kept: {f'round {kept}' if kept else 'the start, unchanged'}"])


def _line(standing: dict[str, float]) -> str:
    return (
        f"fresh AUC {standing['auc']:.3f}, {standing['nats']:.3f} nats a turn, "
        f"distinct-2 {standing['distinct_2']:.3f} (first turns {standing['first_turn_distinct_2']:.3f})"
    )


def improve(
    folder: str | Path,
    records: Sequence[DialogueRecord],
    out: str | Path,
    settings: RewardSettings | None = None,
) -> Improvement:
    """Improve a calibrated user by the realism reward and write it to a new folder.

    The records are split as the fit of the folder split them, so that with the same records the dialogues
    that judge are new to the user as well. The round with the lowest held-out AUC is kept among those that
    are within the bounds, or the start. That choice uses the held-out dialogues: for a figure to report,
    judge by dialogues that were not among the records.

    Args:
        folder: what ``dialogue-gym calibrate`` wrote.
        records: people's dialogues.
        out: a folder to make.
        settings: see there.

    Raises:
        ValueError: a folder that is no calibrated user or is taken, or too few dialogues.
    """
    settings, folder, out = settings or RewardSettings(), Path(folder), Path(out)
    if (out / MANIFEST).exists():
        raise ValueError(f"{out}: holds a calibrated user already; another folder would be right")
    parent = read_manifest(folder)
    check_enough(records)
    train, held = split_dialogues(records, parent["settings"]["held_out"], parent["settings"]["seed"])
    started = time.process_time()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as work:
        best, metrics = _rounds(folder, train, held, Path(work), settings, parent)
        for name in read_manifest(best)["files"]:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(best / name, out / name)
    metrics["cpu_seconds"] = round(time.process_time() - started, 1)
    content = {
        **_inherited(parent),
        "realism_reward": {
            "parent_sha256": file_hash(folder / MANIFEST),
            "data": describe(records),
            "settings": {f.name: getattr(settings, f.name) for f in fields(RewardSettings)},
        },
        "metrics": metrics,
        "versions": {name: version(name) for name in ("dialogue-gym", "torch", "transformers", "trl")},
    }
    return Improvement(out, write_manifest(out, content))


def _inherited(parent: dict[str, Any]) -> dict[str, Any]:
    return {name: parent[name] for name in ("model", "user_side", "codec", "data", "settings")}


def _rounds(
    start: Path,
    train: Sequence[DialogueRecord],
    held: Sequence[DialogueRecord],
    work: Path,
    settings: RewardSettings,
    parent: dict[str, Any],
) -> tuple[Path, dict[str, Any]]:
    """The folder of the best round, or of the start, and what the manifest says of all."""
    before, people = judge(CalibratedUser(start), held, settings.seed)
    best, best_standing, kept = start, before, 0
    rounds = []
    for number in range(1, settings.rounds + 1):
        candidate = work / f"round-{number}"
        user = CalibratedUser(best)
        rows, counts = preference_rows(user, train, settings, number)
        _learn(user, rows, candidate, settings, NoiseKey(("realism reward", settings.seed, number)))
        write_manifest(candidate, _inherited(parent))
        standing, _ = judge(CalibratedUser(candidate), held, settings.seed)
        refused = _why_refused(standing, before, people, settings)
        rounds.append({"round": number, **counts, "standing": asdict(standing), "refused": refused})
        if not refused and standing.auc < best_standing.auc:
            best, best_standing, kept = candidate, standing, number
    return best, {
        "before": asdict(before),
        "after": asdict(best_standing),
        "people": people,
        "rounds": rounds,
        "kept_round": kept,
        "held_out_dialogues": len(held),
    }


def _why_refused(
    now: Standing, before: Standing, people: dict[str, float], settings: RewardSettings
) -> str | None:
    """What a round made worse than the tolerances allow; None when nothing."""
    if now.nats > before.nats + settings.nats_tolerance:
        return f"refused: {now.nats - before.nats:.3f} nats a turn more"
    for name, theirs in people.items():
        floor = min(getattr(before, name), theirs) * (1 - settings.diversity_tolerance)
        if getattr(now, name) < floor:  # False for NaN: the log shows no first turn
            return f"refused: {name} {getattr(now, name):.3f}, at least {floor:.3f} is asked for"
    return None


# judging -------------------------------------------------------------------------------------------


def judge(
    user: CalibratedUser, records: Sequence[DialogueRecord], seed: int = 0
) -> tuple[Standing, dict[str, float]]:
    """How a user stands against the users of dialogues that it has not seen, and people's own diversity.

    The discriminators are new ones, and learn from these dialogues alone.

    Raises:
        ValueError: fewer than two dialogues.
    """
    people, simulated, _ = two_speakers(records, user, seed=seed)
    sides = [_exchanges(people), _exchanges(simulated)]
    groups = [turn.logged.request.dialogue_id for turn in people.turns()]
    labels = np.repeat([1, 0], len(groups))
    auc = two_sample_auc(NgramDiscriminator(), sides[0] + sides[1], labels, groups * 2)
    nats = [
        -(t.log_prob.total if t.logged.stop_counts else t.log_prob.text)
        for t in simulated.turns()
        if t.log_prob is not None
    ]
    return Standing(auc, float(np.mean(nats)), **_diversity(simulated)), _diversity(people)


def _exchanges(speaker: Speaker) -> list[Exchange]:
    return [(turn.logged.request, _shown(turn.logged, turn.reply)) for turn in speaker.turns()]


def _shown(turn: UserTurn, reply: UserReply) -> UserReply:
    """The reply as discriminators see it: they must not learn that excerpts never show an end."""
    return reply if turn.stop_counts else replace(reply, stop=False)


def _diversity(speaker: Speaker) -> dict[str, float]:
    turns = list(speaker.turns())
    return {
        "first_turn_distinct_2": _distinct([turn.text for turn in turns if turn.logged.is_opening]),
        "distinct_2": _distinct([turn.text for turn in turns]),
    }


def _distinct(texts: Sequence[str], n: int = 2) -> float:
    grams = [gram for text in texts for gram in ngrams(words(text), n)]
    return len(set(grams)) / len(grams) if grams else float("nan")


# pairs ---------------------------------------------------------------------------------------------


def preference_rows(
    user: CalibratedUser, records: Sequence[DialogueRecord], settings: RewardSettings, number: int = 1
) -> tuple[list[dict[str, list[int]]], dict[str, Any]]:
    """Pairs of the user's replies to the records' contexts, as token ids, and counts for the manifest.

    Returns:
        Rows with ``prompt_ids``, ``chosen_ids`` and ``rejected_ids``: the user side's own ids.
    """
    key = NoiseKey(("realism reward", settings.seed, number))
    turns = [turn for i, record in enumerate(records) for turn in user_turns(record, i)]
    replies = _sample(user, records, settings.samples, key)
    rewards = _cross_fitted(user, turns, replies, settings, key)
    length = min(settings.max_length, user.language_model.max_context)  # type: ignore[attr-defined]
    rows, long = [], 0
    for turn, said, scores in zip(turns, replies, rewards, strict=True):
        context = user.side.context_ids(user.codec, turn.request)
        for j in range(0, len(said), 2):
            pair = said[j : j + 2]
            if not _comparable(turn, *pair):
                continue
            place = key.child("label", turn.request.dialogue_id, turn.index, j)  # type: ignore[arg-type]
            chosen = int(place.uniform() >= _sigmoid(scores[j] - scores[j + 1]))
            ids = [user.side.reply_ids(user.codec, reply.text, reply.stop) for reply in pair]
            if len(context) + max(map(len, ids)) > length:
                long += 1
                continue
            names = ("prompt_ids", "chosen_ids", "rejected_ids")
            rows.append(dict(zip(names, (context, ids[chosen], ids[1 - chosen]), strict=True)))
    return rows, {"contexts": len(turns), "pairs": len(rows), "pairs_too_long": long}


def _comparable(turn: UserTurn, a: UserReply, b: UserReply) -> bool:
    """Two whole replies that differ; only in words where the log does not show whether people stopped."""
    if any(r.error is not None or r.metadata.get("finish_reason") == "length" for r in (a, b)):
        return False
    return (a.text, a.stop) != (b.text, b.stop) and (turn.stop_counts or a.stop == b.stop)


def _sigmoid(x: float) -> float:
    return float(0.5 * (1 + np.tanh(x / 2)))


def _sample(
    user: CalibratedUser, records: Sequence[DialogueRecord], samples: int, key: NoiseKey
) -> list[list[UserReply]]:
    """Replies for each user turn; the first turns of many dialogues in one call, then the second ones."""
    dialogues = [user_turns(record, i) for i, record in enumerate(records)]
    replies: dict[tuple[int, int], list[UserReply]] = {}
    for begin in range(0, len(dialogues), _ASKED_TOGETHER):
        part = range(begin, min(begin + _ASKED_TOGETHER, len(dialogues)))
        for position in range(max((len(dialogues[i]) for i in part), default=0)):
            rows = [i for i in part if position < len(dialogues[i])]
            asked = [
                replace(dialogues[i][position].request, dialogue_id=(i, k), key=key.child(i, position, k))
                for i in rows
                for k in range(samples)
            ]
            said = user.reply(asked)
            for j, i in enumerate(rows):
                replies[i, position] = said[j * samples : (j + 1) * samples]
        user.forget([(i, k) for i in part for k in range(samples)])
    return [replies[i, p] for i, turns in enumerate(dialogues) for p in range(len(turns))]


def _cross_fitted(
    user: CalibratedUser,
    turns: Sequence[UserTurn],
    replies: Sequence[Sequence[UserReply]],
    settings: RewardSettings,
    key: NoiseKey,
) -> Floats:
    """(turns, samples): log odds by a discriminator that saw neither people nor the user in that dialogue."""
    dialogue = [turn.request.dialogue_id for turn in turns]
    names = list(dict.fromkeys(dialogue))
    order = key.child("folds").generator().permutation(len(names))
    folds = {name: int(place) % settings.folds for name, place in zip(names, order, strict=True)}
    fold = np.array([folds[name] for name in dialogue])
    rewards = np.zeros((len(turns), settings.samples))
    for i in range(settings.folds):
        seen, scored = np.flatnonzero(fold != i).tolist(), np.flatnonzero(fold == i).tolist()
        people = [(turns[t].request, _shown(turns[t], turns[t].reply)) for t in seen]
        own = _of_user(turns, replies, seen)
        labels = np.repeat([1, 0], [len(people), len(own)])
        groups = [*(dialogue[t] for t in seen), *(dialogue[t] for t in seen for _ in replies[t])]
        judge_of_fold = _discriminator(user, settings).fit(people + own, labels, groups)
        rewards[scored] = judge_of_fold.logit(_of_user(turns, replies, scored)).reshape(len(scored), -1)
    return rewards


def _of_user(
    turns: Sequence[UserTurn], replies: Sequence[Sequence[UserReply]], which: Sequence[int]
) -> list[Exchange]:
    return [(turns[t].request, _shown(turns[t], reply)) for t in which for reply in replies[t]]


def _discriminator(user: CalibratedUser, settings: RewardSettings) -> FeatureDiscriminator:
    return (
        NgramDiscriminator() if settings.features == "ngrams" else EncoderDiscriminator(user.language_model)
    )


# learning ------------------------------------------------------------------------------------------


def _learn(
    user: CalibratedUser,
    rows: Sequence[dict[str, list[int]]],
    folder: Path,
    settings: RewardSettings,
    key: NoiseKey,
) -> None:
    """TRL's DPO on the rows; weights and tokenizer go to the folder. The user's model is changed."""
    if not rows:
        raise ValueError("the user's replies to each context are all the same, so there is nothing to prefer")
    with quiet(), tempfile.TemporaryDirectory() as work:
        trainer = _trainer(user.language_model, rows, settings, work, key)
        trainer.train()
        adapter = {"selected_adapters": ["default"]} if hasattr(trainer.model, "peft_config") else {}
        trainer.model.save_pretrained(folder, **adapter)
        user.codec.tokenizer.save_pretrained(folder)


def _trainer(
    language_model: Any,
    rows: Sequence[dict[str, list[int]]],
    settings: RewardSettings,
    work: str,
    key: NoiseKey,
) -> Any:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    class TokenDPOTrainer(DPOTrainer):  # type: ignore[misc]
        """Takes token ids as they are; DPOTrainer would make text of them its own way."""

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

    model = language_model.model
    with_adapter = hasattr(model, "peft_config")
    if with_adapter:  # PEFT loads adapters frozen; TRL then keeps a copy of it as the reference
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(".default." in name)
    config = DPOConfig(
        output_dir=work,
        beta=settings.beta,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=10,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        weight_decay=0.0,
        max_length=None,
        save_strategy="no",
        logging_steps=50,
        report_to="none",
        disable_tqdm=True,
        seed=key.bits() % 2**31,
        use_cpu=settings.cpu,
        bf16=False,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
    )
    return TokenDPOTrainer(
        model=model,
        ref_model=None if with_adapter else copy.deepcopy(model),
        args=config,
        train_dataset=Dataset.from_list(list(rows)),
        processing_class=language_model.codec.tokenizer,
    )
