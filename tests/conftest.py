"""What holds for every test: one thread, no network, repeatable property tests."""

import os
import signal

# Before anything imports torch: OpenMP reads these once, when it is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")

from hypothesis import HealthCheck, settings

# A shell that starts the tests in the background has interrupts ignored, which children inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Deadlines measure the machine, not the code. CI draws the same examples in every run, people new ones.
settings.register_profile(
    "exploring",
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("repeatable", settings.get_profile("exploring"), derandomize=True, database=None)
settings.load_profile("repeatable" if os.environ.get("CI") else "exploring")
