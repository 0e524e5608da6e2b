"""What is kept of a run while it goes: the curve, the budget, the bar and the checkpoints."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from dialogue_agents.unscored import nothing_scored, reason
from dialogue_gym.dialogue import EndReason
from dialogue_gym.rewards import LookAhead

CURVE_STEPS = 500
"""Acts to a point of the curve."""
FIRST_DIALOGUES = 64
"""Training stops where none of so many has a score."""


class Watch(BaseCallback):  # type: ignore[misc]
    """Counts what training costs and earns, and saves a checkpoint every so often.

    It raises ``NothingScored`` once ``FIRST_DIALOGUES`` have ended, or training has, and none was scored.

    Args:
        folder: of the checkpoint.
        save_steps: acts between checkpoints.
        steps: acts of the whole run.
        state: what ``state`` gave before, for a run that goes on.
        look_ahead: the reward, where it is one that talks with users too.
    """

    def __init__(
        self,
        folder: Path,
        save_steps: int,
        steps: int,
        state: Mapping[str, Any] | None = None,
        look_ahead: LookAhead | None = None,
    ) -> None:
        super().__init__()
        self.folder, self.save_steps, self.steps = folder, save_steps, steps
        self.sums: list[list[float]] = [list(pair) for pair in (state or {}).get("sums", [])]
        self.user_calls: int = (state or {}).get("user_calls", 0)
        self.look_ahead = look_ahead
        self.unscored, self.first = 0, ""  # how many ended without a score, and why the first did
        self.bar: Any = None

    @property
    def curve(self) -> list[float | None]:
        """Mean score of the dialogues that ended in each ``CURVE_STEPS`` acts; None where there is none."""
        return [total / count if count else None for total, count in self.sums]

    def state(self) -> dict[str, Any]:
        """What a run that goes on needs."""
        return {"sums": self.sums, "user_calls": self.user_calls}

    def _on_training_start(self) -> None:
        self.bar = tqdm(
            total=self.steps,
            initial=self.num_timesteps,
            desc=type(self.model).__name__,
            unit="act",
            mininterval=1.0,
            dynamic_ncols=True,
        )
        self.saved = self.num_timesteps // self.save_steps
        self.user_calls += self.training_env.num_envs  # the openings

    def _on_rollout_start(self) -> None:
        """After an update."""
        if self.num_timesteps // self.save_steps > self.saved:
            self.saved = self.num_timesteps // self.save_steps
            save_checkpoint(self.model, self.folder, self.state())

    def _on_step(self) -> bool:
        window = (self.num_timesteps - 1) // CURVE_STEPS
        self.sums += [[0.0, 0] for _ in range(window + 1 - len(self.sums))]
        steps = zip(self.locals["rewards"], self.locals["dones"], self.locals["infos"], strict=True)
        for row, (reward, done, info) in enumerate(steps):
            # nobody replies to the last message that the turn limit allows; after an end comes an opening
            self.user_calls += info["end_reason"] != EndReason.TURN_LIMIT
            self.user_calls += int(done)
            if info["scored"]:
                self.sums[window][0] += float(info.get("score", reward))
                self.sums[window][1] += 1
            elif done:
                self._note_unscored(row)
        if self.unscored >= FIRST_DIALOGUES:
            self._check_scored()
        if self.look_ahead is not None:
            self.user_calls += len(self.look_ahead.take_spent().heard)
        self.bar.update(self.num_timesteps - self.bar.n)
        if (mean := self.curve[-1]) is not None:
            self.bar.set_postfix({"reward": f"{mean:.2f}"}, refresh=False)
        return True

    def _on_training_end(self) -> None:
        self._check_scored()

    def _note_unscored(self, row: int) -> None:
        if not self.unscored:
            env = self.training_env.get_attr("unwrapped", row)[0]
            self.first = reason(env.record(row, finished=True))
        self.unscored += 1

    def _check_scored(self) -> None:
        if self.unscored and not any(count for _, count in self.sums):
            raise nothing_scored(f"{self.unscored} dialogues of training", self.first)

    def close(self) -> None:
        """Close the bar, however training ended."""
        if self.bar is not None:
            self.bar.close()


def save_checkpoint(model: Any, folder: Path, state: Mapping[str, Any]) -> None:
    """The model, its replay memory where it has one, and the watch's state; all or nothing."""
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    model.save(partial / "model.zip")
    if hasattr(model, "replay_buffer"):
        model.save_replay_buffer(partial / "replay.pkl")
    (partial / "state.json").write_text(json.dumps(state))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def load_checkpoint(algorithm: Any, folder: Path, env: Any) -> tuple[Any, dict[str, Any]]:
    """The model of a checkpoint on ``env``, and the watch's state."""
    model = algorithm.load(folder / "model.zip", env=env, device="cpu")
    if hasattr(model, "replay_buffer"):
        model.load_replay_buffer(folder / "replay.pkl")
    return model, json.loads((folder / "state.json").read_text())
