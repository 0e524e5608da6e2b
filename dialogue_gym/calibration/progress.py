"""One bar for a run of transformers' ``Trainer``, instead of its lines and bars."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def no_dataset_bars() -> Iterator[None]:
    """Inside, datasets shows no bars."""
    import datasets

    hidden = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not hidden:
            datasets.enable_progress_bars()


def progress_bar() -> Any:
    """A callback that shows updates done and the last held-out loss on stderr, where that is a terminal."""
    from tqdm import tqdm
    from transformers import TrainerCallback

    class ProgressBar(TrainerCallback):  # type: ignore[misc]  # transformers has no types here
        bar: Any = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                # disable=None: only where there is a terminal
                self.bar = tqdm(total=state.max_steps, initial=state.global_step, disable=None, unit="update")

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if self.bar is not None:
                self.bar.update()

        def on_evaluate(
            self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any
        ) -> None:
            if self.bar is not None and metrics:
                self.bar.set_postfix(loss=f"{metrics['eval_loss']:.3f}")

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if self.bar is not None:
                self.bar.close()

    return ProgressBar()
