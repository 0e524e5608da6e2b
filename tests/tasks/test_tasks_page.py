"""The page on tasks names every source; test_docs.py runs its Python."""

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "tasks.md"


def test_every_named_source_is_on_the_page() -> None:
    from dialogue_gym.tasks import task_sources

    page = PAGE.read_text("utf-8")
    for source in {name for registry in task_sources.values() for name in registry.names()}:
        assert f"`{source}`" in page
