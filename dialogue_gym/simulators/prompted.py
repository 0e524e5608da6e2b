"""A language model plays the user, told how by a prompt."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from dialogue_gym.dialogue import Message
from dialogue_gym.language_models import Completion, GenerationRequest, LanguageModel, Sampling
from dialogue_gym.registry import nearest
from dialogue_gym.simulators.base import ReplyLogProb, UserReply, UserRequest, simulators
from dialogue_gym.simulators.language_model_user import LanguageModelUser
from dialogue_gym.simulators.prompted_guards import GUARDS, Guard, faults, leakage
from dialogue_gym.simulators.prompted_json import read_turn, written_turn
from dialogue_gym.simulators.prompted_texts import Output, instructions
from dialogue_gym.tasks.base import Brief, Kind

STOP_MARK = "[STOP]"
"""The model writes this when the user is done; what stands before it is the user's last message."""

GREETING = "Hi, how can I help?"
"""What the agent says before the first message, in the view of the model that plays the user."""

PromptStyle = Literal["full", "compact"]
_KINDS: tuple[Kind, ...] = get_args(Kind)
_THINKING = re.compile(r"\A\s*<think>.*?(?:</think>|\Z)", re.DOTALL)
_LABEL = re.compile(r"\A[\s*_]*(?:user|person|human|me)[\s*_]*:[\s*_]*", re.IGNORECASE)
_QUOTED = re.compile(r"\A\"([^\"]*)\"\Z|\A“([^“”]*)”\Z")


