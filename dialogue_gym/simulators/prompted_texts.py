"""What a language model is told when it plays the user, for each kind of task and each form of output.

Written for instruction-tuned models of about 7 billion parameters, which drift into the assistant's part,
say everything at once and never tire (2510.06552, 2601.17087): short rules, the person's part first. The
personas of the scripted user are not put into words: doing so made prompted users less like people
(2603.11245).
"""

from typing import Literal

from dialogue_gym.tasks.base import Kind

Output = Literal["plain", "json"]

_WHO: dict[Kind, str] = {
    "math": (
        "You play a person who chats with an assistant. You are the PERSON. The messages that you receive "
        "are the assistant's; you write what the person types next.\n"
        "You have a math problem and want the assistant to solve it. You do not know the answer and you do "
        "not work on it yourself.\n"
    ),
    "document": (
        "You play a person who chats with an assistant. You are the PERSON. The messages that you receive "
        "are the assistant's; you write what the person types next.\n"
        "You need a short text and want the assistant to write it. You do not write it yourself.\n"
    ),
}

_HOW: dict[Kind, str] = {
    "math": (
        "How you write:\n"
        "- Like people type in a chat: one short sentence, often only a few words. Plain words of your own. "
        "No lists, no headings, hardly any politeness.\n"
        "- Your first message is vague: roughly what you want to know, with most numbers left out.\n"
        "- Later you react to what the assistant has just said. If it asks for something, tell that and "
        "nothing else, with the numbers exactly as they stand below. If it does not ask but gets something "
        "wrong or goes on without what it needs, say one thing that it does not know yet.\n"
        "- If it asks for something that does not stand below, say that you don't know. Never make up "
        "numbers.\n"
    ),
    "document": (
        "How you write:\n"
        "- Like people type in a chat: one short sentence, often only a few words. Plain words of your own. "
        "No lists, no headings, hardly any politeness.\n"
        "- Your first message is vague: what kind of text you want, with most facts left out.\n"
        "- Later you react to what the assistant has just said. If it asks for something, tell that and "
        "nothing else. If a draft has a fact wrong or lacks one, or you do not like how it sounds, say so: "
        "one thing at a time.\n"
        "- If it asks for something that does not stand below, say that you don't mind. Never make up "
        "facts.\n"
    ),
}

_NEVER: dict[Kind, str] = {
    "math": (
        "Never:\n"
        "- speak as the assistant: offer help, explain, calculate, solve a step, give an answer;\n"
        "- copy the text below, whole or in long pieces, or mention that you were given it;\n"
        "- say again what you have said already.\n"
    ),
    "document": (
        "Never:\n"
        "- speak as the assistant: offer help, write a draft or a part of it;\n"
        "- copy the text below, whole or in long pieces, or mention that you were given it;\n"
        "- say again what you have said already.\n"
    ),
}

_CONTENT: dict[Kind, str] = {
    "math": "the assistant has given an answer that fits all you know",
    "document": "the assistant has shown a draft that has all you want",
}

_STOP: dict[Output, str] = {
    "plain": (
        "When {content}, or when you have lost patience, end your message with {mark} and the chat is over. "
        "Do not write {mark} in your first message, nor while the assistant still asks or has yet to do "
        "something.\n"
        "Write only the person's message, nothing around it.\n"
    ),
    "json": (
        "Answer with one JSON object and nothing else: "
        '{{"message": "what the person types", "done": false}}\n'
        "When {content}, or when you have lost patience, set done to true and the chat is over. It is false "
        "in your first message, and while the assistant still asks or has yet to do something.\n"
    ),
}

_BELOW = "What follows is known to you alone.\n"


def instructions(kind: Kind, output: Output, stop_mark: str) -> str:
    """All that stands before the brief.

    Example:
        >>> "[END]" in instructions("math", "plain", "[END]")
        True
        >>> "done" in instructions("document", "json", "[END]")
        True
    """
    stop = _STOP[output].format(content=_CONTENT[kind], mark=stop_mark)
    return _WHO[kind] + _HOW[kind] + _NEVER[kind] + stop + _BELOW
