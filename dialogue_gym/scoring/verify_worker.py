"""The program of the subprocess that compares expressions; see ``expressions``.

It runs as a file of its own and imports nothing of this package: a fault or a hang in the algebra
stays in this process. One JSON list ``[stated, reference, seconds]`` a line in, ``true`` or
``false`` out; it ends with its standard input.
"""

import json
import sys


def _equal(stated: str, reference: str, seconds: int) -> bool:
    from math_verify import parse, verify

    # math-verify's own time-outs use signals, which work here: this is a main thread
    gold = parse(f"${reference}$", parsing_timeout=seconds)
    answer = parse(f"${stated}$", parsing_timeout=seconds)
    return bool(verify(gold, answer, timeout_seconds=seconds))


def main() -> None:
    """Answer requests until the input ends."""
    _equal("x", "x", 5)  # pays for the imports before "ready" is said
    print("ready", flush=True)
    for line in sys.stdin:
        stated, reference, seconds = json.loads(line)
        try:
            result = _equal(stated, reference, seconds)
        except Exception:  # sympy raises all kinds of errors on odd input: then it is not shown to be equal
            result = False
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
