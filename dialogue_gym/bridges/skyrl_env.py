"""SkyRL: our environments as ``BaseTextEnv`` (skyrl-gym 0.4).

SkyRL makes an environment for each dialogue, from a row of its data set, and calls it in threads. It
tokenises what ``step`` returns and masks it out of the loss.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

try:
    import skyrl_gym
    from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput
except ImportError as error:
    raise ImportError(f"the bridge to SkyRL needs skyrl-gym: pip install skyrl-gym ({error})") from error

from dialogue_gym.bridges.one_dialogue import OneDialogue, shared_env, task_seed
from dialogue_gym.dialogue import Message

NAME = "dialogue_gym"  # what a row's ``env_class`` says


def register() -> None:
    """Make it known to SkyRL; to be called in every process that generates."""
    if NAME not in skyrl_gym.registry:
        skyrl_gym.register(id=NAME, entry_point=f"{__name__}:DialogueTextEnv")


def rows(
    env_id: str, count: int, seed: int = 0, system_prompt: str = "You are helpful.", **keywords: Any
) -> Iterator[dict[str, Any]]:
    """Rows of a data set: one task each; ``seed`` names the set, ``keywords`` are the environment's."""
    for index in range(count):
        yield {
            "prompt": [{"role": "system", "content": system_prompt}],
            "env_class": NAME,
            "env_id": env_id,
            "env_keywords": json.dumps(keywords),
            "task_seed": task_seed(seed, index),
        }


class DialogueTextEnv(BaseTextEnv):  # type: ignore[misc]
    """One dialogue; ``init`` opens it.

    SkyRL knows no missing reward: a dialogue that was not scored pays 0.0 and counts in its group's baseline.
    ``metadata`` and the metric ``scored`` tell how many.

    Args:
        env_config: not used; what matters is in the row.
        extras: the row, with the generator's ``max_turns``, which becomes the turn limit.

    Raises:
        ValueError: a row without a task seed, or a generator that plays a single turn.
    """

    def __init__(self, env_config: Any = None, extras: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._row = dict(extras or {})
        if "task_seed" not in self._row:
            raise ValueError(f"a row of the data set needs a task_seed, got {sorted(self._row)}; see rows()")
        self.max_turns = self._row.get("max_turns")
        if self.max_turns == 1:
            raise ValueError("generator.max_turns is 1, so that no user would ever reply; set it to more")
        self._env = shared_env(self._row.get("env_id", "MathChat-v0"), self._row.get("env_keywords", "{}"))

    def init(self, prompt: list[Message]) -> tuple[list[Message], dict[str, Any]]:
        """The prompt's system messages and what the user says first."""
        if any(message["role"] != "system" for message in prompt):
            raise ValueError("the user opens the dialogue: a row's prompt may have system messages alone")
        seed, reply_seed = int(self._row["task_seed"]), self._row.get("reply_seed")
        self._dialogue = OneDialogue(self._env, seed, reply_seed, self.max_turns)
        silence: Message = {"role": "user", "content": ""}  # of a user who failed
        return [*prompt, *(self._dialogue.opening or [silence])], self._metadata()

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """The user's reply; none is shown once the dialogue is over."""
        self.turns += 1
        heard = [] if self._dialogue.over else self._dialogue.say(action)
        over = self._dialogue.over
        return BaseTextEnvStepOutput(
            observations=[] if over else heard,
            reward=(self._dialogue.record.reward or 0.0) if over else 0.0,
            done=over,
            metadata=self._metadata(),
        )

    def close(self) -> None:
        """Tell the user that the dialogue will not go on."""
        self._dialogue.close()

    def get_metrics(self) -> dict[str, Any]:
        """The scorer's measures, the turns, and whether the dialogue was scored."""
        record = self._dialogue.record
        return {**record.metrics, "turns": self.turns, "scored": float(record.reward is not None)}

    def _metadata(self) -> dict[str, Any]:
        record = self._dialogue.record
        return {"end_reason": record.end_reason or "", "reply_seed": record.reply_seed, **record.extra}
