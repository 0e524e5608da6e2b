"""One dialogue at a time, opened, spoken to and scored: what loops of other frameworks want."""

import json
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

from dialogue_gym.dialogue import Message
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout import make_vector_env
from dialogue_gym.seeding import NoiseKey

THREADS = ThreadPoolExecutor(512, "dialogue")
"""For loops of coroutines, which calls of users must not hold up; started as they are needed."""

_envs: dict[tuple[str, str], DialogueVectorEnv] = {}
_building = threading.Lock()


def shared_env(env_id: str, keywords: str = "{}") -> DialogueVectorEnv:
    """The environment of a name and keywords; one in this process, however often it is asked for.

    Frameworks make an environment for every dialogue. Users, tasks and scorers are loaded once here, and all
    dialogues share them.

    Args:
        env_id: "MathChat-v0", "DocEditChat-v0".
        keywords: see ``EnvKeywords``; a JSON object as a text, which survives tables that mix up fields.

    Raises:
        ValueError: no such environment, or names and keywords that there are not.

    Example:
        >>> shared_env("MathChat-v0", '{"max_turns": 3}') is shared_env("MathChat-v0", '{"max_turns": 3}')
        True
    """
    with _building:
        if (env_id, keywords) not in _envs:
            _envs[env_id, keywords] = make_vector_env(env_id, 1, **json.loads(keywords))
        return _envs[env_id, keywords]


def task_seed(seed: int, index: int) -> int:
    """The seed of the ``index``-th task of a data set; tasks of different ``seed`` have nothing in common."""
    return NoiseKey((seed, "bridge", "task", index)).seed()


class OneDialogue:
    """A dialogue that somebody else's loop plays.

    Args:
        env: whose parts it is made of; its own rows stay as they are.
        task_seed: keys the task, the persona and the opening.
        reply_seed: keys the user's replies; drawn anew if None, so that members of a group differ.
        max_turns: a limit in place of the environment's.

    Attributes:
        over: whether it has ended; already at its opening where the user failed.

    Example:
        >>> dialogue = OneDialogue(shared_env("MathChat-v0"), task_seed=7, reply_seed=1)
        >>> [message["role"] for message in dialogue.opening]
        ['user']
        >>> heard = dialogue.say("The answer is 42.")
        >>> dialogue.over, dialogue.record.end_reason
        (True, 'user_stop')
    """

    def __init__(
        self,
        env: DialogueVectorEnv,
        task_seed: int,
        reply_seed: int | None = None,
        max_turns: int | None = None,
    ) -> None:
        self._env = env.sibling(1)
        options = {
            "task_seed": task_seed,
            "reply_seed": secrets.randbits(52) if reply_seed is None else reply_seed,
            "max_turns": max_turns,
        }
        (observation,), infos = self._env.reset(options=options)
        self.opening: list[Message] = list(observation)
        self.over = bool(infos["end_reason"][0])

    def say(self, text: str) -> list[Message]:
        """The agent speaks; what the user replies, nothing when the turn limit ended the dialogue.

        Raises:
            RuntimeError: the dialogue is over.
        """
        if self.over:
            raise RuntimeError(f"the dialogue is over ({self.record.end_reason}); nobody listens any more")
        before = len(self.record.messages)
        _, _, terminated, truncated, _ = self._env.step([text])
        self.over = bool(terminated[0] or truncated[0])
        return self.record.messages[before + 1 :]

    @property
    def record(self) -> DialogueRecord:
        """The dialogue as the laboratory logs it; its reward is None where it was not scored."""
        return self._env.record()

    def close(self) -> None:
        """Tell the user that it will not go on."""
        self._env.close()
