"""What a result was computed with."""

import os
import platform
from importlib.metadata import version
from typing import Any

_PACKAGES = ("dialogue-gym", "torch", "transformers", "trl", "gymnasium", "numpy")


def machine() -> dict[str, Any]:
    """Versions and hardware, JSON-able."""
    import torch

    return {
        "versions": ", ".join(
            [f"python {platform.python_version()}", *(f"{p} {version(p)}" for p in _PACKAGES)]
        ),
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}",
        "cores": len(os.sched_getaffinity(0)),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
    }


def _processor() -> str:
    """Its name where the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
            return next(names, platform.processor())
    except OSError:
        return platform.processor()
