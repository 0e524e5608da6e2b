"""The registered environments as a Gymnasium user meets them."""

import json
import pickle
import subprocess
import sys
import warnings

import gymnasium as gym
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RecordEpisodeStatistics

import dialogue_gym
from tests.envs.conftest import STUBS, StubUser


class Forgetless:
    """A user that lacks one method."""

    reply = draw_persona = identity = StubUser.reply


IDS = ["MathChat-v0", "DocEditChat-v0"]
BY_ID = dict(zip(IDS, STUBS, strict=True))


@pytest.mark.parametrize("render_mode", [None, "ansi", "human"])
@pytest.mark.parametrize("env_id", IDS)
def test_check_env_has_nothing_to_say(env_id, render_mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make(env_id, render_mode=render_mode)
        check_env(env.unwrapped)


@pytest.mark.parametrize("observe", ["all", "new"])
@pytest.mark.parametrize("env_id", IDS)
def test_check_env_with_stubs(env_id, observe):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(env_id, observe=observe, **BY_ID[env_id].keywords()).unwrapped)


@pytest.mark.parametrize("env_id", IDS)
def test_the_spec_survives_json(env_id):
    env = gym.make(env_id, max_turns=3, simulator={"name": "scripted"}, split="test")
    text = env.spec.to_json()
    again = gym.make(EnvSpec.from_json(text))
    assert json.loads(text)["kwargs"]["max_turns"] == 3
    assert again.reset(seed=5)[0] == env.reset(seed=5)[0]
    assert again.unwrapped.max_turns == 3


@pytest.mark.parametrize("env_id", IDS)
def test_the_vector_spec_survives_json(env_id):
    env = gym.make_vec(env_id, num_envs=2, autoreset_mode="Disabled")
    text = env.spec.to_json()
    again = gym.make_vec(EnvSpec.from_json(text))
    assert again.num_envs == 2
    assert again.reset(seed=5)[0] == env.reset(seed=5)[0]


@pytest.mark.parametrize("env_id", IDS)
def test_pickled_envs_replay(env_id):
    env = gym.make(env_id)
    env.reset(seed=3)
    env.step("how many are there?")
    twin = pickle.loads(pickle.dumps(env))
    assert twin.step("and then?") == env.step("and then?")


def test_specs_share_a_simulator_object():
    user = StubUser()
    env = gym.make("MathChat-v0", simulator=user)
    assert env.spec.kwargs["simulator"] is user
    assert gym.make(env.spec).unwrapped.simulator is user


@pytest.mark.parametrize("env_id", IDS)
def test_our_vector_env_is_the_synchronous_one_of_gymnasium(env_id):
    ours = gym.make_vec(env_id, num_envs=3, autoreset_mode="NextStep", max_turns=3)
    theirs = gym.make_vec(env_id, num_envs=3, vectorization_mode="sync", max_turns=3)
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.reset(seed=7)[0] == theirs.reset(seed=7)[0]
    for step in range(8):
        actions = [f"message {step}"] * 3
        mine, other = ours.step(actions), theirs.step(actions)
        assert mine[0] == other[0]
        for a, b in zip(mine[1:4], other[1:4], strict=True):
            assert a.tolist() == b.tolist()
        assert mine[4]["end_reason"].tolist() == other[4]["end_reason"].tolist()


