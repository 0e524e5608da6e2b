"""Questions to servers: attempts, retries, deadlines, and the connection that they share."""

import asyncio
import json
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dialogue_gym.language_models.http_answers import Failure, UnusableAnswerError, one_line, refused
from dialogue_gym.language_models.http_endpoints import Endpoint, Endpoints
from dialogue_gym.language_models.http_thread import LoopThread
from dialogue_gym.seeding import NoiseKey

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

_LONGEST_BACKOFF = 16  # times the first wait
_SHOWN = 300  # characters of what a server says
_REFUSAL_KEPT_S = 60.0  # of a question that is asked once


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """One request, as it is sent to any of the servers and any number of times.

    Attributes:
        path: after the address: "chat/completions".
        read: turns the body of an answer into what was asked for, or into why it is not there; raises
            UnusableAnswerError for a body that is no answer.
        body: the fields to send, made anew for each attempt; None to send nothing (GET).
        of: what the answer should be, for errors.
        advice: what would be right where a server refuses; "" for what fits the refusal.
    """

    path: str
    read: Callable[[bytes], T | Failure]
    body: Callable[[], Mapping[str, Any]] | None = None
    of: str = "chat completion"
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often to ask; see ``HttpModel``."""

    timeout_s: float
    deadline_s: float
    max_retries: int
    backoff_s: float


class Connection:
    """The client, its thread, its servers and the bound on what runs at once.

    Knows nothing of the model that owns it, so that a model that nobody holds any more can end it.

    Args:
        name: of the model, for errors.
        urls: the servers.
        patience: with them.
        concurrency: rows that are being answered at any time.
        key: the API key, or None.
        key_variable: where it came from, for advice.
    """

    def __init__(
        self,
        name: str,
        urls: tuple[str, ...],
        patience: Patience,
        concurrency: int,
        key: str | None,
        key_variable: str,
    ) -> None:
        from dialogue_gym.language_models.http_client import make_client

        self.endpoints = Endpoints(urls)
        self.slots = asyncio.Semaphore(concurrency)
        self._name, self._patience, self._key, self._key_variable = name, patience, key, key_variable
        self._client = make_client(urls[0], key, patience.timeout_s, concurrency)
        self._once: dict[str, tuple[float, asyncio.Task[Any]]] = {}
        self.thread = LoopThread("http-language-model", at_end=self._client.close)

    async def ask(
        self,
        question: Question[T],
        key: NoiseKey,
        dialogue_id: Hashable = None,
        only: Endpoint | None = None,
        deadline: float | None = None,
    ) -> T | Failure:
        """Attempts until one succeeds, is hopeless, or there is no time or try left.

        Args:
            question: what to ask.
            key: of the jitter in waits; no global stream is touched.
            dialogue_id: stays with its server where possible.
            only: the one server to ask.
            deadline: of the row that it is asked for; its own if None.

        Returns:
            The answer, or a failure whose ``problem`` is one whole line for people.
        """
        clock = asyncio.get_running_loop().time
        deadline = deadline or self.deadline()
        failed: Endpoint | None = None
        attempt = 0
        while True:
            endpoint = only or self.endpoints.pick(dialogue_id, failed)
            with endpoint.busy():
                outcome = await self._attempt(question, endpoint, deadline)
            if not isinstance(outcome, Failure):
                self.endpoints.answered(endpoint)
                return outcome
            wait = self._wait(outcome, endpoint, attempt, key, alone=only is not None)
            too_late = clock() + wait >= deadline
            if not outcome.transient or attempt >= self._retries() or too_late:
                return self._given_up(outcome, endpoint, attempt + 1, too_late)
            await asyncio.sleep(wait)
            failed, attempt = endpoint, attempt + 1

    def deadline(self) -> float:
        """Until when a row that begins now must be answered, by the clock of the loop."""
        return asyncio.get_running_loop().time() + self._patience.deadline_s

    def _retries(self) -> int:
        """None where no server has ever been there: one row has waited for it, others need not."""
        return 0 if self.endpoints.absent else self._patience.max_retries

    async def ask_once(
        self, question: Question[T], key: NoiseKey, deadline: float | None = None
    ) -> T | Failure:
        """Ask what does not change; all who want to know share the answer.

        A refusal is kept for a minute, so that not every row asks in vain; any other failure is not. The
        question has a deadline of its own; who asks waits for it until ``deadline`` at most.
        """
        now = asyncio.get_running_loop().time()
        asked, task = self._once.get(question.path, (now, None))
        if task is None or _forgotten(task, now - asked):
            task = asyncio.create_task(self.ask(question, key))
            self._once[question.path] = now, task
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(task)
        except TimeoutError:
            late = self._late()
            return replace(late, problem=f"{self._name!r}: {late.problem}; {late.advice}")

    async def _attempt(self, question: Question[T], endpoint: Endpoint, deadline: float) -> T | Failure:
        import httpx2
        import openai

        from dialogue_gym.language_models.http_client import send

        body = None if question.body is None else question.body()
        try:
            async with asyncio.timeout_at(deadline):
                answer = await send(self._client, f"{endpoint.url}/{question.path}", body)
            if answer.status_code >= 300:
                return self._refused(question, answer)
            return question.read(answer.content)
        except TimeoutError:
            return self._late()
        except openai.APITimeoutError:
            late = f"no answer within {self._patience.timeout_s:g} s"
            return Failure(late, "a longer timeout_s may help", timed_out=True)
        except openai.APIConnectionError as error:
            cause = one_line(str(error.__cause__)) or type(error.__cause__).__name__
            closed = isinstance(error.__cause__, httpx2.ConnectError)
            return Failure(f"the connection failed: {cause}", "is a server running there?", closed=closed)
        except UnusableAnswerError as error:
            advice = "is base_url an OpenAI-style API?"
            return Failure(f"the answer is no {question.of}: {error}", advice)

    def _late(self) -> Failure:
        late = f"no answer within {self._patience.deadline_s:g} s"
        return Failure(late, "a longer deadline_s may help", timed_out=True)

    def _refused(self, question: Question[Any], answer: "httpx2.Response") -> Failure:
        failure = refused(answer.status_code, answer.headers, _parsed(answer.content), self._key_variable)
        about_key = answer.status_code in (401, 403)
        return replace(failure, advice=question.advice) if question.advice and not about_key else failure

    def _wait(self, failure: Failure, endpoint: Endpoint, attempt: int, key: NoiseKey, alone: bool) -> float:
        """Seconds before the next attempt; a server that asks for time gets it while others are asked."""
        if failure.closed:
            self.endpoints.refused(endpoint)
        else:
            self.endpoints.met = True
        # no longer than a row could wait: whatever it asks for, it is not out for the whole run
        self.endpoints.rest(endpoint, min(failure.wait_s, self._patience.deadline_s))
        jitter = key.child("retry", attempt).uniform()
        backoff = self._patience.backoff_s * min(2.0**attempt, _LONGEST_BACKOFF) * (1 - jitter / 2)
        elsewhere = not alone and self.endpoints.others_than(endpoint)
        return backoff if elsewhere else max(backoff, failure.wait_s)

    def _given_up(self, failure: Failure, endpoint: Endpoint, attempts: int, too_late: bool) -> Failure:
        self.endpoints.given_up()
        # servers quote the key that they refuse; it goes before the line is cut, so that no part stays
        problem = failure.problem.replace(self._key, "***") if self._key else failure.problem
        problem = problem[:_SHOWN]
        if failure.transient:
            tries = "1 try" if attempts == 1 else f"{attempts} tries"
            late = (
                f", the next would miss the deadline of {self._patience.deadline_s:g} s" if too_late else ""
            )
            problem = f"{problem} (given up after {tries}{late})"
        where = f"{self._name!r} at {endpoint.url}"
        line = "; ".join(filter(None, [f"{where}: {problem}", failure.advice]))
        return replace(failure, problem=line, url=endpoint.url)


def _forgotten(task: asyncio.Task[Any], age_s: float) -> bool:
    """Whether what was asked once is to be asked again."""
    if not task.done():
        return False
    if task.cancelled() or task.exception():
        return True
    outcome = task.result()
    return isinstance(outcome, Failure) and (outcome.transient or age_s > _REFUSAL_KEPT_S)


def _parsed(content: bytes) -> Any:
    """JSON where it is, else the text."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode("utf-8", "replace")
