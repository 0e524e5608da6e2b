"""What a person sees of a run: the bar while it goes, the table at its end."""

from typing import Any

from tqdm import tqdm
from transformers import PrinterCallback, ProgressCallback, TrainerCallback

SHOWN = {
    "reward": "reward",
    "dialogue/ask_rate": "asks",
    "dialogue/answers": "answers",
    "dialogue/turns": "turns",
    "dialogue/score": "score",
    "kl": "kl",
}
"""Metrics beside the bar, and their short names."""


class Bar(TrainerCallback):  # type: ignore[misc]
    """A progress bar with what matters in dialogues, in place of the trainer's printed dictionaries.

    Args:
        what: stands before the bar.
    """

    def __init__(self, what: str) -> None:
        self.what = what

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Open the bar, on the first process alone."""
        self.bar: tqdm[Any] = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc=self.what,
            unit="update",
            mininterval=1.0,
            dynamic_ncols=True,
            disable=not state.is_world_process_zero,
        )

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """Show the latest figures that there are; dialogues without a score have no reward."""
        found = {short: (logs or {}).get(name) for name, short in SHOWN.items()}
        shown = {short: f"{value:.2f}" for short, value in found.items() if value is not None}
        if shown:
            self.bar.set_postfix(shown, refresh=False)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move on."""
        self.bar.update(state.global_step - self.bar.n)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close the bar."""
        self.bar.close()


def use_bar(trainer: Any, what: str) -> None:
    """Give a trainer of transformers a ``Bar`` in place of what it prints and shows itself."""
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Bar(what))


def report(result: dict[str, Any]) -> str:
    """The evaluations of a run's result side by side, and what training left unscored.

    Means with 95 % intervals; "" where the result has neither.

    Example:
        >>> one = {"mean": 0.25, "low": 0.2, "high": 0.3, "n": 300}
        >>> print(report({"before": {"estimates": {"reward": one}, "unscored_rate": 0.0}}))
                                 before
        reward                   0.250 [0.200, 0.300]
        unscored                 0.000
        >>> print(report({"unscored": 0.125}))
        unscored in training     0.125
    """
    rows = _evaluations(result)
    if "unscored" in result:
        rows.append(["unscored in training", f"{result['unscored']:.3f}"])
    return "\n".join("".join(f"{cell:25}" for cell in row).rstrip() for row in rows)


def _evaluations(result: dict[str, Any]) -> list[list[str]]:
    columns = [name for name in ("before", "after", "difference") if name in result]
    if not columns:
        return []
    estimates = [result[column]["estimates"] for column in columns]
    # a measure that is zero everywhere, such as a cost that is off, says nothing
    names = {
        n: None for column in estimates for n, e in column.items() if n == "reward" or e["low"] or e["high"]
    }
    rows = [["", *("after - before" if c == "difference" else c for c in columns)]]
    rows += [[name, *(_cell(result[c]["estimates"].get(name)) for c in columns)] for name in names]
    rates = [result[c].get("unscored_rate") for c in columns]
    return [*rows, ["unscored", *("" if rate is None else f"{rate:.3f}" for rate in rates)]]


def _cell(estimate: dict[str, Any] | None) -> str:
    if estimate is None:
        return "-"
    return "{mean:.3f} [{low:.3f}, {high:.3f}]".format(**estimate)
