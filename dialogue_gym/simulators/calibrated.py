"""A language model fitted to logged users plays the user."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dialogue_gym.language_models import GenerationRequest, LanguageModel, Sampling
from dialogue_gym.simulators.base import ReplyLogProb, UserReply, UserRequest, simulators
from dialogue_gym.simulators.calibrated_folder import load_folder
from dialogue_gym.simulators.language_model_user import LanguageModelUser
from dialogue_gym.simulators.user_side import UserSide, mark_ids, read_reply, reply_ids


class CalibratedUser(LanguageModelUser):
    """A user whose language model was fitted to the user turns of logs (``dialogue-gym calibrate``).

    Whether the user leaves is decided by the first token of a reply, before any word, so the hazard of
    leaving is known exactly: both marks' probabilities, normalised over the two.

    Args:
        language_model: a folder that ``dialogue-gym calibrate`` wrote; or a model object, with ``side``.
        side: how dialogues are shown to the model; the folder's own when None.
        sampling: how to sample; by default as it was fitted, temperature 1 and no nucleus.

    Raises:
        ValueError: no such folder, another version, a file that was changed since, or an object without
            a chat codec.

    Example:
        >>> gym.make("MathChat-v0", simulator="calibrated", language_model="runs/user")  # doctest: +SKIP
    """

    decides_stop_first = True

    def __init__(
        self,
        language_model: LanguageModel | str | Path,
        side: UserSide | None = None,
        sampling: Sampling | dict[str, Any] | None = None,
    ) -> None:
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
        return read_reply(text)

    def log_prob(self, requests: Sequence[UserRequest], replies: Sequence[UserReply]) -> list[ReplyLogProb]:
        """Log-probabilities of leaving or going on as each reply does, and of its text given that."""
        marks = {stop: mark_ids(self.codec, stop) for stop in (False, True)}
        written = [reply_ids(self.codec, reply.text, reply.stop) for reply in replies]
        scores = self.score(requests, written)
        others = self.score(requests, [marks[not reply.stop] for reply in replies])
        results = []
        for reply, score, other in zip(replies, scores, others, strict=True):
            n = len(marks[reply.stop])
            mark = sum(score[:n])
            results.append(
                ReplyLogProb(stop=mark - float(np.logaddexp(mark, sum(other))), text=sum(score[n:]))
            )
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
