"""The Python of the page on tasks runs as it stands, from an empty folder."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tasks.md"


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        exec(block, names)
        env = names["env"]
        env.reset(seed=1)  # type: ignore[attr-defined]


def test_every_named_source_is_on_the_page() -> None:
    from dialogue_gym.tasks import task_sources

    page = PAGE.read_text("utf-8")
    for source in {name for registry in task_sources.values() for name in registry.names()}:
        assert f"`{source}`" in page
