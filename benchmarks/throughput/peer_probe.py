"""One trivial dialogue in the idiom of other packages; runs in their environments and imports none of ours.

``python peer_probe.py PEER ROWS H [H ...]`` prints, as JSON, CPU microseconds per environment step of each
case and dialogue length. The user side is the same everywhere and calls no model: it answers a guess at a
number with one sentence. Dialogues are begun before the clock starts, ``ROWS`` of them beside each other.
"""

# mypy: disable-error-code="import-not-found"

import contextlib
import json
import logging
import random
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

PROMPT = "I am thinking of a number between 1 and 1000. Guess it, one guess per message."
SECRETS = (500, 1000)
Steps = Callable[[], None]
"""The steps of one batch of dialogues that have begun."""
Case = Callable[[int, int], Steps]
"""Begins dialogues, given how many and of how many turns."""


def guess(turn: int) -> str:
    """The agent's guess, never right."""
    return f"My guess is {7 + 3 * turn}"


def answer(secret: int, guessed: str) -> tuple[str, float]:
    """What the user says to it, and the reward."""
    number = int(guessed.rsplit(" ", 1)[1])
    if number == secret:
        return "Yes, that is the number I was thinking of. Well done!", 1.0
    side = "higher" if number < secret else "lower"
    return f"No, not {number}. The number I am thinking of is {side}. Try again.", 0.0


def _stepping(envs: list[Any], turns: int) -> Steps:
    def steps() -> None:
        for turn in range(turns):
            text = guess(turn)
            for env in envs:
                env.step(text)

    return steps


def gymnasium_cases() -> dict[str, Case]:
    """Gymnasium's SyncVectorEnv over an environment with chat messages."""
    import gymnasium as gym
    from gymnasium.spaces import Dict, Sequence, Text

    class AnyText(Text):
        """Membership is a length test, which is what makes it fast."""

        def contains(self, x: Any) -> bool:
            return isinstance(x, str) and len(x) <= self.max_length

    text = AnyText(8192, min_length=0)

    class Guess(gym.Env[Any, Any]):
        def __init__(self, turns: int, whole: bool) -> None:
            self.turns, self.whole, self.action_space = turns, whole, text
            self.observation_space = Sequence(Dict(role=text, content=text))

        def _observe(self) -> Any:
            return tuple([m.copy() for m in (self.messages if self.whole else self.messages[-1:])])

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            self.turn, self.secret = 0, int(self.np_random.integers(*SECRETS))
            self.messages = [{"role": "user", "content": PROMPT}]
            return self._observe(), {}

        def step(self, said: str) -> Any:
            reply, reward = answer(self.secret, said)
            self.turn += 1
            self.messages += [{"role": "assistant", "content": said}, {"role": "user", "content": reply}]
            return self._observe(), reward, reward == 1.0, self.turn >= self.turns, {}

    def vector(whole: bool) -> Case:
        def begin(rows: int, turns: int) -> Steps:
            env = gym.vector.SyncVectorEnv([lambda: Guess(turns + 1, whole)] * rows)
            env.reset(seed=1)
            batches = [(guess(turn),) * rows for turn in range(turns)]

            def steps() -> None:
                for batch in batches:
                    env.step(batch)

            return steps

        return begin

    return {
        "Gymnasium SyncVectorEnv, new messages": vector(False),
        "Gymnasium SyncVectorEnv, whole transcript": vector(True),
    }


def skyrl_cases() -> dict[str, Case]:
    """SkyRL-Gym: a trainer steps each environment by itself."""
    import skyrl_gym
    from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput

    class Guess(BaseTextEnv):  # type: ignore[misc]
        def __init__(self, env_config: Any = None, extras: Any = None) -> None:
            super().__init__()
            self.max_turns = extras["max_turns"]

        def init(self, prompt: Any) -> Any:
            self.secret, self.history = random.randint(*SECRETS), list(prompt)
            return prompt, {}

        def step(self, said: str) -> Any:
            self.turns += 1
            reply, reward = answer(self.secret, said)
            new = [{"role": "user", "content": reply}]
            self.history += [{"role": "assistant", "content": said}, *new]
            done = reward == 1.0 or self.turns >= self.max_turns
            return BaseTextEnvStepOutput(observations=new, reward=reward, done=done, metadata={})

    skyrl_gym.register("guess", entry_point=Guess)

    def begin(rows: int, turns: int) -> Steps:
        envs = [skyrl_gym.make("guess", env_config=None, extras={"max_turns": turns}) for _ in range(rows)]
        for env in envs:
            env.init([{"role": "user", "content": PROMPT}])
        return _stepping(envs, turns)

    return {"SkyRL-Gym, new messages": begin}


