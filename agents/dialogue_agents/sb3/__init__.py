"""PPO, A2C and DQN of Stable-Baselines3 on dialogue acts and features."""

from dialogue_agents.sb3.settings import SB3Settings

__all__ = ["SB3Settings"]
