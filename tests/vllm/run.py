"""The integration suite on a real vLLM: against a server of it, then in one process with it.

``python tests/vllm/run.py`` runs in the project's environment and starts vLLM in another: the trainer and
vLLM want different versions of their packages. The server is stopped however the tests end.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "dialogue_gym/language_models/tiny"
NAME = "tiny"
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
SETTINGS = f"""
    --model {MODEL} --served-model-name {NAME} --host 127.0.0.1 --dtype float32 --enforce-eager
    --generation-config vllm --logprobs-mode processed_logprobs --max-logprobs 1
    --enable-lora --max-lora-rank 16
    --lora-target-modules q_proj k_proj v_proj o_proj gate_proj up_proj down_proj
    --uvicorn-log-level warning
"""
PATIENCE = 600  # seconds for the server to start; a quiet machine takes half a minute


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; the first exit status that is not 0, or 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vllm", type=Path, default=ROOT / ".venv-vllm/bin/python", help="Python with vLLM")
    parser.add_argument("--only", choices=["server", "process"])
    parser.add_argument("--logs", type=Path, default=ROOT / "build/vllm")
    parser.add_argument("pytest", nargs="*", help="after --: more options for pytest")
    options = parser.parse_args(arguments)
    # whoever ends this program with SIGTERM ends the server, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    options.logs.mkdir(parents=True, exist_ok=True)
    status = 0
    if options.only != "process":
        with server(options.vllm, options.logs / "server.log") as url:
            status = tests(Path(sys.executable), options, DIALOGUE_GYM_VLLM=url)
    if options.only != "server":
        # vLLM's own imports warn of what is deprecated
        status = tests(options.vllm, options, "-Wdefault", DIALOGUE_GYM_VLLM="process") or status
    return status


def tests(python: Path, options: argparse.Namespace, *more: str, **environment: str) -> int:
    """The exit status of pytest on this folder."""
    command = [
        python,
        "-m",
        "pytest",
        Path(__file__).parent,
        "-p",
        "no:cacheprovider",
        *more,
        *options.pytest,
    ]
    environment["DIALOGUE_GYM_VLLM_LOGS"] = str(options.logs)
    with group(command, env={**os.environ, **ENVIRONMENT, **environment}, cwd=ROOT) as process:
        return process.wait()


@contextmanager
def server(python: Path, log: Path) -> Iterator[str]:
    """A server of the tiny model that answers; its address."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = [python, "-m", "vllm.entrypoints.openai.api_server", *SETTINGS.split(), "--port", str(port)]
    print(f"starting vLLM on port {port}; it speaks in {log}", flush=True)
    with (
        log.open("w") as out,
        group(command, env={**os.environ, **ENVIRONMENT}, stdout=out, stderr=out) as process,
    ):
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def group(command: Sequence[Any], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a group of its own, which ends with it: asked first, so that shared memory is freed."""
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(30)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the server answers; end the program, with its last words, where it does not."""
    start = time.monotonic()
    while time.monotonic() - start < PATIENCE and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5):
            print(f"vLLM answers after {time.monotonic() - start:.0f} s", flush=True)
            return
        time.sleep(1)
    sys.exit(
        "\n".join([*log.read_text(errors="replace").splitlines()[-20:], f"vLLM did not start; see {log}"])
    )


if __name__ == "__main__":
    sys.exit(main())