@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"simulatr": "scripted"}, "has no keyword 'simulatr': did you mean 'simulator'"),
        ({"simulator": "scriptd"}, "unknown user simulator 'scriptd': did you mean 'scripted'"),
        ({"simulator": {"name": "scripted", "mod": 1}}, "no option 'mod'"),
        ({"simulator": StubUser(), "language_model": "tiny"}, "simulator object"),
        ({"simulator": "prompted", "language_model": "tinny"}, "language model 'tinny': did you mean 'tiny'"),
        (
            {"simulator": "prompted", "language_model": "gpt-4"},
            "'http://HOST:PORT/v1#MODEL', 'transformers:PATH'",
        ),
        ({"simulator": "scripted", "language_model": object()}, "'scripted' has no option 'language_model'"),
        ({"simulator": "scripted", "language_model": "tiny"}, "valid for 'calibrated' and 'prompted'"),
        ({"language_model": "tiny"}, "the default, 'scripted', takes none; give simulator='prompted'"),
        ({"simulator": "calibrated"}, "'calibrated' needs a language_model: the folder that `dialogue-gym"),
        ({"simulator": {"name": "prompted", "language_model": "x"}, "language_model": "y"}, "given twice"),
        ({"simulator": 3}, "must be a UserSimulator"),
        ({"simulator": Forgetless()}, "Forgetless'>, which has no forget$"),
        ({"simulator": StubUser}, "not a class"),
        ({"tasks": "pieces"}, "source 'pieces': it is a document task source, for DocEditChat-v0"),
        ({"scorer": "char_bleu"}, "scorer 'char_bleu': it is a document scorer, for DocEditChat-v0"),
        ({"tasks": "procedual"}, "did you mean 'procedural'"),
        ({"tasks": STUBS[1].tasks()}, "of kind 'math', got kind 'document'"),
        ({"tasks": 3}, "must be a TaskSource"),
        ({"scorer": "anwser"}, "did you mean 'answer'"),
        ({"scorer": 3}, "must be a Scorer"),
        ({"max_turns": 0}, "at least 1, got 0"),
        ({"max_turns": 2.5}, "at least 1, got 2.5"),
        ({"split": "trian"}, "did you mean 'train'"),
        ({"observe": "some"}, "'all' or 'new', got 'some'"),
        ({"deadline_s": 0}, "positive number"),
        ({"deadline_s": "3"}, "positive number"),
        ({"deadline_s": float("inf")}, "positive number"),
        ({"split": None}, "unknown split None"),
        ({"scorer": {"name": "answer", "cost_per_word": "a"}}, "cost_per_word is 'a'"),
        ({"scorer": {"name": "answer", "timeout_s": "a"}}, "timeout_s is 'a'"),
        ({"simulator": {"name": "scripted", "population": {"trst": [0, 1]}}}, "did you mean 'trust'"),
    ],
)
def test_bad_keywords_are_one_clear_line(make, keywords, message):
    with pytest.raises(ValueError, match=message) as error:
        make("MathChat-v0", **keywords)
    assert "\n" not in str(error.value)


def test_single_episode_statistics():
    env = RecordEpisodeStatistics(gym.make("MathChat-v0", max_turns=2, **BY_ID["MathChat-v0"].keywords()))
    env.unwrapped.simulator.stop = 0.0
    env.reset(seed=1)
    env.step("a")
    *_, info = env.step("b")
    assert (info["episode"]["l"], info["episode"]["r"]) == (2, env.unwrapped.record().reward)


@pytest.mark.parametrize(
    "code",
    [
        "import gymnasium; gymnasium.make('dialogue_gym:MathChat-v0').reset(seed=1)",
        "import gymnasium, dialogue_gym; gymnasium.make_vec('DocEditChat-v0', num_envs=2).reset(seed=1)",
    ],
)
def test_a_fresh_process_makes_envs_without_torch(code):
    check = "; import sys; assert not {'torch', 'transformers'} & set(sys.modules), 'heavy import'"
    subprocess.run([sys.executable, "-W", "error", "-c", code + check], check=True)


def test_importing_the_package_imports_no_room():
    code = "import sys, dialogue_gym; print([m for m in sys.modules if m.startswith('dialogue_gym.')])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", dialogue_gym.__all__)
def test_public_names_resolve(name):
    assert getattr(dialogue_gym, name) is not None


def test_unknown_public_name():
    with pytest.raises(AttributeError, match="no attribute 'Envs'"):
        _ = dialogue_gym.Envs


def test_an_unknown_render_mode_is_refused():
    with pytest.raises(ValueError, match="unknown render_mode 'anis': did you mean 'ansi'"):
        gym.make_vec("MathChat-v0", num_envs=2, render_mode="anis")
