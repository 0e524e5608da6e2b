"""The Python of the page about users runs as it stands, from an empty folder."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "users.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_page_about_users_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    exec("import gymnasium as gym\nimport dialogue_gym\n" + block, {})


def test_there_are_blocks() -> None:
    assert len(BLOCKS) == 4
