"""Known cases: users whose distance from the log's users is known."""

import json
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from dialogue_gym.calibration.realism import METRICS, Realism, measure_realism
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import Persona, ScriptedUser, UserReply, UserRequest
from dialogue_gym.simulators.user_turns import user_turns
from tests.calibration.conftest import ONE, Parrot, Puppet, measured, played

DISTANCES = (
    "facts_by_turn",
    "brief_words_by_turn",
    "brief_4grams_by_turn",
    "words_per_turn",
    "dialogue_acts",
)


@pytest.fixture(scope="module")
def scripted(records: list[DialogueRecord]) -> Realism:
    return measure_realism(records, ScriptedUser(ONE), dialogues=played(80, 5000), resamples=100)


def template(_: UserRequest) -> UserReply:
    return UserReply("I would be happy to provide you with the following information.")


def test_identical_samples_are_as_far_apart_as_people(records: list[DialogueRecord]) -> None:
    realism = measure_realism(records, Parrot(records), resamples=50)
    for figure in realism.figures:
        if figure.metric.group not in ("fit",) and figure.simulator is not None:
            assert figure.simulator == figure.people or figure.metric.better == "equal", figure.metric.name
            assert figure.excess is not None
            assert figure.excess.value == pytest.approx(0.0, abs=1e-9)
            assert figure.verdict == "within"
    for name in (*DISTANCES[:3], "dialogue_acts"):
        assert measured(realism, name) < 0.1
    assert measured(realism, "classifier_auc") == pytest.approx(0.5, abs=0.08)


def test_a_template_user_is_found_out(records: list[DialogueRecord]) -> None:
    realism = measure_realism(records, Puppet(template), resamples=50)
    assert measured(realism, "classifier_auc") > 0.95
    for name in (*DISTANCES, "classifier_auc", "d1_style", "mattr", "vocabulary"):
        assert realism[name].verdict == "outside", name
    assert measured(realism, "role_breaks") > 0.9
    assert realism["role_breaks"].verdict == "outside"
    assert measured(realism, "stop_recall") == 0.0
    assert "does not know" in realism["nats_per_turn"].why_not
    assert "does not know" in realism["stop_brier"].why_not


def test_scripted_users_against_themselves_with_other_keys(scripted: Realism) -> None:
    outside = [f.metric.name for f in scripted.figures if f.verdict == "outside"]
    assert len(outside) <= 1, outside  # of some 25, each of which may be by chance in one of forty
    assert measured(scripted, "classifier_auc") == pytest.approx(0.5, abs=0.08)
    for name in DISTANCES:
        people = scripted[name].people
        assert people is not None
        assert measured(scripted, name) <= people.high + 0.02, name


def test_hazards_that_are_known_are_calibrated(scripted: Realism) -> None:
    drawing = next(d for d in scripted.drawings if d.name == "stop_calibration")
    # between the least and the largest hazard there are only a few turns
    assert drawing.people[0] == pytest.approx(drawing.x[0], abs=0.05)
    assert drawing.people[-1] == pytest.approx(drawing.x[-1], abs=0.12)
    assert drawing.x[-1] - drawing.x[0] > 0.5
    assert measured(scripted, "stop_precision") == pytest.approx(measured(scripted, "stop_recall"), abs=0.12)


def test_turn_counts_and_outcomes_need_dialogues_that_ran_freely(
    records: list[DialogueRecord], scripted: Realism
) -> None:
    for name in ("turns_per_dialogue", "outcome_calibration"):
        assert scripted[name].verdict == "within"
    realism = measure_realism(records, Parrot(records), resamples=20)
    assert "freely" in realism["turns_per_dialogue"].why_not


def test_failures_of_the_agent_show_in_the_outcome(records: list[DialogueRecord]) -> None:
    hopeless = deepcopy(records)
    for record in hopeless:
        record.metrics["accuracy"] = 0.0
    realism = measure_realism(records, Parrot(records), dialogues=hopeless, resamples=50)
    success = sum(r.metrics["accuracy"] for r in records) / len(records)
    assert measured(realism, "outcome_calibration") == pytest.approx(success, abs=0.02)
    assert realism["outcome_calibration"].verdict == "outside"
    assert realism["turns_per_dialogue"].verdict == "within"


