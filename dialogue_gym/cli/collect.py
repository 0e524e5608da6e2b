"""``dialogue-gym collect``: play a policy against a user into a log."""

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dialogue_gym.cli.arguments import json_object
from dialogue_gym.cli.reading import mend_log
from dialogue_gym.dialogue import EndReason
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.language_models.shown import shown_settings
from dialogue_gym.logs import DialogueRecord, append, read_log, write_log
from dialogue_gym.rollout import (
    Policy,
    Trajectory,
    load_policy,
    make_vector_env,
    play,
    suited_concurrency,
    summarise,
)
from dialogue_gym.seeding import NoiseKey

Seeds = tuple[int, int]

_FAILED = {reason.value for reason in EndReason if not reason.scored} - {EndReason.CONTEXT_OVERFLOW.value}
"""Ends that another try may not meet. A dialogue that fills the context does so every time."""


@dataclass
class CollectSettings:
    r"""Play a policy against a user and log every dialogue, one JSON object a line.

    The command can be stopped at any time: the same command goes on, plays only the dialogues that the log
    does not have yet, and ends with those of a command that was never stopped. Dialogues that ended unscored
    by an error, such as a server that was down, leave the log and are played again. With a larger --dialogues
    it adds to a log. A log of other settings is refused.

    Examples:
      300 dialogues of the rules with scripted users:
        dialogue-gym collect --policy rule --dialogues 300 --out runs/rules.jsonl
      The tiny model, a toy, as the agent and as the user:
        dialogue-gym collect --policy tiny --simulator prompted --language-model tiny --out runs/tiny.jsonl
      A model of your own with users who tell nothing at first:
        dialogue-gym collect --policy transformers:FOLDER --out runs/mine.jsonl \
          --simulator-options '{"population": {"disclosure": [0.0, 0.0]}}'
    """

    out: Path = Path("runs/dialogues.jsonl")
    """The log; dialogues are added to it as they end."""
    env: str = "MathChat-v0"
    """Environment id."""
    policy: str = "tiny"
    """Who plays the agent: "rule", "tiny", "transformers:PATH" (a folder or a hub name)."""
    simulator: str = "scripted"
    """Who plays the user: a registered name, such as "scripted" or "prompted"."""
    language_model: str | None = None
    """The user's language model: "tiny", "transformers:PATH"; not for simulators without one."""
    simulator_options: str = "{}"
    """More options of the simulator, a JSON object."""
    env_options: str = "{}"
    """More keywords of the environment, a JSON object, such as {"tasks": {"name": "procedural"}}."""
    dialogues: int = 100
    """Dialogues in the log when the command is done."""
    per_task: int = 1
    """Dialogues of each task, one after the other: same persona and opening, other replies on both sides."""
    seed: int = 0
    """Names the set of dialogues: their tasks, personas, replies and the policy's sampling."""
    split: Literal["train", "validation", "test"] = "train"
    """Split of the tasks."""
    max_turns: int = 12
    """Turn limit: messages of the agent."""
    batch: int = 32
    """Dialogues at once; a kill loses at most these."""
    concurrency: int | None = None
    """Dialogues at once, each going on as soon as its own answer is there; 0 lets --batch of them take their
    turns together. By default --batch dialogues go on each by itself where all language models are servers
    (http://...), and together else: a model in this process is fastest in batches."""
    ask_rate: float | None = None
    """Only --policy rule: probability of asking, rather than guessing, while a fact is missing (1.0)."""
    temperature: float | None = None
    """Only language models as the policy: sampling temperature (1.0), 0 is greedy."""
    max_tokens: int | None = None
    """Only language models as the policy: tokens per message (256)."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        for name, least in (("dialogues", 1), ("batch", 1), ("per_task", 1), ("max_turns", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.concurrency is not None and self.concurrency < 0:
            raise ValueError(f"concurrency must be at least 0, got {self.concurrency}")
        json_object(self.simulator_options, "simulator_options")
        given = json_object(self.env_options, "env_options")
        for name in ("split", "max_turns", "simulator", "language_model"):
            if name in given:
                raise ValueError(f"{name} has an option of its own; leave it out of env_options")


def run(settings: CollectSettings) -> int:
    """Play what the log misses, and print what is in it then."""
    with closing(_make_env(settings)) as env:
        policy = _load_policy(settings, env)
        conditions = _conditions(settings, env, policy)
        settings.out.parent.mkdir(parents=True, exist_ok=True)
        wanted = _seeds(settings)
        logged = _logged(settings.out, conditions, wanted) - _remove_failed(settings.out)
        missing = [number for number, seeds in enumerate(wanted) if seeds not in logged]
        _play(settings, env, policy, conditions, wanted, missing)
    records = list(read_log(settings.out))
    print(summarise(records).table())
    print(f"{settings.out}: {len(records)} dialogues, {len(missing)} of them new")
    if failed := [record for record in records if record.end_reason in _FAILED]:
        first = failed[0].extra.get("failure", failed[0].end_reason)
        print(f"{len(failed)} of them failed (the first: {first}); the same command plays these again")
    return int(len(failed) == len(records))


def _make_env(settings: CollectSettings) -> DialogueVectorEnv:
    options = json_object(settings.simulator_options, "simulator_options")
    return make_vector_env(
        settings.env,
        min(settings.batch, settings.dialogues),
        simulator={**options, "name": settings.simulator},
        language_model=settings.language_model,
        max_turns=settings.max_turns,
        split=settings.split,
        **json_object(settings.env_options, "env_options"),
    )


def _load_policy(settings: CollectSettings, env: DialogueVectorEnv) -> Policy:
    options = {name: getattr(settings, name) for name in ("ask_rate", "temperature", "max_tokens")}
    given = {name: value for name, value in options.items() if value is not None}
    return load_policy(settings.policy, env.kind, **given)


def _seeds(settings: CollectSettings) -> list[Seeds]:
    """Task and reply seed of each dialogue; the first ones are the same whatever their number."""
    key = NoiseKey((settings.seed, "collect"))
    return [
        (key.child("task", i // settings.per_task).seed(), key.child("reply", i).seed())
        for i in range(settings.dialogues)
    ]


def _conditions(settings: CollectSettings, env: DialogueVectorEnv, policy: Policy) -> dict[str, Any]:
    """What all dialogues of a log have in common, as JSON gives it back."""
    conditions: dict[str, Any] = json.loads(
        json.dumps(
            {
                "env": settings.env,
                "split": settings.split,
                "simulator": env.simulator.identity(),
                "policy": policy.identity(),
                "max_turns": settings.max_turns,
                "seed": settings.seed,
                "env_options": shown_settings(json_object(settings.env_options, "env_options")),
            }
        )
    )
    return conditions


def _logged(path: Path, conditions: Mapping[str, Any], wanted: list[Seeds]) -> set[Seeds]:
    """Seeds of the dialogues that the log has; what a kill left of a line is removed.

    Raises:
        ValueError: a dialogue that this command would not have played, or one that is there twice.
    """
    if not path.exists():
        return set()
    found: Counter[Seeds] = Counter()
    for number, record in enumerate(read_log(path, half_line="ignore"), 1):
        _check_conditions(record, conditions, f"{path}:{number}")
        found[record.task_seed, record.reply_seed] += 1
    if surplus := set(found) - set(wanted):
        raise ValueError(
            f"{path} holds {len(found)} dialogues already, {len(surplus)} more than --dialogues {len(wanted)}"
        )
    if twice := [seeds for seeds, count in found.items() if count > 1]:
        raise ValueError(f"{path} holds {len(twice)} dialogues twice; did two commands write to it?")
    mend_log(path)
    return set(found)


def _remove_failed(path: Path) -> set[Seeds]:
    """Take dialogues that an error ended out of the log, all in one step; their seeds."""
    records = list(read_log(path)) if path.exists() else []
    failed = {(r.task_seed, r.reply_seed) for r in records if r.end_reason in _FAILED}
    if failed:
        write_log(path, [r for r in records if r.end_reason not in _FAILED], overwrite=True)
    return failed


def _check_conditions(record: DialogueRecord, conditions: Mapping[str, Any], where: str) -> None:
    collected = record.extra.get("collect")
    if not isinstance(collected, dict):
        raise ValueError(f"{where}: was not written by collect; choose another --out")
    before = {**collected, "simulator": record.simulator, "policy": record.policy}
    if differences := _differences({name: before.get(name) for name in conditions}, conditions):
        raise ValueError(
            f"{where}: a dialogue of other settings ({'; '.join(differences)}); "
            "choose another --out, or go on with the settings of the log"
        )


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    """What differs, by the name of the innermost field that does."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        inner = ((key, f"{name}.{key}" if name else key) for key in dict.fromkeys([*before, *now]))
        return [line for key, path in inner for line in _differences(before.get(key), now.get(key), path)]
    return [] if before == now else [f"{name} is {_short(before)} there, {_short(now)} here"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _play(
    settings: CollectSettings,
    env: DialogueVectorEnv,
    policy: Policy,
    conditions: Mapping[str, Any],
    wanted: list[Seeds],
    missing: list[int],
) -> None:
    """Play the missing dialogues; each is in the log once it is over, or, in lockstep, its batch."""
    from tqdm import tqdm

    common = {name: value for name, value in conditions.items() if name not in ("simulator", "policy")}
    with tqdm(
        total=len(wanted),
        initial=len(wanted) - len(missing),
        desc="collect",
        unit="dialogue",
        dynamic_ncols=True,
        disable=None,  # where nobody watches, as in a file
    ) as bar:

        def keep(trajectory: Trajectory) -> None:
            trajectory.record.extra["collect"] = dict(common)
            append(settings.out, [trajectory.record])
            bar.update()

        task_seeds, reply_seeds = ([wanted[i][side] for i in missing] for side in (0, 1))
        suited = suited_concurrency(env, policy)
        play(
            env,
            policy,
            task_seeds,
            reply_seeds,
            policy_seed=settings.seed,
            # 0 stands for lockstep, which play calls None
            concurrency=suited if settings.concurrency is None else settings.concurrency or None,
            on_dialogue=keep,
        )
