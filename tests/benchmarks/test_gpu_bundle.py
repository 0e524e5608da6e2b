"""What travels to a machine with a GPU and no network."""

from pathlib import Path

import pytest

from benchmarks import gpu_bundle


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
