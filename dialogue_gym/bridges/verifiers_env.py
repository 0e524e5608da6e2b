"""verifiers: our environments as a ``MultiTurnEnv`` (verifiers 0.2 and 0.3; 0.4 has none)."""

import asyncio
import json
from typing import Any

try:
    import datasets
    import verifiers as vf

    MultiTurnEnv: Any = vf.MultiTurnEnv
except (ImportError, AttributeError) as error:
    raise ImportError(
        f'the bridge to verifiers needs "verifiers>=0.2,<0.4" and datasets, from pip ({error})'
    ) from error

from dialogue_gym.bridges.one_dialogue import THREADS, OneDialogue, shared_env, task_seed
from dialogue_gym.dialogue import Message

_DIALOGUE = "dialogue"


def load_environment(
    env_id: str = "MathChat-v0",
    dialogues: int = 1000,
    seed: int = 0,
    system_prompt: str | None = None,
    **keywords: Any,
) -> "DialogueMultiTurnEnv":
    """What verifiers calls: ``dialogues`` tasks of the set ``seed``; ``keywords`` are the environment's."""
    return DialogueMultiTurnEnv(env_id, json.dumps(keywords), dialogues, seed, system_prompt)


class DialogueMultiTurnEnv(MultiTurnEnv):  # type: ignore[misc]
    """Dialogues with a user; the opening is the prompt, which a data set cannot know.

    The turn limit is the environment's, so that the last message is scored; verifiers' own is off. A
    dialogue that was not scored is an error of verifiers (``InfraError``), which keeps it out of training.
    Users are called in threads, for a call in the event loop would hold up all dialogues.
    """

    def __init__(
        self, env_id: str, keywords: str, dialogues: int, seed: int, system_prompt: str | None
    ) -> None:
        self._dialogues = shared_env(env_id, keywords)
        tasks = [{"prompt": [], "info": {"task_seed": task_seed(seed, i)}} for i in range(dialogues)]
        rubric = vf.Rubric(funcs=[_reward])
        rubric.add_metric(_turns)
        super().__init__(
            dataset=datasets.Dataset.from_list(tasks),
            system_prompt=system_prompt,
            rubric=rubric,
            max_turns=-1,
        )

    async def setup_state(self, state: Any) -> Any:
        """Open the dialogue."""
        seed = int(state["info"]["task_seed"])
        dialogue = await _in_thread(OneDialogue, self._dialogues, seed)
        state[_DIALOGUE], state["prompt"] = dialogue, [*state["prompt"], *map(_message, dialogue.opening)]
        _raise_unscored(dialogue)
        return state

    async def env_response(self, messages: Any, state: Any, **_: Any) -> Any:
        """What the user replies to the last message."""
        dialogue = state[_DIALOGUE]
        heard = await _in_thread(dialogue.say, messages[-1].content or "")
        _raise_unscored(dialogue)
        if dialogue.over:
            state["final_env_response"] = list(map(_message, heard))
        return list(map(_message, heard))


async def _in_thread(function: Any, *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(THREADS, function, *arguments)


def _message(message: Message) -> Any:
    return vf.UserMessage(content=message["content"])


def _raise_unscored(dialogue: OneDialogue) -> None:
    record = dialogue.record
    if dialogue.over and record.reward is None:
        raise vf.InfraError(f"{record.end_reason}: {record.extra.get('failure', '')}")


async def _reward(state: Any) -> float:
    return (state[_DIALOGUE].record.reward or 0.0) if _DIALOGUE in state else 0.0


async def _turns(state: Any) -> float:
    return float(len(state["trajectory"]))
