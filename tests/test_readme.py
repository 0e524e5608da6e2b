"""The README's first example is short and ends with the reward that it should; test_docs.py runs the rest."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_first_example_is_ten_lines_and_solves_its_problem(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(BLOCKS[0].splitlines()) <= 11  # one of them is empty
    exec(BLOCKS[0], {})
    assert capsys.readouterr().out.endswith("reward: 1.0 user_stop\n")