def gem_cases() -> dict[str, Case]:
    """GEM: bare, in the wrapper that shows the whole transcript, and that in its vector environment."""
    import gem
    from gem.core import Env
    from gem.wrappers.wrapper_factory import WRAPPER_FACTORY

    class Guess(Env):  # type: ignore[misc]
        def __init__(self, turns: int = 5, **_: Any) -> None:
            self.turns = turns

        def reset(self, seed: int | None = None) -> Any:
            super().reset(seed)
            self.turn, self.secret = 0, random.randint(*SECRETS)
            return PROMPT, {}

        def step(self, said: str) -> Any:
            reply, reward = answer(self.secret, said)
            self.turn += 1
            return reply, reward, reward == 1.0, self.turn >= self.turns, {}

    gem.register("bench:Guess", Guess)
    concatenate = WRAPPER_FACTORY["concat_with_action"]

    def single(wrap: Callable[[Any], Any]) -> Case:
        def begin(rows: int, turns: int) -> Steps:
            envs = [wrap(gem.make("bench:Guess", turns=turns)) for _ in range(rows)]
            for env in envs:
                env.reset(seed=1)
            return _stepping(envs, turns)

        return begin

    def vector(rows: int, turns: int) -> Steps:
        env = gem.make_vec(["bench:Guess"] * rows, wrappers=[concatenate], async_mode=False, turns=turns + 1)
        env.reset(seed=1)
        batches = [(guess(turn),) * rows for turn in range(turns)]

        def steps() -> None:
            for batch in batches:
                env.step(batch)

        return steps

    return {
        "GEM, newest message": single(lambda env: env),
        "GEM, whole transcript": single(concatenate),
        "GEM SyncVectorEnv, whole transcript": vector,
    }


def textarena_cases() -> dict[str, Case]:
    """TextArena: bare, and in the wrapper that it puts around environments for language models."""
    import textarena
    from textarena.wrappers import LLMObservationWrapper

    class Guess(textarena.Env):  # type: ignore[misc]
        def __init__(self, max_turns: int) -> None:
            self.max_turns = max_turns

        def reset(self, num_players: int, seed: int | None = None) -> None:
            self.state = textarena.SinglePlayerState(num_players, seed=seed, max_turns=self.max_turns)
            secret = random.randint(*SECRETS)
            self.state.reset({"secret": secret}, player_prompt_function=lambda player_id, game_state: PROMPT)

        def step(self, action: str) -> Any:  # by this name, which the wrapper uses
            kinds = textarena.ObservationType
            self.state.add_observation(from_id=0, message=action, observation_type=kinds.PLAYER_ACTION)
            reply, reward = answer(self.state.game_state["secret"], action)
            self.state.add_observation(message=reply, observation_type=kinds.GAME_MESSAGE)
            if reward == 1.0 or self.state.turn + 1 >= self.max_turns:
                self.state.set_outcome(reward=reward, reason=reply)
            return self.state.step()

    def single(wrap: Callable[[Any], Any]) -> Case:
        def begin(rows: int, turns: int) -> Steps:
            envs = [wrap(Guess(turns)) for _ in range(rows)]
            for env in envs:
                env.reset(num_players=1, seed=1)

            def steps() -> None:
                for turn in range(turns):
                    text = guess(turn)
                    for env in envs:
                        env.get_observation()
                        env.step(text)

            return steps

        return begin

    return {
        "TextArena, new messages": single(lambda env: env),
        "TextArena, whole transcript": single(LLMObservationWrapper),
    }


PEERS = {
    "gymnasium": gymnasium_cases,
    "skyrl-gym": skyrl_cases,
    "gem-llm": gem_cases,
    "textarena": textarena_cases,
}


def main(peer: str, rows: int, horizons: list[int]) -> None:
    """Time every case of one peer."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    figures: dict[str, dict[int, float]] = {}
    with contextlib.redirect_stdout(sys.stderr):
        for name, begin in PEERS[peer]().items():
            begin(rows, horizons[0])()  # to warm up
            figures[name] = {turns: _microseconds(begin(rows, turns), rows * turns) for turns in horizons}
    print(json.dumps(figures))


def _microseconds(steps: Steps, count: int) -> float:
    start = time.process_time()
    steps()
    return 1e6 * (time.process_time() - start) / count


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), [int(turns) for turns in sys.argv[3:]])
