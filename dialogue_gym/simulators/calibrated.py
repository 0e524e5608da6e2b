"""A language model fitted to logged users plays the user."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dialogue_gym.language_models import GenerationRequest, LanguageModel, Sampling
from dialogue_gym.simulators.base import ReplyLogProb, UserReply, UserRequest, simulators
from dialogue_gym.simulators.calibrated_folder import load_folder
from dialogue_gym.simulators.language_model_user import LanguageModelUser
from dialogue_gym.simulators.user_side import UserSide


class CalibratedUser(LanguageModelUser):
    """A user whose language model was fitted to the user turns of logs (``dialogue-gym calibrate``).

    Whether the user leaves is decided by the mark that begins a reply, before any word, so the hazard of
    leaving is known: the marks' probabilities, normalised over the two where both are written.

    Args:
        language_model: a folder that ``dialogue-gym calibrate`` wrote; or a model object, with ``side``.
            Must be given: there is no calibrated user for everybody.
        side: how dialogues are shown to the model; the folder's own when None.
        sampling: how to sample; by default as it was fitted, temperature 1 and no nucleus.

    Raises:
        ValueError: no language model, no such folder, another version, a file that was changed since, or
            an object without a chat codec.

    Example:
        >>> gym.make("MathChat-v0", simulator="calibrated", language_model="runs/user")  # doctest: +SKIP
    """

    decides_stop_first = True

    def __init__(
        self,
        language_model: LanguageModel | str | Path | None = None,
        side: UserSide | None = None,
        sampling: Sampling | dict[str, Any] | None = None,
    ) -> None:
        if language_model is None:
            raise ValueError(
                "user simulator 'calibrated' needs a language_model: the folder that `dialogue-gym "
                "calibrate` wrote (its --out)"
            )
        self.manifest: dict[str, Any] = {}
        if isinstance(language_model, str | Path):
            language_model, self.manifest = load_folder(language_model)
            side = side or UserSide(**self.manifest["user_side"])
        super().__init__(language_model, sampling)
        if not hasattr(self.language_model, "codec"):
            raise ValueError(
                f"a calibrated user needs a local model with a chat codec or a folder that `dialogue-gym "
                f"calibrate` wrote, got {type(language_model).__name__}"
            )
        self.codec: Any = self.language_model.codec
        self.side = side or UserSide()

    def generation_request(self, request: UserRequest) -> GenerationRequest:
        """The dialogue by the user-side template, as token ids."""
        ids = self.side.context_ids(self.codec, request)
        return GenerationRequest(("user", request.dialogue_id), (), request.key.child("user"), ids)

    def read(self, text: str) -> tuple[str, bool]:
        """What follows the mark, and whether the mark says that the user leaves."""
        return self.side.read(text)

    def log_prob(self, requests: Sequence[UserRequest], replies: Sequence[UserReply]) -> list[ReplyLogProb]:
        """Log-probabilities of leaving or going on as each reply does, and of its text given that."""
        marks = {stop: self.side.mark_ids(self.codec, stop) for stop in (False, True)}
        written = [self.side.reply_ids(self.codec, reply.text, reply.stop) for reply in replies]
        scores = self.score(requests, written)
        others = self.score(requests, [marks[not reply.stop] or marks[reply.stop] for reply in replies])
        results = []
        for reply, score, other in zip(replies, scores, others, strict=True):
            n = len(marks[reply.stop])
            if self.side.go_on:
                mark = sum(score[:n])
                stop = mark - float(np.logaddexp(mark, sum(other)))
            elif reply.stop:
                mark = stop = sum(score[:n])
            else:  # going on is what does not begin with the mark; the text is given that
                stop = float(np.log1p(-np.exp(min(sum(other), -1e-12))))
                mark = stop
            results.append(ReplyLogProb(stop=stop, text=sum(score) - mark))
        return results

    def identity(self) -> dict[str, Any]:
        """Name, model, user side, sampling, and the hash of the data that it was fitted to."""
        return {
            "name": "calibrated",
            "model": self.language_model.identity(),
            "user_side": self.side.to_dict(),
            "data": self.manifest.get("data", {}).get("sha256"),
            **self.sampling_identity(),
        }


simulators.register("calibrated", CalibratedUser)
