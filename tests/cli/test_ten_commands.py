"""The ten commands of docs/calibration.md, as they stand there but for their numbers."""

import re
import shlex
from pathlib import Path

import pytest

from dialogue_agents.grpo.__main__ import main as grpo
from dialogue_gym.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "calibration.md").read_text(encoding="utf-8")
BLOCK = re.search(r"## Ten commands.*?```sh\n(.*?)```", PAGE, flags=re.DOTALL)
FEWER = {
    "collect": "--dialogues 24 --max-turns 3",
    "calibrate": "--epochs 0.1 --evaluations 1 --cpu",
    "realism": "--resamples 20 --splits 2",
    "audit": "--dialogues 1",
    "grpo": "--steps 1 --groups 1 --group-size 2 --max-turns 2 --max-tokens 8 --eval-dialogues 0 --cpu",
}
"""Added to the commands; of an option that is given twice the last one counts."""


def commands() -> list[list[str]]:
    assert BLOCK is not None
    lines = BLOCK[1].replace("\\\n", "").splitlines()
    return [shlex.split(line) for line in lines if not line.startswith("#")]


def run(words: list[str]) -> int:
    if words[:3] == ["python", "-m", "dialogue_agents.grpo"]:
        return grpo([*words[3:], *FEWER["grpo"].split()])
    assert words[0] == "dialogue-gym"
    return main([*words[1:], *FEWER.get(words[1], "").split()])


def test_there_are_ten_and_each_goes_on_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(commands()) == 10
    for words in commands():
        assert run(words) == 0, (words, capsys.readouterr().err)
    examples = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert examples
    for example in examples:
        exec(example, {})
