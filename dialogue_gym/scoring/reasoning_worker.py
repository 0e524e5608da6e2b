"""The program of the subprocess that judges answers to reasoning_gym's problems; see ``reasoning``.

It runs as a file of its own and imports nothing of this package. One JSON list ``[origin, answer, seconds]``
a line in, the judge's figure out, null where the item is not the one that was asked; it ends with its
standard input.
"""

import contextlib
import json
import sys
from functools import lru_cache
from hashlib import sha256
from typing import Any


@lru_cache(maxsize=32)
def _generator(origin: str) -> Any:
    import reasoning_gym

    given = json.loads(origin)
    options = {**given["config"], "seed": given["seed"], "size": given["size"]}
    return reasoning_gym.create_dataset(given["dataset"], **options)


def _judge(origin: dict[str, Any], answer: str) -> float | None:
    """The judge's figure; None where the item made here is another than the one that was asked."""
    index, known = origin.pop("index"), origin.pop("item", None)
    made = _generator(json.dumps(origin, sort_keys=True))
    item = made[index]
    digest = sha256(f"{item['question']}\n{item['answer']}".encode()).hexdigest()[:16]
    if known not in (None, digest):
        return None
    try:
        return float(made.score_answer(answer, item))
    except Exception:  # judges raise all kinds of errors on odd answers: such an answer earns nothing
        return 0.0


def main() -> None:
    """Answer requests until the input ends."""
    import reasoning_gym  # noqa: F401  (pays for the import before "ready" is said)

    out = sys.stdout
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        origin, answer, _ = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):  # what a judge prints is no answer
            figure = _judge(origin, answer)
        print(json.dumps(figure), file=out, flush=True)


if __name__ == "__main__":
    main()
