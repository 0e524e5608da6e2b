"""What travels to a machine with a GPU and no network."""

from pathlib import Path

import pytest

from benchmarks import gpu_bundle, gpu_bundle_check


def test_everything_that_both_packages_need_is_named_once_with_its_version() -> None:
    needed = gpu_bundle.needed("dialogue-gym", gpu_bundle.EXTRAS)

    assert {"gymnasium", "numpy", "trl", "sympy"} <= set(needed)  # sympy: of math-verify's needs
    assert not {"pytest", "ruff", "stable-baselines3", "dialogue-gym"} & set(needed)
    assert needed["trl"].startswith("1.16.")


def test_packages_that_are_compiled_do_not_travel() -> None:
    assert gpu_bundle._is_pure("gymnasium")
    assert not gpu_bundle._is_pure("numpy")


def test_too_many_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        gpu_bundle.subprocess, "run", lambda *_, **__: (tmp_path / "large.whl").write_bytes(b"12")
    )
    monkeypatch.setattr(gpu_bundle, "MOST_BYTES", 1)

    with pytest.raises(ValueError, match="MiB of wheels"):
        gpu_bundle.gather(tmp_path)


def test_a_compiled_package_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not gpu_bundle_check.problems(["transformers"], ())
    monkeypatch.setattr(gpu_bundle_check, "version", lambda name: "0.0.1" if name == "tokenizers" else "99")
    lines = gpu_bundle_check.problems(["transformers"], ())
    assert any(
        line.startswith("transformers needs tokenizers") and line.endswith("has 0.0.1") for line in lines
    )


def test_the_script_checks_what_it_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_bundle.subprocess, "run", lambda *_, **__: None)
    gpu_bundle.gather(tmp_path)
    script = (tmp_path / "install.sh").read_text()
    assert f'"$here/check.py" "$here" {" ".join(gpu_bundle.EXTRAS)}\n' in script
    assert "-m benchmarks.throughput --device cuda --no-install" in script
    assert "def problems" in (tmp_path / "check.py").read_text()