class PromptedUser(LanguageModelUser):
    """Any language model as the user, through a system prompt; roles are flipped in its history.

    What never changes comes first (rules, then the brief), so that prefix caches serve all turns. The
    persona is not put into the prompt: it made prompted users less like people (2603.11245).

    With the full prompt every turn is watched by guard rails (``prompted_guards.faults``). A turn that
    breaks one is not said: the model is asked again under another noise key, up to ``retries`` times, all
    such dialogues of a batch in one call; then that dialogue alone fails, and the error says what was wrong
    with each try. A reply's metadata counts what happened: ``tokens`` of all tries, ``retries``,
    ``rejected`` (the broken guard rail of each refused try), ``role_breaks`` among all tries, and
    ``leakage``, the share of the turn's runs of four words that stand in the brief.

    Args:
        language_model: who speaks; an object, or what ``load_language_model`` takes ("tiny", the toy that
            ships with the package, by default).
        prompt: "full" for instruction-tuned models; "compact", the brief alone, for models that were
            trained on it (the tiny one); None takes what the model names in ``user_prompt``, else "full".
        sampling: how to sample; a dict of ``Sampling``'s fields will do.
        output: what the model is asked to write: "plain" text with the stop mark at the end of the last
            message, or a "json" object with the message and whether the user is done, for models that
            forget marks. What is no such object is tried again like a turn that breaks a guard rail.
        stop_mark: what stops the dialogue in plain output; a special token of the model will do where its
            completions show it. With the full prompt it is found in any case.
        retries: how often a refused turn is tried again; 0 fails at once. Greedy sampling would say the
            same again.
        guards: which guard rails refuse turns: any of "empty", "repeated", "role", "brief". None takes all
            with the full prompt and none with the compact one, and then nothing is counted either.

    Raises:
        ValueError: no such prompt, output, guard rail or sampling option, JSON from a model that knows the
            compact prompt alone, or what should speak is no language model.
    """

    def __init__(
        self,
        language_model: LanguageModel | str | Mapping[str, Any] = "tiny",
        prompt: PromptStyle | None = None,
        sampling: Sampling | dict[str, Any] | None = None,
        output: Output = "plain",
        stop_mark: str = STOP_MARK,
        retries: int = 3,
        guards: Sequence[Guard] | None = None,
    ) -> None:
        super().__init__(language_model, sampling)
        style: Any = prompt or getattr(self.language_model, "user_prompt", "full")
        _check_settings(style, output, stop_mark, retries)
        self.prompt: PromptStyle = style
        self.output: Output = output
        self.stop_mark, self.retries = stop_mark, retries
        self.guards = _checked((GUARDS if style == "full" else ()) if guards is None else guards)
        self._watched = style == "full" or bool(self.guards)

    def generation_request(self, request: UserRequest) -> GenerationRequest:
        """The flipped dialogue under the prompt."""
        view = user_view(request, self.prompt, self.output, self.stop_mark)
        # the user's cache must not be mistaken for that of a policy played by the same model
        return GenerationRequest(("user", request.dialogue_id), view, request.key.child("user"))

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        """One batched call of the language model, and one more for each round of retries."""
        if not self._watched:
            return super().reply(requests)
        turns = [_Turn(request, self.generation_request(request)) for request in requests]
        for number in range(self.retries + 1):
            waiting = [turn for turn in turns if turn.said is None]
            if not waiting:
                break
            asked = [turn.asked(number) for turn in waiting]
            completions = self.language_model.generate(asked, self.sampling)
            for turn, completion in zip(waiting, completions, strict=True):
                self._hear(turn, completion)
        return [turn.settled() for turn in turns]

    def _hear(self, turn: "_Turn", completion: Completion) -> None:
        try:
            reply = self._reply(completion)
        except ValueError as error:
            turn.refuse(completion, {"format": str(error)}, role_break=False)
            return
        if reply.error is not None:
            turn.said = reply
            return
        found = faults(reply.text, reply.stop, turn.request)
        broken: dict[str, str] = {guard: what for guard, what in found.items() if guard in self.guards}
        if broken:
            turn.refuse(completion, broken, "role" in found)
        else:
            turn.say(completion, reply, "role" in found)

    def read(self, text: str) -> tuple[str, bool]:
        """The message and whether the user stops, from what the model wrote.

        In plain output the message is what stands before the stop mark. With the full prompt, thoughts
        between ``<think>`` tags, a label ("User:") and quotes around the whole are no part of it.

        Raises:
            ValueError: the output should be JSON and is not.
        """
        if self.prompt == "compact":
            said, mark, _ = text.partition(self.stop_mark)
            return said.strip(), bool(mark)
        text = _THINKING.sub("", text)
        stop = False
        if self.output == "json":
            text, stop = read_turn(text)
        said, *rest = re.split(re.escape(self.stop_mark), text, maxsplit=1, flags=re.IGNORECASE)
        return _bare(said), stop or bool(rest)

    def log_prob(self, requests: Sequence[UserRequest], replies: Sequence[UserReply]) -> list[ReplyLogProb]:
        """The text's log-probability, and given it that of the stop mark or of an end without one.

        That of a first try: what the guard rails refuse is not known without sampling.

        Raises:
            NotImplementedError: the language model cannot score, or the output is JSON, where the same
                reply can be written in many ways.
        """
        if self.output == "json":
            raise NotImplementedError('a user with output "json" cannot score replies; one with "plain" can')
        codec = self.scoring_model().codec
        texts = [codec.content_ids(reply.text) for reply in replies]
        # apart from the text, so that the mark cannot change how the text is cut into tokens
        ends = [
            codec.content_ids(f" {self.stop_mark}" if reply.text else self.stop_mark) if reply.stop else []
            for reply in replies
        ]
        written = [[*text, *end, codec.end_of_turn_id] for text, end in zip(texts, ends, strict=True)]
        return [
            ReplyLogProb(stop=sum(score[len(text) :]), text=sum(score[: len(text)]))
            for score, text in zip(self.score(requests, written), texts, strict=True)
        ]

    def identity(self) -> dict[str, Any]:
        """Name, model, hash of the prompt's fixed text, sampling, and what watches the turns."""
        full = self.prompt == "full"
        fixed = "".join(instructions(k, self.output, self.stop_mark) for k in _KINDS) if full else "compact"
        watched = {"output": self.output, "guards": list(self.guards), "retries": self.retries}
        return {
            "name": "prompted",
            "model": self.language_model.identity(),
            "prompt": self.prompt,
            "prompt_hash": hashlib.sha256((fixed + GREETING + self.stop_mark).encode()).hexdigest()[:12],
            **self.sampling_identity(),
            **(watched if self._watched else {}),
        }


