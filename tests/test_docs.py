"""README and docs/ as a reader follows them: Python runs, commands parse, links lead somewhere.

The Python of a page runs in its order, in one namespace and from an empty folder. What needs a network, a
GPU, a browser, a person or hours is marked by a comment on the line before its block, ``<!-- not run: REASON
-->``, and is compiled only.
"""

import itertools
import json
import re
import shlex
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from dialogue_gym.cli import COMMANDS
from dialogue_gym.cli.arguments import parse_settings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKING = [
    *PAGES,
    ROOT / "CONTRIBUTING.md",
    ROOT / "agents" / "README.md",
    *sorted(ROOT.glob("agents/dialogue_agents/**/*.md")),
    *ROOT.glob("benchmarks/*/*.md"),
]
FOLDERS = {".", "./agents", "./tests/example_user"}
"""Of this repository, that pages install."""
LANGUAGES = {"python", "sh", "console", "toml", "json", "text"}


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str
    reason: str  # why it is not run

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(markdown: str, page: str) -> list[Block]:
    pattern = r"^(?:<!-- not run: (.+?) -->\n+)?```(\S*)\n(.*?)^```$"
    return [
        Block(page, markdown[: m.start(3)].count("\n") + 1, m[2], m[3], m[1] or "")
        for m in re.finditer(pattern, markdown, flags=re.DOTALL | re.MULTILINE)
    ]


BLOCKS = [
    block for page in PAGES for block in blocks_of(page.read_text("utf-8"), page.relative_to(ROOT).as_posix())
]


def written_in(language: str) -> dict[str, list[Block]]:
    """The blocks of a language by page."""
    pages: dict[str, list[Block]] = {}
    for block in BLOCKS:
        if block.language == language:
            pages.setdefault(block.page, []).append(block)
    return pages


def code_of(block: Block) -> Any:
    """Compiled so that a traceback shows the page's own line."""
    return compile("\n" * (block.line - 1) + block.text, block.page, "exec")


def test_blocks_are_found_with_their_lines_and_reasons() -> None:
    page = "# T\n\n```python\na = 1\n```\n\n<!-- not run: needs a GPU -->\n```sh\nmake x\n```\n"
    assert blocks_of(page, "p.md") == [
        Block("p.md", 4, "python", "a = 1\n", ""),
        Block("p.md", 9, "sh", "make x\n", "needs a GPU"),
    ]


def test_no_block_is_overlooked() -> None:
    for page in PAGES:
        fences = re.findall(r"^\s*```", page.read_text("utf-8"), flags=re.MULTILINE)
        found = [block for block in BLOCKS if ROOT / block.page == page]
        assert len(fences) == 2 * len(found), page
    assert {block.language for block in BLOCKS} <= LANGUAGES
    assert len(written_in("python")) >= 9


@pytest.mark.parametrize("page", written_in("python"))
def test_the_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in written_in("python")[page]:
        code = code_of(block)
        if not block.reason:
            exec(code, names)


def test_a_page_s_python_begins_with_its_imports() -> None:
    for page, blocks in written_in("python").items():
        if any(not block.reason for block in blocks):
            assert "import dialogue_gym" in blocks[0].text or "from dialogue_gym" in blocks[0].text, page


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.language in ("toml", "json")], ids=lambda b: b.where
)
def test_data_can_be_read(block: Block) -> None:
    {"toml": tomllib.loads, "json": json.loads}[block.language](block.text)


# commands ------------------------------------------------------------------------------------------


def commands_of(text: str) -> list[list[str]]:
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


COMMAND_LINES = [
    pytest.param(words, id=f"{block.where}-{number}")
    for block in BLOCKS
    if block.language == "sh"
    for number, words in enumerate(commands_of(block.text))
]


def check_dialogue_gym(words: list[str]) -> None:
    command = COMMANDS[words[0]]
    parse_settings(getattr(import_module(command.module), command.settings), words[0], words[1:])


def check_python(words: list[str]) -> None:
    assert words[0] == "-m", words
    known = help_of(words[1])
    for word in words[2:]:
        option = word.partition("=")[0]
        assert not option.startswith("--") or re.search(rf"{re.escape(option)}\b", known), option


@cache
def help_of(module: str) -> str:
    import contextlib
    import io

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as stopped:
        import_module(f"{module}.__main__").main(["--help"])
    assert not stopped.value.code
    return printed.getvalue()


def check_make(words: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)
    assert {word for word in words if "=" not in word} <= set(targets)


def check_pip(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert words[0] == "install"
    for word in words[1:]:
        match = re.fullmatch(r"(?:dialogue-gym|\.)\[([\w,-]+)\]", word)
        if match:
            assert set(match[1].split(",")) <= set(project["optional-dependencies"])
        else:
            assert word in FOLDERS or re.fullmatch(r"[a-z-]+", word), word


def check_launched(words: list[str]) -> None:
    """What ``torchrun`` or ``accelerate launch`` runs; their own options stand before it."""
    check_python(words[words.index("-m") :])


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "dialogue-gym": check_dialogue_gym,
    "python": check_python,
    "torchrun": check_launched,
    "accelerate": check_launched,
    "make": check_make,
    "pip": check_pip,
}


@pytest.mark.parametrize("words", COMMAND_LINES)
def test_the_command_parses(words: list[str]) -> None:
    program, *words = itertools.dropwhile(lambda word: re.match("[A-Z_]+=", word), words)
    CHECKS[program](words)


@pytest.mark.parametrize(
    "line",
    [
        "dialogue-gym colect",
        "dialogue-gym collect --polcy rule",
        "dialogue-gym collect --dialogues many",
        "python -m dialogue_agents.grpo --stepz 3",
        "torchrun --standalone -m dialogue_agents.grpo --stepz 3",
        "make tset",
        'pip install "dialogue-gym[lmm]"',
    ],
)
def test_a_slip_in_a_command_is_found(line: str) -> None:
    program, *words = shlex.split(line)
    with pytest.raises((KeyError, ValueError, AssertionError)):
        CHECKS[program](words)


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "README.md"], ids=lambda p: p.name)
def test_inline_commands_exist(page: Path) -> None:
    for name in re.findall(r"`dialogue-gym ([a-z-]+)", page.read_text("utf-8")):
        assert name in COMMANDS, name


# links ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", LINKING, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_to_files_of_the_repository(page: Path) -> None:
    """Of all pages for people; anchors within docs/ are checked by `make docs`."""
    prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", prose):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), target


def test_every_page_is_in_the_navigation() -> None:
    navigation = re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), flags=re.MULTILINE)
    assert sorted(navigation) == [page.name for page in PAGES[1:]]


def test_every_environment_keyword_and_end_reason_is_explained() -> None:
    from dialogue_gym.dialogue import EndReason
    from dialogue_gym.envs.parts import EnvKeywords

    page = (ROOT / "docs" / "environments.md").read_text("utf-8")
    for name in [*EnvKeywords.__annotations__, *EndReason]:
        assert f"`{name}`" in page, name
