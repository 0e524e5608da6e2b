"""Dialogue acts: a few things that an agent can do, and the words for them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from dialogue_gym.dialogue import Conversation
from dialogue_gym.language_models import load_language_model
from dialogue_gym.language_models.base import Completion, GenerationRequest, LanguageModel, Sampling
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks.base import Kind
from dialogue_gym.tasks.talk import question, result

Template = str | Callable[[Conversation, NoiseKey], str]
"""The words for an act: fixed ones, or a function of the dialogue so far and a key for its random choices."""


@runtime_checkable
class Acts(Protocol):
    """Acts by name, and a renderer of them, batched."""

    @property
    def names(self) -> tuple[str, ...]:
        """The acts, in the order of their numbers."""
        ...

    def render(self, conversations: Sequence[Conversation], acts: Sequence[int]) -> list[Completion]:
        """The words for act ``acts[i]`` in ``conversations[i]``, the user last; a function of these alone."""
        ...

    def identity(self) -> dict[str, Any]:
        """JSON-able description, for logs."""
        ...


class TemplateActs:
    """Acts worded by templates.

    Args:
        templates: by the names of the acts; see ``Template``.

    Raises:
        ValueError: there is no template, or one that is neither a text nor a function.

    Example:
        >>> acts = TemplateActs(
        ...     {"greet": "Hello!", "echo": lambda conversation, key: conversation[-1]["content"]}
        ... )
        >>> [c.text for c in acts.render([[{"role": "user", "content": "hi"}]] * 2, [0, 1])]
        ['Hello!', 'hi']
    """

    def __init__(self, templates: Mapping[str, Template]) -> None:
        _check_templates(templates)
        self.names = tuple(templates)
        self._templates = tuple(templates.values())

    def render(self, conversations: Sequence[Conversation], acts: Sequence[int]) -> list[Completion]:
        """One text per conversation."""
        return [Completion(self._say(*pair)) for pair in zip(conversations, acts, strict=True)]

    def identity(self) -> dict[str, Any]:
        """Names of the acts."""
        return {"name": "templates", "acts": list(self.names)}

    def _say(self, conversation: Conversation, act: int) -> str:
        template = self._templates[act]
        return template if isinstance(template, str) else template(conversation, _key(conversation))


class PromptedActs:
    """Acts worded by a frozen language model: each act is an instruction, given as the system message.

    Args:
        language_model: see ``load_language_model``; it is not trained.
        instructions: by the names of the acts.
        sampling: how to sample; greedy, at most 64 tokens, by default.

    Raises:
        ValueError: there is no instruction, one that is no text, or a model that cannot be found.
    """

    def __init__(
        self, language_model: Any, instructions: Mapping[str, str], sampling: Sampling | None = None
    ) -> None:
        _check_templates(instructions, "a text, since a language model words the acts", str)
        self.language_model: LanguageModel = load_language_model(language_model)
        self.names = tuple(instructions)
        self.instructions = dict(instructions)
        self.sampling = sampling or Sampling(max_tokens=64, temperature=0.0)

    def render(self, conversations: Sequence[Conversation], acts: Sequence[int]) -> list[Completion]:
        """One batched call of the language model."""
        prompts = list(self.instructions.values())
        requests = [
            GenerationRequest(
                object(),  # the system message changes from turn to turn: there is no cache to come back to
                [{"role": "system", "content": prompts[act]}, *conversation],
                _key(conversation).child("act", int(act)),
            )
            for conversation, act in zip(conversations, acts, strict=True)
        ]
        completions = self.language_model.generate(requests, self.sampling)
        self.language_model.forget([request.dialogue_id for request in requests])
        return completions

    def identity(self) -> dict[str, Any]:
        """Model, instructions and sampling."""
        return {
            "name": "prompts",
            "acts": self.instructions,
            "model": self.language_model.identity(),
            "max_tokens": self.sampling.max_tokens,
            "temperature": self.sampling.temperature,
        }


INSTRUCTIONS: dict[Kind, dict[str, str]] = {
    "math": {
        "ask": "You help a person with a math problem. Ask them one short question about a number or a fact "
        "of the problem that they have not told you. Do not solve it yet.",
        "answer": "You help a person with a math problem. Solve it with what they told you. Show the "
        "calculation in one line, then write: The answer is NUMBER.",
    },
    "document": {
        "ask": "You write a short notice for a person. Ask them one short question about a detail that "
        "they have not told you. Do not write the notice yet.",
        "answer": "You write a short notice for a person. Write it in full with what they told you. Begin "
        "with: Draft:",
    },
}
"""What a language model is told for the default acts."""

NOTHING_MISSING = "What else should I know?"
"""What the default act "ask" says where the program believes to know everything."""


def default_templates(kind: Kind) -> dict[str, Template]:
    """Clarify, then answer, in the words of a program that reads only the conversation.

    "ask" asks for one of the facts that the user has not told; "answer" states the answer, or writes the
    draft, that follows from what was told, and makes up what was not. Both know the forms of the
    procedural templates, and neither knows the reference: a fact that the user got wrong is used as it was
    said. On other tasks both ask what is missing, so that nothing can be earned there.

    Args:
        kind: "math" or "document".
    """

    def ask(conversation: Conversation, key: NoiseKey) -> str:
        return question(kind, conversation, key) or NOTHING_MISSING

    def answer(conversation: Conversation, key: NoiseKey) -> str:
        return result(kind, conversation, key)

    return {"ask": ask, "answer": answer}


def build_acts(
    acts: Mapping[str, Any] | Acts | None,
    kind: Kind,
    language_model: Any = None,
    sampling: Sampling | None = None,
) -> Acts:
    """The acts that a wrapper is told to offer; the kind's own where it is told nothing.

    Raises:
        ValueError: see ``TemplateActs`` and ``PromptedActs``; or a language model for an ``Acts`` object.
    """
    if acts is not None and not isinstance(acts, Mapping):
        if not isinstance(acts, Acts):
            raise ValueError(f"acts must be a dict of templates by name, or Acts, got {type(acts).__name__}")
        if language_model is not None:
            raise ValueError("language_model cannot be given with an Acts object, which has its own words")
        return acts
    if language_model is not None:
        return PromptedActs(language_model, acts or INSTRUCTIONS[kind], sampling)
    return TemplateActs(acts if acts is not None else default_templates(kind))


def _check_templates(
    templates: Mapping[str, Any], what: str = "a text or a function", kind: Any = (str, Callable)
) -> None:
    if not templates:
        raise ValueError("acts must name at least one act")
    for name, template in templates.items():
        if not isinstance(template, kind):
            raise ValueError(f"act {name!r} must be {what}, got {type(template).__name__}")


def _key(conversation: Conversation) -> NoiseKey:
    """The noise of what is said next: equal dialogues are answered alike, whatever is played beside them."""
    return NoiseKey(("acts", *(message["content"] for message in conversation)))
