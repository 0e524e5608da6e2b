import json
import sys
from dataclasses import replace
from typing import Any

import gymnasium as gym
import pytest

import dialogue_gym  # noqa: F401
from dialogue_gym.scoring import ReasoningGymScorer, scorers
from dialogue_gym.scoring.reasoning import stated_answer
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks import SPLITS, ProceduralMath, ReasoningGymTasks, Reference, task_sources
from tests.processes import run

pytest.importorskip("reasoning_gym")

LADDER = {"name": "reasoning_gym", "dataset": "basic_arithmetic", "size": 300}


def say(text: str) -> Any:
    return [{"role": "user", "content": "?"}, {"role": "assistant", "content": text}]


def test_no_question_is_in_two_splits() -> None:
    source = task_sources["math"].build(LADDER)
    found = {split: {source.draw(split, NoiseKey((i,))).brief.text for i in range(40)} for split in SPLITS}
    assert not found["train"] & (found["test"] | found["validation"])
    assert not found["test"] & found["validation"]
    assert source.draw("test", NoiseKey((3,))) == task_sources["math"].build(LADDER).draw(
        "test", NoiseKey((3,))
    )
    identity = source.identity()
    assert json.loads(json.dumps(identity)) == identity


@pytest.mark.parametrize(
    "dataset", ["basic_arithmetic", "knights_knaves", "letter_counting", "binary_matrix"]
)
def test_its_own_judge_scores_the_dialogue(dataset: str) -> None:
    source = ReasoningGymTasks(dataset, size=50)
    task = source.draw("train", NoiseKey((1,)))
    scorer = scorers["math"].build(source.default_scorer)
    right = scorer.score(task, say(f"Easy.\n<answer>{task.reference.answer}</answer>"))
    assert (right.reward, right.metrics["accuracy"]) == (1.0, 1.0)
    wrong = scorer.score(task, say("<answer>no such thing</answer>"))
    assert wrong.reward < 0.5
    assert wrong.metrics["accuracy"] == 0.0
    none = scorer.score(task, say("What do you mean?"))
    assert (none.reward, none.metrics["answered"]) == (0.0, 0.0)


@pytest.mark.parametrize(
    "text", ["", "<answer></answer>", "answer", "\ud7ff\x00", "9^9^9^9", "answer is " * 3000]
)
def test_no_text_makes_the_scorer_raise(text: str) -> None:
    task = ReasoningGymTasks("basic_arithmetic", size=50).draw("train", NoiseKey((1,)))
    assert 0.0 <= ReasoningGymScorer().score(task, say(text)).reward <= 1.0


def test_environments_take_the_judge_by_themselves() -> None:
    env: Any = gym.make("MathChat-v0", tasks=LADDER, max_turns=1)
    assert env.spec.to_json()
    env.reset(seed=0)
    _, reward, terminated, _, info = env.step("no answer here")
    assert terminated
    assert reward == 0.0
    assert "judged" in info["metrics"]
    own: Any = gym.make("MathChat-v0", tasks=LADDER, scorer="answer", max_turns=1)
    own.reset(seed=0)
    assert "judged" not in own.step("hm")[4]["metrics"]


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("The answer is x**2 + 1.", "x**2 + 1"),
        ("Answer: A,B,C", "A,B,C"),
        ("Answer:\n1 2\n3 4", "1 2\n3 4"),
        ("<answer>a</answer> no, <answer>b</answer>", "b"),
        (r"\boxed{7}", "7"),
        ("4 + 3 = 7", "7"),
        ("Which of them?", None),
    ],
)
def test_stated_answers(message: str, answer: str | None) -> None:
    assert stated_answer(message) == answer


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="no generator 'basic_aritmetic': did you mean 'basic_arithmetic'"):
        ReasoningGymTasks("basic_aritmetic")
    with pytest.raises(ValueError, match="'basic_arithmetic' does not take these settings"):
        ReasoningGymTasks("basic_arithmetic", {"min_turms": 3})
    with pytest.raises(ValueError, match="'graph_color' gives no answer that can be checked"):
        ReasoningGymTasks("graph_color", size=20)
    with pytest.raises(ValueError, match="unknown split 'tests'"):
        ReasoningGymTasks("basic_arithmetic").draw("tests", NoiseKey((0,)))
    with pytest.raises(ValueError, match="judges tasks of the source 'reasoning_gym' only"):
        ReasoningGymScorer().score(ProceduralMath().draw("train", NoiseKey((0,))), say("4"))
    with pytest.raises(ValueError, match="timeout_s is 0"):
        ReasoningGymScorer(timeout_s=0)


BY_HASH = """
import sys
from dialogue_gym.scoring import ReasoningGymScorer
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks import ReasoningGymTasks
task = ReasoningGymTasks(sys.argv[1], size=50).draw("train", NoiseKey((1,)))
said = {"role": "assistant", "content": f"<answer>{task.reference.answer}</answer>"}
print(task.id, task.brief.text, ReasoningGymScorer().score(task, [said]).reward, sep="|")
"""


def test_items_that_follow_the_hash_seed_need_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    with pytest.raises(ValueError, match=r"'ransom_note' makes other items .* PYTHONHASHSEED=0"):
        ReasoningGymTasks("ransom_note")
    with pytest.raises(ValueError, match=r"'list_functions' makes other items .*; take another generator"):
        ReasoningGymTasks("list_functions")
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    said = [run([sys.executable, "-c", BY_HASH, "polynomial_multiplication"], text=True) for _ in range(2)]
    assert said[0].stdout == said[1].stdout
    assert said[0].stdout.endswith("|1.0\n")


def test_an_item_that_cannot_be_made_again_is_not_judged() -> None:
    task = ReasoningGymTasks("basic_arithmetic", size=50).draw("train", NoiseKey((1,)))
    origin = json.loads(task.reference.text)
    other = Reference(task.reference.answer, json.dumps({**origin, "item": "0" * 16}))
    with pytest.raises(ValueError, match=r"'basic_arithmetic' makes another item \d+ than was asked"):
        ReasoningGymScorer().score(replace(task, reference=other), say("<answer>1</answer>"))
