"""User simulators of other packages, found by their entry points."""

import json
import os
import shutil
import sys
from pathlib import Path

import gymnasium as gym
import pytest

import dialogue_gym
from dialogue_gym.simulators import ScriptedUser, simulators
from dialogue_gym.testing import check_user_simulator
from tests.processes import run

EXAMPLE = Path(__file__).parents[1] / "example_user"
SCRIPT = """
import json, sys
import gymnasium as gym
import dialogue_gym
assert "example_dialogue_user" not in sys.modules
env = gym.make("MathChat-v0", simulator="forgetful")
same = gym.make("MathChat-v0", simulator={"name": "forgetful", "forgets": 0.0}, max_turns=20)
told, info = same.reset(seed=0)
while not info["end_reason"]:
    told, _, _, _, info = same.step("go on")
try:
    gym.make("MathChat-v0", simulator="forgetfull")
except ValueError as error:
    print(json.dumps([env.unwrapped.simulator.identity(), told[-1]["content"], str(error)]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example package, installed beside nothing else and without a network."""
    folder = tmp_path_factory.mktemp("example")
    source = shutil.copytree(EXAMPLE, folder / "source")  # the build leaves its files in the source
    target = folder / "target"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--disable-pip-version-check", "--target", str(target), str(source)]
    run(command)
    return target


def test_an_installed_package_brings_a_user_by_name(installed: Path) -> None:
    repository = Path(dialogue_gym.__file__).parents[1]
    path = os.pathsep.join([str(installed), str(repository)])
    done = run([sys.executable, "-c", SCRIPT], env={**os.environ, "PYTHONPATH": path}, text=True)
    identity, last, error = json.loads(done.stdout)
    assert identity == {"name": "forgetful", "forgets": 0.3}
    assert last == "that is all I know"
    assert error == "unknown user simulator 'forgetfull': did you mean 'forgetful'?"


def test_the_example_conforms(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(installed)
    assert "forgetful" in simulators.names()
    for kind in ("math", "document"):
        check_user_simulator(simulators.build("forgetful"), kind)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'forgetful' has no option 'forget': did you mean 'forgets'"):
        simulators.build({"name": "forgetful", "forget": 1})


# packages that are broken --------------------------------------------------------------------------


def pretend(folder: Path, package: str, **entries: str) -> None:
    """What an installation of a package with these entry points leaves in a folder."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[dialogue_gym.simulators]", *lines, ""]))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_module_9:User", r"\(no_such_module_9:User\): ModuleNotFoundError: No module named"),
        ("json:User", r"\(json:User\): AttributeError: module 'json' has no attribute 'User'"),
        ("broken_at_import_9:User", r"\(broken_at_import_9:User\): RuntimeError: not on a Sunday$"),
        ("json:__name__", r": json:__name__ cannot be called, it is of <class 'str'>"),
    ],
)
def test_one_line_names_the_package_that_is_broken(folder: Path, value: str, reason: str) -> None:
    pretend(folder, "sad-users", sad=value)
    (folder / "broken_at_import_9.py").write_text("raise RuntimeError('not on a Sunday\\nnor a Monday')")
    with pytest.raises(
        ValueError, match=rf"^user simulator 'sad' of the package 'sad-users'.*{reason}"
    ) as caught:
        gym.make("MathChat-v0", simulator="sad")
    assert "\n" not in str(caught.value)


def test_others_are_not_touched_by_a_broken_package(folder: Path) -> None:
    pretend(folder, "sad-users", sad="no_such_module_9:User", scripted="no_such_module_9:User")
    gym.make("MathChat-v0", simulator="scripted").reset(seed=0)
    assert isinstance(simulators.build("scripted"), ScriptedUser)
    with pytest.raises(ValueError, match="did you mean 'scripted'"):
        simulators.build("scriptd")


def test_a_name_that_two_packages_offer_is_nobodys(folder: Path) -> None:
    pretend(folder, "left", twin="json:loads")
    pretend(folder, "right", twin="json:loads")
    with pytest.raises(ValueError, match="'twin' is offered by left and right; uninstall one of them"):
        simulators.build("twin")


def test_what_is_no_user_is_named_by_its_module(folder: Path) -> None:
    pretend(folder, "odd", odd="fractions:Fraction")
    with pytest.raises(ValueError, match=r"must be a UserSimulator, .* got a <class 'fractions\.Fraction'>"):
        gym.make("MathChat-v0", simulator="odd")