def test_excerpts_take_no_part_in_openings_and_stops(records: list[DialogueRecord]) -> None:
    cut = [replace(r, extra={"censored": ["beginning", "end"]}) for r in records]
    realism = measure_realism(cut, Parrot(cut), resamples=20)
    for name in ("first_turn_distinct_1", "facts_by_turn", "stop_f1", "stop_brier"):
        assert realism[name].simulator is None, name
        assert realism[name].why_not
    assert realism["words_per_turn"].verdict == "within"


def test_stops_in_excerpts_tell_a_classifier_nothing(records: list[DialogueRecord]) -> None:
    cut = [
        replace(r, messages=r.messages[:-2], turns_metadata=r.turns_metadata[:-2], end_reason=None)
        for r in records
        if len(r.messages) > 4
    ]
    excerpts = [replace(r, extra={"censored": ["end"]}) for r in cut]
    parrot = Parrot(cut)
    hasty = Puppet(lambda request: replace(parrot.speak(request), stop=True))
    whole, excerpt, same = (
        measured(measure_realism(log, user, resamples=20), "classifier_auc")
        for log, user in ((cut, hasty), (excerpts, hasty), (excerpts, parrot))
    )
    assert whole > 0.95
    assert excerpt == same


def test_silent_ends_are_no_empty_turns(records: list[DialogueRecord]) -> None:
    silent = [
        replace(r, messages=r.messages[:-1], turns_metadata=r.turns_metadata[:-1])
        if r.end_reason == "user_stop"
        else r
        for r in records
    ]
    realism = measure_realism(silent, Parrot(silent), resamples=20)
    assert measured(realism, "empty_turns") == 0.0
    assert measured(realism, "stop_f1") == 1.0
    mute = measure_realism(silent, Puppet(lambda _: UserReply("")), resamples=20)
    assert measured(mute, "empty_turns") == 1.0


class Leaves(Puppet):
    """The scripted user, but for a hazard of leaving without a word in reply to the agent."""

    def __init__(self, hazard: float) -> None:
        self.hazard, self.scripted = hazard, ScriptedUser(ONE)
        super().__init__(self._speak)

    def _speak(self, request: UserRequest) -> UserReply:
        if request.conversation and request.key.child("leaves").uniform() < self.hazard:
            return UserReply("", stop=True)
        return self.scripted.reply([request])[0]

    def draw_persona(self, kind: Any, key: NoiseKey) -> Persona:
        return self.scripted.draw_persona(kind, key)


SAID = ("dialogue_acts", "words_per_turn", "classifier_auc", "d1_style", "d2_disclosure", "d3_clarification",
        "facts_by_turn", "brief_words_by_turn", "mattr", "vocabulary")  # fmt: skip


def test_users_who_leave_without_a_word_are_not_told_from_themselves() -> None:
    silent = played(80, 1000, user=Leaves(0.15))
    assert 0.2 < sum(not r.messages[-1]["content"] for r in silent) / len(silent) < 0.8
    realism = measure_realism(silent, Leaves(0.15), resamples=100)
    for name in SAID:
        assert realism[name].verdict == "within", name
    assert measured(realism, "classifier_auc") == pytest.approx(0.5, abs=0.05)
    acts = realism["dialogue_acts"].people
    assert acts is not None
    assert measured(realism, "dialogue_acts") == pytest.approx(acts.value, abs=0.02)
    assert realism.turns_in_words < realism.turns
    assert f"{realism.turns_in_words} of them with words" in realism.table()


def test_leaving_without_a_word_is_judged_by_the_fit_alone(
    records: list[DialogueRecord], scripted: Realism
) -> None:
    realism = measure_realism(records, Leaves(0.5), resamples=50)
    assert measured(realism, "stop_precision") < measured(scripted, "stop_precision") - 0.05
    assert measured(realism, "empty_turns") == 0.0
    for name in SAID:
        assert realism[name].verdict == "within", name


def test_those_who_always_leave_cannot_be_compared(records: list[DialogueRecord]) -> None:
    realism = measure_realism(records, Puppet(lambda _: UserReply("", stop=True)), resamples=20)
    assert realism.turns_in_words == 0
    for name in SAID:
        assert realism[name].verdict == "", name
        assert realism[name].why_not, name
    json.dumps(realism.to_dict(), allow_nan=False)
    assert realism.to_html()


