import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dialogue_gym.files import replacing, write_whole


def test_text_lands_in_a_folder_that_is_made(tmp_path: Path) -> None:
    write_whole(tmp_path / "new" / "page.html", "über\n")
    assert (tmp_path / "new" / "page.html").read_bytes() == "über\n".encode()
    assert os.listdir(tmp_path / "new") == ["page.html"]


def test_what_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "new \ud800")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["figures.json"]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(
        IsADirectoryError, match=rf"^{tmp_path}: a folder; the name of a file would be right$"
    ):
        write_whole(tmp_path, "text")
    assert not tmp_path.with_name(f"{tmp_path.name}.partial").exists()


def test_a_kill_leaves_the_old_file_and_the_next_write_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write_whole(path, "old")
    code = (
        "import os, signal, sys; from dialogue_gym.files import replacing\n"
        "with replacing(sys.argv[1]) as beside:\n"
        "    beside.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    with replacing(path) as beside, beside.open("a") as file:
        file.write("new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["log.jsonl"]
