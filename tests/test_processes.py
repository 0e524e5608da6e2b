import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import run

LINGERING = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
with open(sys.argv[1], "w") as file:
    file.write(str(child.pid))
child.wait()
"""


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are looked up in /proc")
def test_a_timeout_leaves_no_process(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with pytest.raises(subprocess.TimeoutExpired):
        run([sys.executable, "-c", LINGERING, path], timeout=3)
    until = time.monotonic() + 20
    while alive(int(path.read_text())):
        assert time.monotonic() < until
        time.sleep(0.02)
