"""LoRA adapters, changed on servers while they run (vLLM's ``/load_lora_adapter``)."""

import asyncio
import logging
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from dialogue_gym.language_models.http_answers import Failure
from dialogue_gym.language_models.http_calls import Connection, Question
from dialogue_gym.language_models.http_endpoints import Endpoint
from dialogue_gym.seeding import NoiseKey

_ADVICE = "vLLM takes adapters with --enable-lora, --max-lora-rank and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"
_DONE = "already been loaded"  # by an attempt whose answer was lost; the name is ours alone
_KEY = NoiseKey(("adapter",))  # of the jitter in waits


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter that the servers know: by which name, from which folder."""

    name: str
    path: str

    @classmethod
    def fresh(cls, path: str | Path) -> "Adapter":
        """A name that no server has seen: what it cached under another one is never taken for this."""
        folder = Path(path).resolve()
        return cls(f"{folder.name}-{uuid.uuid4().hex[:12]}", str(folder))


async def load(connection: Connection, adapter: Adapter) -> str | None:
    """Load it on every server; where one refuses, on none. The line about why, or None."""
    servers = connection.endpoints.all
    fields = {"lora_name": adapter.name, "lora_path": adapter.path}
    outcomes = await asyncio.gather(
        *(_tell(connection, server, "load_lora_adapter", fields) for server in servers)
    )
    refusals = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if not refusals:
        return None
    loaded = [s for s, outcome in zip(servers, outcomes, strict=True) if not isinstance(outcome, Failure)]
    await unload(connection, adapter, loaded)
    return f"the adapter {adapter.path!r} cannot be loaded: {refusals[0].problem}"


async def restore(connection: Connection, adapter: Adapter, url: str, deadline: float) -> Failure | None:
    """Load it again on a server that was started anew meanwhile. Why that fails, or None."""
    [server] = [endpoint for endpoint in connection.endpoints.all if endpoint.url == url]
    fields = {"lora_name": adapter.name, "lora_path": adapter.path}
    outcome = await _tell(connection, server, "load_lora_adapter", fields, deadline)
    if not isinstance(outcome, Failure):
        return None
    lost = f"the adapter {adapter.path!r} is lost and cannot be loaded again: {outcome.problem}"
    return replace(outcome, problem=lost)


async def unload(connection: Connection, adapter: Adapter, servers: list[Endpoint] | None = None) -> None:
    """Drop it on these servers, or on all; one that does not is only logged, since it costs memory alone."""
    fields = {"lora_name": adapter.name}
    for server in connection.endpoints.all if servers is None else servers:
        outcome = await _tell(connection, server, "unload_lora_adapter", fields)
        if isinstance(outcome, Failure):
            logging.getLogger(__name__).warning(
                "the adapter %r stays loaded: %s", adapter.path, outcome.problem
            )


async def _tell(
    connection: Connection,
    server: Endpoint,
    path: str,
    fields: dict[str, str],
    deadline: float | None = None,
) -> bool | Failure:
    question = Question(path, read=lambda body: True, body=lambda: fields, advice=_ADVICE)
    outcome = await connection.ask(question, _KEY, only=server, deadline=deadline)
    if isinstance(outcome, Failure) and _DONE in outcome.problem:
        return True
    return outcome
