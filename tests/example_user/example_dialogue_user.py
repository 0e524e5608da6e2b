"""A user simulator in a package of its own: ``gym.make("MathChat-v0", simulator="forgetful")``."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import Persona, UserReply, UserRequest


class ForgetfulUser:
    """Says its wish first, then a fact of its brief each time that it is spoken to, and now and then none.

    Args:
        forgets: probability of remembering nothing in a turn.

    Raises:
        ValueError: no probability.
    """

    def __init__(self, forgets: float = 0.3) -> None:
        if not 0 <= forgets < 1:
            raise ValueError(f"forgets must be a number from 0 to below 1, got {forgets!r}")
        self.forgets = forgets

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        """One reply for each request; all noise comes from its key."""
        return [self._reply(request) for request in requests]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Nothing is cached."""

    def draw_persona(self, kind: str, key: NoiseKey) -> Persona:
        """Everybody is the same."""
        return Persona()

    def identity(self) -> dict[str, Any]:
        """What a log says of this user."""
        return {"name": "forgetful", "forgets": self.forgets}

    def _reply(self, request: UserRequest) -> UserReply:
        if not request.conversation:
            return UserReply(request.brief.goal)
        said = "\n".join(m["content"] for m in request.conversation if m["role"] == "user")
        left = [fact.text for fact in request.brief.facts if fact.text not in said]
        if not left:
            return UserReply("that is all I know", stop=True)
        return UserReply("hm..." if request.key.uniform() < self.forgets else left[0])
