"""``dialogue-gym annotate``: turn rewards into a log, for learners that read one."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dialogue_gym.cli.arguments import json_object
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.language_models import LanguageModelError
from dialogue_gym.logs import DialogueRecord, read_log, write_log
from dialogue_gym.rewards import (
    CurrentPolicy,
    LookAhead,
    Training,
    TurnReward,
    annotate,
    build_turn_reward,
)
from dialogue_gym.rollout import load_policy, make_vector_env

_MAX_TURNS = 12


@dataclass(kw_only=True)
class AnnotateSettings:
    r"""Copy a log, with what each message of the agent is paid in training in place of the score.

    DRIFT and SFT learn from these turn rewards where a log has them; the scores stay what they are. The copy
    is written as a whole or not at all. A dialogue that has no score, or that a reward's model cannot hold,
    gets no turn rewards, and is not learned from.

    Examples:
      Progress, by the tiny model, a toy:
        dialogue-gym annotate --log runs/log.jsonl --out runs/paid.jsonl \
          --reward '{"name": "progress", "language_model": "tiny"}'
      Look-ahead, where the policy goes on with scripted users:
        dialogue-gym annotate --log runs/log.jsonl --out runs/paid.jsonl --reward look_ahead \
          --policy '{"name": "tiny", "max_tokens": 48}'
    """

    log: Path
    """What to read: dialogues of one environment."""
    out: Path
    """The log to write; its folder is made when it does not exist."""
    reward: str
    """The turn reward: "progress", "look_ahead", "implicit", or a JSON object of its name and options."""
    policy: str | None = None
    """Who goes on with the dialogues: "rule", "tiny", "transformers:PATH", or a JSON object; look_ahead needs
    it, as a rule the one that played them."""
    simulator: str = "scripted"
    """Who plays the user then: a registered name; progress takes its language model if it has none itself."""
    language_model: str | None = None
    """The user's language model: "tiny", "transformers:PATH"; not for simulators without one."""
    simulator_options: str = "{}"
    """More options of the simulator, a JSON object."""
    env_options: str = "{}"
    """More keywords of the environment, a JSON object, such as {"scorer": NAME}."""
    max_turns: int | None = None
    """Turn limit of the dialogues; None: what collect has noted in the log, or else 12."""
    batch: int = 64
    """Dialogues at once."""
    overwrite: bool = False
    """Replace the log to write if it exists."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        for name, value in (("batch", self.batch), ("max_turns", self.max_turns)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.reward.lstrip().startswith("{"):
            json_object(self.reward, "reward")
        json_object(self.simulator_options, "simulator_options")
        json_object(self.env_options, "env_options")


def run(settings: AnnotateSettings) -> int:
    """Ask for the rewards, write the copy and say how many dialogues have some.

    Raises:
        OSError: there is no such log, or the one to write exists.
        ValueError: a log, a reward or a part of the environment that cannot be; or no dialogue has a reward.
    """
    if settings.out.exists() and not settings.overwrite:  # before hours of work
        raise FileExistsError(f"{settings.out} exists; --overwrite replaces it")
    records = list(read_log(settings.log))
    with closing(_make_env(settings, records)) as env:
        reward = _make_reward(settings, env)
        _warn_of_another_user(reward, records)
        try:
            paid = [record for part in _parts(records, settings.batch) for record in annotate(part, reward)]
        except LanguageModelError as error:
            raise ValueError(str(error)) from error
    count = sum(bool(record.extra["turn_rewards"]) for record in paid)
    if not count:
        raise ValueError(
            f"{settings.log}: the reward has nothing for any dialogue: none is scored and short enough"
        )
    write_log(settings.out, paid, overwrite=settings.overwrite)
    print(f"{settings.out}: {len(paid)} dialogues, {count} of them with turn rewards")
    return 0


def _make_env(settings: AnnotateSettings, records: Sequence[DialogueRecord]) -> DialogueVectorEnv:
    names = sorted({record.env_id for record in records})
    if len(names) != 1:
        found = f"dialogues of {' and '.join(names)}" if names else "no dialogue"
        raise ValueError(f"{settings.log}: {found}; those of one environment would be right")
    options = json_object(settings.simulator_options, "simulator_options")
    return make_vector_env(
        names[0],
        min(settings.batch, len(records)),
        **{
            "simulator": {**options, "name": settings.simulator},
            "language_model": settings.language_model,
            "max_turns": settings.max_turns or _noted_limit(records),
            **json_object(settings.env_options, "env_options"),
        },
    )


def _noted_limit(records: Sequence[DialogueRecord]) -> int:
    """The highest turn limit that ``collect`` has noted."""
    notes = [record.extra.get("collect") for record in records]
    limits = [note.get("max_turns") for note in notes if isinstance(note, dict)]
    return max((limit for limit in limits if isinstance(limit, int)), default=_MAX_TURNS)


def _make_reward(settings: AnnotateSettings, env: DialogueVectorEnv) -> TurnReward:
    policy = None if settings.policy is None else load_policy(settings.policy, env.kind)
    spec = settings.reward
    given = json_object(spec, "reward") if spec.lstrip().startswith("{") else spec
    reward = build_turn_reward(given, Training(env, CurrentPolicy(policy)))
    if isinstance(reward, LookAhead) and policy is None:
        raise ValueError(
            "look_ahead needs the policy that goes on with the dialogues: --policy, for example tiny"
        )
    return reward


def _warn_of_another_user(reward: TurnReward, records: Sequence[DialogueRecord]) -> None:
    """Futures with another user than the log's may be wanted, or be a slip."""
    now = json.loads(json.dumps(reward.identity().get("simulator")))
    others = sum(record.simulator != now for record in records)
    if now is not None and others:
        print(
            f"warning: {others} of {len(records)} dialogues were played with another user than looks ahead "
            "(--simulator and its options)",
            file=sys.stderr,
        )


def _parts(records: Sequence[DialogueRecord], size: int) -> Iterator[Sequence[DialogueRecord]]:
    """Some at a time, with a progress bar where somebody watches."""
    from tqdm import tqdm

    with tqdm(total=len(records), desc="annotate", unit="dialogue", dynamic_ncols=True, disable=None) as bar:
        for first in range(0, len(records), size):
            part = records[first : first + size]
            yield part
            bar.update(len(part))
