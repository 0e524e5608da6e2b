"""A person as the user: the environment waits until they have spoken."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from dialogue_gym.dialogue import Message, visible
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.base import UserReply, UserRequest, simulators
from dialogue_gym.simulators.personas import Persona
from dialogue_gym.tasks.base import Brief, Kind

PEOPLE = {"name": "people", "source": "dialogue_gym"}
"""The identity of whoever is a person; see ``user_turns`` for what the name means in logs."""

_COMMANDS = "/stop [last words] ends it when you are content, /brief shows this again, /leave breaks off."


class PersonLeft(BaseException):
    """The person has gone, and nobody should be asked again; so it is no ``Exception``.

    It comes out of the environment's ``reset`` or ``step`` as Ctrl-C does. What was said is in the
    environment: ``abort()`` ends the dialogue, ``record()`` has it.
    """


class HumanUser:
    """Hands each request to a person and waits for what they say.

    Its dialogues are people's in every log. A persona is drawn for nobody: it is the default one, and
    nothing reads it.

    Args:
        hear: called with one request at a time, waits for the person and returns what they said; raises
            ``PersonLeft`` when they have gone. Default: at the terminal.

    Example:
        >>> brief = Brief("What is 2 + 2?", (), "What is 2 + 2?")
        >>> request = UserRequest(0, "math", brief, Persona(), (), NoiseKey((0,)))
        >>> HumanUser(lambda request: UserReply("two and two?")).reply([request])[0].text
        'two and two?'
    """

    def __init__(self, hear: Callable[[UserRequest], UserReply] | None = None) -> None:
        self._hear = hear or at_terminal

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        """One request after the other."""
        return [self._hear(request) for request in requests]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Nothing to forget."""

    def draw_persona(self, kind: Kind, key: NoiseKey) -> Persona:
        """A default: people have personas of their own."""
        return Persona()

    def identity(self) -> dict[str, Any]:
        """The identity of people."""
        return dict(PEOPLE)

    def __deepcopy__(self, memo: dict[int, Any]) -> "HumanUser":
        """A person cannot be copied."""
        return self


def brief_lines(kind: Kind, brief: Brief) -> list[str]:
    """What a person must know to be this user: what they want, then one line for each thing to tell.

    Example:
        >>> brief_lines("math", Brief("What is 2 + 2?", (), "What is 2 + 2?"))
        ['What is 2 + 2?']
    """
    if kind == "document" and brief.facts:
        return [brief.goal, *(fact.text for fact in brief.facts)]
    return [brief.text]


def at_terminal(request: UserRequest) -> UserReply:
    """Shows the brief, or what the agent said, and reads the person's reply from standard input.

    Raises:
        PersonLeft: /leave, or the end of the input.
    """
    opening = not request.conversation
    if opening:
        _show_brief(request)
    else:
        show_message(request.conversation[-1])
    while True:
        text = read_line("you> ")
        command, _, rest = text.partition(" ")
        if command == "/stop" and opening:
            print("You have not said anything yet; /leave breaks off.")
        elif command == "/stop":
            return UserReply(rest.strip(), stop=True)
        elif command == "/brief":
            _show_brief(request)
        elif command.startswith("/"):
            print(f"There is no command {command!r}. {_COMMANDS}")
        elif text:
            return UserReply(text)


def show_message(message: Message) -> None:
    """Print what the other side said; it cannot drive the terminal."""
    name = {"assistant": "agent"}.get(message["role"], message["role"])
    print(f"\n{name}: " + visible(message["content"]).replace("\n", "\n  ") + "\n", flush=True)


def read_line(prompt: str) -> str:
    r"""What a person types, without space around it; a backslash at the end of a line goes on in the next.

    Raises:
        PersonLeft: /leave, or the end of the input.
    """
    try:
        lines = [input(prompt)]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            lines.append(input("...> "))
    except EOFError:
        print()
        raise PersonLeft("nobody is there: standard input is at its end") from None
    text = "\n".join(lines).strip()
    if text == "/leave":
        raise PersonLeft("the person left with /leave")
    return text


def _show_brief(request: UserRequest) -> None:
    wish, *points = brief_lines(request.kind, request.brief)
    heading = "Your problem" if request.kind == "math" else "You want this written"
    lines = [f"{heading}: {wish}", *(f"  - {point}" for point in points)]
    print("\n" + visible("\n".join(lines)))
    print(f"Ask the agent in your own words. {_COMMANDS}\n", flush=True)


simulators.register("human", HumanUser)
