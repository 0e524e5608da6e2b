"""Import before torch: one thread a process, waiting passively.

With OpenMP's defaults two busy cores run torch five times slower than one thread does.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