@dataclass(slots=True)
class _Turn:
    """One turn that is asked for until it is said."""

    request: UserRequest
    generation: GenerationRequest
    said: UserReply | None = None
    refused: list[dict[str, str]] = field(default_factory=list)
    role_breaks: int = 0
    tokens: int = 0

    def asked(self, number: int) -> GenerationRequest:
        """The request of this try; the first one is asked as if nothing watched."""
        if number == 0:
            return self.generation
        return replace(self.generation, key=self.generation.key.child("again", number))

    def refuse(self, completion: Completion, broken: dict[str, str], role_break: bool) -> None:
        self.tokens += len(completion.token_ids)
        self.role_breaks += role_break
        self.refused.append(broken)

    def say(self, completion: Completion, reply: UserReply, role_break: bool) -> None:
        reply.metadata |= {
            "tokens": self.tokens + len(completion.token_ids),
            "retries": len(self.refused),
            "rejected": [next(iter(broken)) for broken in self.refused],
            "role_breaks": self.role_breaks + role_break,
            "leakage": round(leakage(reply.text, self.request.brief), 4),
        }
        self.said = reply

    def settled(self) -> UserReply:
        if self.said is not None:
            return self.said
        wrong = Counter(" and ".join(broken.values()) for broken in self.refused)
        tries = "; ".join(f"{what} ({n} times)" if n > 1 else what for what, n in wrong.items())
        return UserReply("", error=f"no turn of a user in {len(self.refused)} tries: {tries}")


def user_view(
    request: UserRequest, prompt: PromptStyle, output: Output = "plain", stop_mark: str = STOP_MARK
) -> list[Message]:
    """The dialogue as the model that plays the user sees it: system prompt, greeting, roles flipped."""
    system = brief_text(request.brief)
    if prompt == "full":
        system = instructions(request.kind, output, stop_mark) + _whole_problem(request) + system
    view: list[Message] = [{"role": "system", "content": system}, {"role": "user", "content": GREETING}]
    for message in request.conversation:
        if message["role"] == "assistant":
            view.append({"role": "user", "content": message["content"]})
        else:
            own = written_turn(message["content"], stop=False) if output == "json" else message["content"]
            view.append({"role": "assistant", "content": own})
    return view


def brief_text(brief: Brief) -> str:
    """What the user wants and, in a second line where there are facts, knows."""
    wish = f"What you want: {brief.goal}"
    return f"{wish}\nWhat you know: {'. '.join(f.text for f in brief.facts)}." if brief.facts else wish


def _whole_problem(request: UserRequest) -> str:
    """A math problem that nobody has cut into facts; a document's text stays out: it may be the target."""
    brief = request.brief
    if request.kind != "math" or brief.facts or not brief.text.strip() or brief.text == brief.goal:
        return ""
    return f"Your problem: {brief.text}\n"


def _check_settings(prompt: Any, output: Any, stop_mark: Any, retries: Any) -> None:
    for what, value, valid in (
        ("prompt", prompt, get_args(PromptStyle)),
        ("output", output, get_args(Output)),
    ):
        if value not in valid:
            raise ValueError(f"unknown {what} {value!r}: {nearest(str(value), valid)}")
    if prompt == "compact" and output == "json":
        raise ValueError('output "json" needs the full prompt; models of the compact one write plain text')
    if not isinstance(stop_mark, str) or not stop_mark.strip():
        raise ValueError(f"stop_mark must be a text, got {stop_mark!r}")
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        raise ValueError(f"retries must be an int of at least 0, got {retries!r}")


def _checked(guards: Sequence[Guard]) -> tuple[Guard, ...]:
    if isinstance(guards, str):
        raise ValueError(f"guards must be a list of guard rails, got {guards!r}")
    for guard in guards:
        if guard not in GUARDS:
            raise ValueError(f"unknown guard rail {guard!r}: {nearest(str(guard), GUARDS)}")
    return tuple(guards)


def _bare(said: str) -> str:
    """The message without a label before it and quotes around it."""
    said = _LABEL.sub("", said.strip())
    quoted = _QUOTED.match(said)
    return (quoted[1] or quoted[2] or "").strip() if quoted else said.strip()


simulators.register("prompted", PromptedUser)