def test_empty_and_repeated_turns_are_counted(records: list[DialogueRecord]) -> None:
    def again(request: UserRequest) -> UserReply:
        return UserReply(request.conversation[0]["content"] if request.conversation else "hello")

    realism = measure_realism(records, Puppet(again), resamples=20)
    assert measured(realism, "repeated_turns") == 1.0
    assert realism["repeated_turns"].verdict == "outside"


def test_a_simulator_that_fails_costs_its_own_turns(records: list[DialogueRecord]) -> None:
    parrot = Parrot(records)

    def moody(request: UserRequest) -> UserReply:
        if len(request.conversation) == 2 and request.dialogue_id == 0:
            raise RuntimeError("out of order")
        if request.dialogue_id == 1:
            return UserReply("", error="no answer")
        return parrot.speak(request)

    lost = 1 + len(user_turns(records[1]))
    realism = measure_realism(records, Puppet(moody), resamples=20)
    assert realism.failures.count == lost
    assert realism.failures.first in ("out of order", "no answer")
    assert realism.turns == sum(len(user_turns(r)) for r in records) - lost
    assert realism["words_per_turn"].verdict == "within"
    assert f"failed in {lost} contexts" in realism.table()


def test_a_simulator_that_always_fails_is_an_error(records: list[DialogueRecord]) -> None:
    with pytest.raises(ValueError, match=r"failed in all .* first error: broken"):
        measure_realism(records, Puppet(lambda _: UserReply("", error="broken")))


@pytest.mark.parametrize("count", [4, 7, 11])
def test_few_dialogues_make_figures_missing_and_no_crash(records: list[DialogueRecord], count: int) -> None:
    realism = measure_realism(records[:count], ScriptedUser(ONE), resamples=20)
    assert "needs 12" in realism["classifier_auc"].why_not
    json.dumps(realism.to_dict(), allow_nan=False)
    assert realism.to_html()


def test_too_few_dialogues_are_refused(records: list[DialogueRecord]) -> None:
    with pytest.raises(ValueError, match="3 dialogues, needed are at least 4"):
        measure_realism(records[:3], ScriptedUser(ONE))
    with pytest.raises(ValueError, match="no user turn in 0 dialogues"):
        measure_realism([], ScriptedUser(ONE))
    with pytest.raises(ValueError, match="5 resamples, needed are at least 20"):
        measure_realism(records, ScriptedUser(ONE), resamples=5)


def test_dialogues_with_nothing_in_them_do_not_crash() -> None:
    empty = DialogueRecord(
        "MathChat-v0", "test", None, None, 0, 0, {"name": "people"}, {}, [{"role": "user", "content": ""}],
        [{}], None, None, {},
    )  # fmt: skip
    realism = measure_realism([empty] * 20, Puppet(lambda _: UserReply("")), resamples=20)
    for name in ("words_per_turn", "classifier_auc"):
        assert "no turn in which the log's user speaks" in realism[name].why_not
    json.dumps(realism.to_dict(), allow_nan=False)
    assert realism.to_html()


def test_the_batch_and_the_order_of_calls_change_nothing(records: list[DialogueRecord]) -> None:
    one, other = (
        measure_realism(records[:20], ScriptedUser(ONE), resamples=20, batch_size=n).to_dict()
        for n in (3, 64)
    )
    assert one == other


def test_the_logged_persona_is_never_read(records: list[DialogueRecord]) -> None:
    without = [replace(r, persona=None) for r in records[:20]]
    one, other = (measure_realism(r, ScriptedUser(), resamples=20).to_dict() for r in (records[:20], without))
    assert one == other


def test_reports_hold_every_metric_and_its_source(scripted: Realism) -> None:
    data = json.loads(json.dumps(scripted.to_dict(), allow_nan=False))
    assert [f["metric"] for f in data["figures"]] == [m.name for m in METRICS]
    html, table = scripted.to_html(), scripted.table()
    assert html.count("<svg") == len(scripted.drawings) == 6
    for metric in METRICS:
        assert metric.source
        assert metric.name in table
        assert metric.name in html
    assert "80 dialogues are not by people (scripted)" in table
