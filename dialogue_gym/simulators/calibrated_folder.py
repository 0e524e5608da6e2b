"""Folders of calibrated users: safetensors, tokenizer, and a manifest that vouches for each file by hash."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dialogue_gym.files import write_whole
from dialogue_gym.language_models import LanguageModel, load_language_model

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
WORK = "work"
"""Where an unfinished run keeps its own files; never part of a calibrated user."""
_RUN = "run.json"
_CHUNK = 1 << 20
_LOADED = {".safetensors", ".json", ".jinja", ".model", ".txt", ".bin", ".pt", ".pth", ".py"}
"""Files that may change the model or its tokenizer by being there."""


def file_hash(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def check_free(folder: Path) -> None:
    """Refuse a folder that a calibrated user cannot be written to.

    Raises:
        ValueError: the folder holds a calibrated user, or files of somebody else.
    """
    if (folder / MANIFEST).exists():
        raise ValueError(f"{folder}: holds a calibrated user already; another folder would be right")
    if folder.exists() and not (folder / WORK / _RUN).exists() and _has_other_files(folder):
        raise ValueError(f"{folder}: holds other files; a new or empty folder would be right")


def _has_other_files(folder: Path) -> bool:
    """More than what a run that was killed while it claimed the folder leaves."""
    begun = {WORK, f"{WORK}/{_RUN}.partial"}
    return any(path.relative_to(folder).as_posix() not in begun for path in folder.rglob("*"))


def claim(folder: Path, run: Mapping[str, Any]) -> Path:
    """Make a folder for a calibrated user, or go on in that of the same run; the place for work in it.

    Args:
        folder: where the user will be.
        run: what tells this run from others; JSON-able.

    Raises:
        ValueError: see ``check_free``; or the folder holds another run.
    """
    check_free(folder)
    path, text = folder / WORK / _RUN, json.dumps(run, sort_keys=True)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ValueError(
            f"{folder / WORK}: holds an unfinished run of other data or settings; go on with it or remove it"
        )
    write_whole(path, text)
    return path.parent


def publish(folder: Path, made: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Move the files made in the place for work to the folder, vouch for them, and remove that place."""
    for path in sorted(made.iterdir()):
        path.replace(folder / path.name)
    manifest = write_manifest(folder, content)
    shutil.rmtree(folder / WORK)
    return manifest


def write_manifest(folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Write the manifest last: version, content, and the hash of every other file of the folder."""
    manifest = {
        "format_version": FORMAT_VERSION,
        **content,
        "files": {name: file_hash(path) for name, path in sorted(_files(folder).items())},
    }
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    return manifest


def _files(folder: Path) -> dict[str, Path]:
    """The files that a manifest speaks of, by their names in the folder."""
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    own = (MANIFEST, f"{MANIFEST}.partial")
    return {n: p for n, p in found.items() if n not in own and not n.startswith(f"{WORK}/")}


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The manifest of a calibrated folder, after every file has been compared with its hash.

    Raises:
        ValueError: no such folder, another version, or a file that was changed, added or lost since.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(
            f"{folder}: no calibrated user here; a folder that `dialogue-gym calibrate` wrote, with its "
            f"{MANIFEST}, would be right"
        )
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version, files = manifest["format_version"], dict(manifest["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a manifest ({error!r}); calibrate again") from None
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{path}: format_version is {version!r}, should be {FORMAT_VERSION}; calibrate again"
        )
    present = {name for name, path in _files(folder).items() if path.suffix in _LOADED}
    for name in sorted(present - files.keys()):
        raise ValueError(f"{folder / name}: not in the manifest; files that nobody vouches for are refused")
    for name, expected in files.items():
        if not (folder / name).is_file():
            raise ValueError(f"{folder / name}: is missing; the manifest names it")
        if file_hash(folder / name) != expected:
            raise ValueError(f"{folder / name}: was changed since calibration (its SHA-256 is another)")
    return manifest


def load_folder(folder: str | Path) -> tuple[LanguageModel, dict[str, Any]]:
    """The language model of a calibrated folder and its manifest; weights only from safetensors.

    Raises:
        ValueError: see ``read_manifest``; or the base model under an adapter is not the one it was fitted on.
        FileNotFoundError: the base model of an adapter is not where it was.
    """
    manifest = read_manifest(folder)
    model = manifest["model"]
    options: dict[str, Any] = {"name": "transformers", "path": str(folder), "dtype": model["dtype"]}
    if model["adapter"]:
        base = Path(model["base"])
        options |= {"path": str(base), "adapter": str(folder)}
        if model["base_sha256"] and not base.is_dir():
            raise FileNotFoundError(f"{base}: the base model that {folder} was fitted on is not there")
        if model["base_sha256"] and weights_hash(base) != model["base_sha256"]:
            raise ValueError(
                f"{base}: not the base model that {folder} was fitted on (its SHA-256 is another)"
            )
    loaded: Any = load_language_model(options)
    if loaded.codec.identity() != manifest["codec"]:
        raise ValueError(f"{options['path']}: its tokenizer is not the one that {folder} was fitted with")
    return loaded, manifest


def weights_hash(folder: str | Path) -> str | None:
    """One hash over all safetensors of a folder; None where it is no folder (a hub name)."""
    if not Path(folder).is_dir():
        return None
    digest = hashlib.sha256()
    for path in sorted(Path(folder).glob("*.safetensors")):
        digest.update(file_hash(path).encode())
    return digest.hexdigest()
