"""The chat codec: conversations to token ids and back, by splicing ids and never by re-tokenising.

A chat template is rendered once with a unique word in place of every content. What stands between
those words is markup, tokenised with its special tokens; contents are tokenised apart from it and
with special tokens switched off. So text that imitates markup cannot open or close a turn, and one
more turn always extends the ids that are there.
"""

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from dialogue_gym.dialogue import Conversation, Message, Role, clean_text

_CHECKED_TURNS = 4


@dataclass(frozen=True, slots=True)
class _Markup:
    """The literal texts of a template around the contents, the same at every turn."""

    opening: tuple[str, ...]  # before the first user content; with a system message: before and after it
    to_assistant: str  # from the end of a user content to the start of the reply
    to_user: str  # from the end of a reply to the start of the next user content


class ChatCodec:
    """Turns conversations into token ids for one tokenizer, so that turns only ever append.

    For every conversation ``m`` that ends with a user message, assistant text ``a`` and user text ``u``::

        encode(m + [a, u]) == encode(m) + content_ids(a) + [end_of_turn_id] + extend([u])

    Contents go in exactly as given, also where the template would trim them.

    Args:
        tokenizer: a fast Hugging Face tokenizer with a chat template; its EOS token ends a turn.

    Attributes:
        end_of_turn_id: the token that closes an assistant turn.
        tokenizer: the Hugging Face tokenizer, to be saved with a model.
        pad_id: the padding token (the end-of-turn token where the tokenizer has none).
        user_header_ids: the tokens between an end-of-turn and the content of the next user message.

    Raises:
        ValueError: when the template cannot hold to the equation above: it rewrites or drops earlier
            turns, closes them otherwise than with the EOS token, or leaves the generation prompt out
            of later turns; or when special tokens can be written as text.
    """

    def __init__(self, tokenizer: Any) -> None:
        _require(getattr(tokenizer, "is_fast", False), "the tokenizer is not a fast one")
        _require(tokenizer.chat_template, "the tokenizer has no chat template")
        _require(tokenizer.eos_token_id is not None, "the tokenizer has no EOS token to end a turn with")
        self.tokenizer = tokenizer
        self._markup = _backend(tokenizer, special_text_is_special=True)
        self._text = _backend(tokenizer, special_text_is_special=False)
        self.end_of_turn_id: int = tokenizer.eos_token_id
        self.pad_id: int = self.end_of_turn_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        plain = self._learn_markup(system=False)
        self._check_reasoning_stays()
        self._opening: dict[bool, list[list[int]]] = {False: self._pieces(plain.opening)}
        self._to_assistant = self._markup_ids(plain.to_assistant)
        self.user_header_ids = self._markup_ids(plain.to_user)[1:]
        self._check_forging(plain)
        self._system_refusal = self._learn_system(plain)

    def encode(self, messages: Conversation) -> list[int]:
        """The ids of a whole conversation, ending where the next assistant message starts.

        Args:
            messages: an optional system message, then user and assistant in turn, the user first and last.

        Raises:
            ValueError: roles out of order, or a system message that the template refuses.
        """
        opening, turns = self._open(messages)
        if len(turns) % 2 == 0:
            raise ValueError(f"a conversation to reply to ends with a user message; got {_roles(messages)}")
        return opening + self._turns(turns)

    def extend(self, messages: Conversation) -> list[int]:
        """The ids that follow an end-of-turn token: the next user message up to the next generation prompt.

        Args:
            messages: what is new, from a user message to a user message (mostly one message).
        """
        if len(messages) % 2 == 0:
            raise ValueError(f"an extension starts and ends with a user message; got {_roles(messages)}")
        return self.user_header_ids + self._turns(messages)

    def encode_user_side(self, messages: Conversation) -> list[int]:
        """The ids of a conversation up to the header of the next user message, to go on as the user.

        Args:
            messages: an optional system message, then turns that end with an assistant message; may be empty.
        """
        opening, turns = self._open(messages)
        if len(turns) % 2:
            raise ValueError(f"the user speaks after an assistant message or first; got {_roles(messages)}")
        if not turns:
            return opening
        reply = self.content_ids(turns[-1]["content"])
        return opening + self._turns(turns[:-1]) + reply + [self.end_of_turn_id] + self.user_header_ids

    def content_ids(self, text: str) -> list[int]:
        """The ids of a message's text; special tokens written out in it stay text."""
        return list(self._text.encode(clean_text(text), add_special_tokens=False).ids)

    def reply_ids(self, reply: str | Sequence[int]) -> list[int]:
        """The ids of an assistant message with its end-of-turn token; ids are taken as they are."""
        return [*self.content_ids(reply), self.end_of_turn_id] if isinstance(reply, str) else list(reply)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of sampled ids, special tokens left out; broken UTF-8 becomes U+FFFD."""
        return str(self._text.decode(list(ids), skip_special_tokens=True))

    def identity(self) -> dict[str, Any]:
        """JSON-able: which template and vocabulary made the ids."""
        template = hashlib.blake2b(str(self.tokenizer.chat_template).encode(), digest_size=8)
        return {"chat_template": template.hexdigest(), "vocabulary": self._text.get_vocab_size()}

    def _open(self, messages: Conversation) -> tuple[list[int], Conversation]:
        """Ids before the first user content, and the messages after the system message."""
        if not messages or messages[0]["role"] != "system":
            return list(self._opening[False][0]), messages
        if self._system_refusal:
            raise ValueError(f"this chat template takes no system message: {self._system_refusal}")
        before, after = self._opening[True]
        return before + self.content_ids(messages[0]["content"]) + after, messages[1:]

    def _turns(self, messages: Conversation) -> list[int]:
        """From the content of a user message to a generation prompt, any number of turns on."""
        ids: list[int] = []
        for i, message in enumerate(messages):
            expected = "assistant" if i % 2 else "user"
            if message["role"] != expected:
                raise ValueError(f"roles alternate, the user first; got {_roles(messages)}")
            ids += self.content_ids(message["content"])
            ids += [self.end_of_turn_id, *self.user_header_ids] if i % 2 else self._to_assistant
        return ids

    def _markup_ids(self, text: str) -> list[int]:
        return list(self._markup.encode(text, add_special_tokens=False).ids)

    def _pieces(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._markup_ids(text) for text in texts]

    def _render(self, messages: list[Message]) -> str:
        import jinja2

        try:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except (jinja2.TemplateError, TypeError) as error:
            raise ValueError(f"no chat codec for this tokenizer: the template refuses: {error}") from error
        return str(text)

    def _literals(self, turns: int, system: bool) -> list[str]:
        """Render ``turns`` user messages and the replies between them; the texts around the contents."""
        roles: list[Role] = ["system"] * system
        roles += ["assistant" if i % 2 else "user" for i in range(2 * turns - 1)]
        words = [f"ContentNumber{i}Ends" for i in range(len(roles))]
        rest = self._render([_message(r, w) for r, w in zip(roles, words, strict=True)])
        literals = []
        for role, word in zip(roles, words, strict=True):
            _require(
                rest.count(word) == 1,
                f"the template drops, repeats or reorders the content of earlier {role} messages "
                f"({turns} turns); use one that keeps every turn as it is",
            )
            literal, rest = rest.split(word)
            literals.append(literal)
        return [*literals, rest]

    def _learn_markup(self, system: bool) -> _Markup:
        """Read the markup off conversations of growing length and check that it never changes."""
        renders = [self._literals(turns, system) for turns in range(1, _CHECKED_TURNS + 1)]
        for shorter, longer in pairwise(renders):
            _require(
                longer[: len(shorter) - 1] == shorter[:-1],
                "the template rewrites the markup of earlier turns when a user message is added",
            )
            _require(
                longer[len(shorter) - 1] == shorter[-1],
                f"the generation prompt {shorter[-1]!r} of a turn reads {longer[len(shorter) - 1]!r} once it "
                "is history; one more turn must extend the text",
            )
        opening, turns = renders[-1][: 1 + system], renders[-1][1 + system :]
        markup = _Markup(tuple(opening), turns[0], turns[1])
        self._check_turns(markup, turns)
        return markup

    def _check_turns(self, markup: _Markup, literals: list[str]) -> None:
        end = self.tokenizer.eos_token
        _require(
            all(text == markup.to_assistant for text in literals[::2]),
            f"the generation prompt differs from turn to turn: {sorted(set(literals[::2]))}",
        )
        _require(
            all(text == markup.to_user for text in literals[1::2]),
            f"the markup before a user message differs from turn to turn: {sorted(set(literals[1::2]))}",
        )
        _require(
            markup.to_user.startswith(end) and self._markup_ids(markup.to_user)[0] == self.end_of_turn_id,
            f"the template closes an assistant turn with {markup.to_user[:30]!r}, not with the EOS token "
            f"{end!r}; set tokenizer.eos_token to the token that ends a turn",
        )
        _require(markup.to_assistant, "the template has no generation prompt")

    def _check_reasoning_stays(self) -> None:
        reply = _message("assistant", "<think>\nReasoningStays\n</think>\n\nanswer")
        user = _message("user", "question")
        _require(
            "ReasoningStays" in self._render([user, reply, user]),
            "the template strips <think> blocks from earlier assistant turns, so what was sampled would not "
            "be what is read later; set tokenizer.chat_template to a variant that keeps them",
        )

    def _check_forging(self, markup: _Markup) -> None:
        literals = [*markup.opening, markup.to_assistant, markup.to_user]
        added = self.tokenizer.added_tokens_decoder
        used = {i for ids in self._pieces(literals) for i in ids} & set(added)
        control = used | {i for i, token in added.items() if token.special} | {self.end_of_turn_id}
        names = [added[i].content if i in added else self.tokenizer.eos_token for i in sorted(control)]
        for name in [*literals, *names, *(f"a {name} b{name}c\n{name}" for name in names)]:
            forged = control.intersection(self.content_ids(name))
            _require(not forged, f"the text {name!r} in a message becomes special token ids {sorted(forged)}")

    def _learn_system(self, plain: _Markup) -> str | None:
        """Learn the opening with a system message; why there is none, where the template refuses it."""
        try:
            markup = self._learn_markup(system=True)
        except ValueError as error:
            return str(error)
        if (markup.to_assistant, markup.to_user) != (plain.to_assistant, plain.to_user):
            return "a system message changes the markup of later turns"
        self._opening[True] = self._pieces(markup.opening)
        return None


def _require(condition: object, problem: str) -> None:
    if not condition:
        raise ValueError(f"no chat codec for this tokenizer: {problem}")


def _backend(tokenizer: Any, *, special_text_is_special: bool) -> Any:
    """A private copy, so that nobody else's settings (truncation, padding) reach our ids, in any thread."""
    backend = copy.deepcopy(tokenizer.backend_tokenizer)
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = not special_text_is_special
    return backend


def _message(role: Role, content: str) -> Message:
    return {"role": role, "content": content}


def _roles(messages: Conversation) -> str:
    return ", ".join(message["role"] for message in messages) or "nothing"
