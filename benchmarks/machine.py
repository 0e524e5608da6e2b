"""What a result was computed with."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

_PACKAGES = ("dialogue-gym", "torch", "transformers", "trl", "peft", "openai", "gymnasium", "numpy")


def machine() -> dict[str, Any]:
    """Versions and hardware, JSON-able; packages that are not installed are left out."""
    return {
        "versions": ", ".join(
            [f"python {platform.python_version()}", *filter(None, map(_version, _PACKAGES))]
        ),
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}",
        "cores": len(os.sched_getaffinity(0)),
        "device": _device(),
    }


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


def _device() -> str:
    if find_spec("torch"):
        import torch

        if torch.cuda.is_available():
            return str(torch.cuda.get_device_name())
    return "CPU"


def _processor() -> str:
    """Its name where the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
            return next(names, platform.processor())
    except OSError:
        return platform.processor()
