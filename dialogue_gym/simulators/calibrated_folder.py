"""Folders of calibrated users: safetensors, tokenizer, and a manifest that vouches for each file by hash."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dialogue_gym.language_models import LanguageModel, load_language_model

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
_CHUNK = 1 << 20
_LOADED = {".safetensors", ".json", ".jinja", ".model", ".txt"}
"""Files that may change the model or its tokenizer by being there."""


def file_hash(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_manifest(folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Write the manifest last: version, content, and the hash of every other file of the folder."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    manifest = {
        "format_version": FORMAT_VERSION,
        **content,
        "files": {p.relative_to(folder).as_posix(): file_hash(p) for p in files},
    }
    temporary = folder / f".{MANIFEST}"
    temporary.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(folder / MANIFEST)
    return manifest


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
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.suffix in _LOADED}
    for name in sorted(present - files.keys() - {MANIFEST}):
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
        if base.is_dir() and weights_hash(base) != model["base_sha256"]:
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
