"""The core opens without the extras, and the library stays apart from the agents."""

import pkgutil
import subprocess
import sys

import pytest

import dialogue_gym

EXTRAS = (
    "torch",
    "transformers",
    "accelerate",
    "peft",
    "trl",
    "datasets",
    "stable_baselines3",
    "httpx2",
    "openai",
    "vllm",
    "matplotlib",
    "rich",
    "tensorboard",
    "dialogue_agents",
)
ROOMS = sorted({module.name for module in pkgutil.iter_modules(dialogue_gym.__path__)} - {"__main__"})


def run_without_extras(code: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a fresh interpreter where importing an extra fails, as if it were not installed."""
    hide = f"import sys; sys.modules.update(dict.fromkeys({EXTRAS!r}))\n"
    command = [sys.executable, "-W", "error", "-c", hide + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_hiding_an_extra_works() -> None:
    result = run_without_extras("import rich")
    assert "ModuleNotFoundError" in result.stderr


@pytest.mark.parametrize("room", ROOMS)
def test_room_opens_without_extras(room: str) -> None:
    result = run_without_extras(f"import dialogue_gym.{room}")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("env_id", ["MathChat-v0", "DocEditChat-v0"])
def test_default_envs_run_without_extras(env_id: str) -> None:
    code = (
        "import gymnasium\n"
        f"env = gymnasium.make('dialogue_gym:{env_id}')\n"
        "env.reset(seed=0)\n"
        "env.step('What is missing?')\n"
        "env.close()\n"
    )
    result = run_without_extras(code)
    assert result.returncode == 0, result.stderr
