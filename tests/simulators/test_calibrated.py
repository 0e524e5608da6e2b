"""The calibrated user: likelihoods, hazards, and a folder that is what its manifest says."""

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

pytest.importorskip("transformers")

import dialogue_gym  # noqa: F401  registers the environments
from dialogue_gym.dialogue import Message
from dialogue_gym.language_models import load_language_model
from dialogue_gym.language_models.tiny_model import tiny_model_path
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import Persona, UserReply, UserRequest
from dialogue_gym.simulators.calibrated import CalibratedUser
from dialogue_gym.simulators.calibrated_folder import MANIFEST, weights_hash, write_manifest
from dialogue_gym.simulators.user_side import UserSide
from dialogue_gym.tasks import Brief, Fact
from dialogue_gym.testing import check_user_simulator

TINY: Any = load_language_model("tiny")
BRIEF = Brief("How many eggs?", (Fact("groups", "6", "there are 6 boxes"),), "", unit="eggs")
TALK: list[Message] = [
    {"role": "user", "content": "how many eggs?"},
    {"role": "assistant", "content": "How many boxes?"},
]
# a mark that the toy, which was never fitted to any, often begins with
COMMON = UserSide(instruction="", go_on="", leave="6")
SIDES = (COMMON, UserSide(instruction="", go_on="i", leave="6"))
REPLIES = [UserReply(text, stop) for text in ("6 boxes", "thanks", "", "# no") for stop in (False, True)]


def request(i: int = 0, conversation: Sequence[Message] = TALK) -> UserRequest:
    return UserRequest(("d", i), "math", BRIEF, Persona(), conversation, NoiseKey(("calibrated", i)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The tiny model as a calibrated folder, without fitting."""
    folder = tmp_path / "user"
    folder.mkdir()
    for path in tiny_model_path().iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    write_manifest(
        folder,
        {
            "model": {"base": "tiny", "base_sha256": None, "adapter": False, "dtype": "float32"},
            "user_side": COMMON.to_dict(),
            "codec": TINY.codec.identity(),
            "data": {"sha256": "of the data"},
        },
    )
    return folder


@pytest.mark.parametrize("side", SIDES)
def test_stopping_and_going_on_sum_to_one(side: UserSide) -> None:
    user = CalibratedUser(TINY, side)
    found = user.log_prob([request()] * len(REPLIES), REPLIES)
    for going_on, stopping in zip(found[::2], found[1::2], strict=True):
        assert math.exp(going_on.stop) + math.exp(stopping.stop) == pytest.approx(1.0, abs=1e-5)
        assert stopping.stop == pytest.approx(found[1].stop, abs=1e-4)  # the text does not matter


@pytest.mark.parametrize("side", SIDES)
def test_the_total_is_the_models_score_of_the_same_ids(side: UserSide) -> None:
    user = CalibratedUser(TINY, side)
    requests = [request()] * len(REPLIES)
    ids = [side.reply_ids(user.codec, reply.text, reply.stop) for reply in REPLIES]
    marks = [side.mark_ids(user.codec, stop) for stop in (False, True)]
    shares = [sum(math.exp(score[0]) for score in user.score(requests[:2], marks))] if side.go_on else [1.0]
    for found, score in zip(user.log_prob(requests, REPLIES), user.score(requests, ids), strict=True):
        assert found.total == pytest.approx(sum(score) - math.log(shares[0]), abs=1e-4)


def test_users_leave_as_often_as_their_hazard_says() -> None:
    user = CalibratedUser(TINY, COMMON, {"max_tokens": 1})
    (found,) = user.log_prob([request()], [UserReply("", stop=True)])
    hazard, n = math.exp(found.stop), 600
    stops = sum(reply.stop for reply in user.reply([request(i) for i in range(n)]))
    assert stops / n == pytest.approx(hazard, abs=4 * math.sqrt(hazard * (1 - hazard) / n) + 0.02)


def test_a_folder_conforms_and_plays(folder: Path) -> None:
    user = CalibratedUser(folder, sampling={"max_tokens": 8})
    assert len(check_user_simulator(user, "math", n=2)) == 13
    assert user.identity()["data"] == "of the data"
    env = gym.make("MathChat-v0", simulator="calibrated", language_model=str(folder), max_turns=2)
    _, info = env.reset(seed=3)
    assert "end_reason" not in info or not info["end_reason"]
    over = False
    for _ in range(2):
        if not over:
            observation, _, terminated, truncated, info = env.step("The answer is 4.")
            over = terminated or truncated
    assert over
    assert info["scored"]
    assert [m["role"] for m in observation][:2] == ["user", "assistant"]
    env.close()


def spoil(folder: Path, how: str) -> None:
    manifest = folder / MANIFEST
    if how == "gone":
        shutil.rmtree(folder)
    elif how == "no manifest":
        manifest.unlink()
    elif how == "half a manifest":
        manifest.write_text(manifest.read_text()[:40])
    elif how == "version":
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format_version": 99}))
    elif how == "changed":
        with open(folder / "config.json", "a") as file:
            file.write(" ")
    elif how == "missing":
        (folder / "tokenizer.json").unlink()
    else:
        shutil.copy(next(folder.glob("*.safetensors")), folder / how)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("gone", "no calibrated user here; a folder that `dialogue-gym calibrate` wrote"),
        ("no manifest", "no calibrated user here"),
        ("half a manifest", "not a manifest"),
        ("version", "format_version is 99, should be 1; calibrate again"),
        ("changed", r"config.json: was changed since calibration"),
        ("missing", r"tokenizer.json: is missing; the manifest names it"),
        ("adapter_model.safetensors", "adapter_model.safetensors: not in the manifest"),
        ("added_tokens.json", "added_tokens.json: not in the manifest"),
    ],
)
def test_a_folder_that_is_not_what_was_written_is_refused(folder: Path, how: str, message: str) -> None:
    spoil(folder, how)
    with pytest.raises(ValueError, match=message) as caught:
        CalibratedUser(folder)
    assert "\n" not in str(caught.value)


def test_an_adapters_base_must_be_there(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["model"] |= {"base": str(folder / "nowhere"), "base_sha256": "x", "adapter": True}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(FileNotFoundError, match="is not there"):
        CalibratedUser(folder)
    assert weights_hash(folder / "nowhere") is None


def test_only_a_local_model_can_play() -> None:
    class Server:
        def generate(self, requests: Any, sampling: Any) -> list[Any]:
            return []

        def forget(self, dialogue_ids: Any) -> None:
            pass

        def identity(self) -> dict[str, Any]:
            return {}

    with pytest.raises(ValueError, match="needs a local model with a chat codec or a folder"):
        CalibratedUser(Server())  # type: ignore[arg-type]


def test_the_persona_is_not_read() -> None:
    user = CalibratedUser(TINY, COMMON)
    other = replace(request(), persona=Persona(trust=0.01))
    assert user.generation_request(other) == user.generation_request(request())
