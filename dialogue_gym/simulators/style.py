"""How a persona writes: capitals, punctuation, politeness."""

import re

from dialogue_gym.simulators.personas import Persona
from dialogue_gym.simulators.program import Chooser, choose, flip

MARKS = re.compile(r"[.,!'’]+(?=\s|$)|(?<=\w)'(?=\w)")  # what personas without punctuation leave out
_FORMULA = re.compile(r"(\$[^$]*\$|\\[a-zA-Z]+)")


def write(persona: Persona, text: str) -> str:
    """The text as this persona types it; the same text always comes out the same.

    Example:
        >>> write(Persona(lowercase=True, punctuation=False), "It's 12 marbles, I think.")
        'its 12 marbles i think'
        >>> write(Persona(lowercase=False, punctuation=True), "it's 12 marbles")
        "It's 12 marbles."
    """
    if persona.punctuation:
        text = text if text[-1:] in ".?!" else text + "."
    else:
        text = MARKS.sub("", text)
    return _lower(text) if persona.lowercase else text[:1].upper() + text[1:]


def _lower(text: str) -> str:
    """Lower case, except in the formulas of a text with commands of LaTeX, which would turn into others."""
    if "\\" not in text:
        return text.lower()
    return "".join(part if i % 2 else part.lower() for i, part in enumerate(_FORMULA.split(text)))


def politely(chooser: Chooser, persona: Persona, text: str) -> str:
    """The text, seldom with a polite word before or after it."""
    if not flip(chooser, "polite", persona.politeness):
        return text
    return choose(chooser, "polite form", ("sorry, {}", "{}, thanks", "{} please")).format(text)
