"""Digests: 16 hex digits that stand for contents or plain values."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def digest(value: Any) -> str:
    """Return 16 hex digits for a plain value; the order of names does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def digest_of(contents: Mapping[str, bytes]) -> str:
    """Return one digest (16 hex digits) for named file contents, independent of their order."""
    total = hashlib.sha256()
    for name in sorted(contents):
        total.update(name.encode() + b"\0" + hashlib.sha256(contents[name]).digest())
    return total.hexdigest()[:16]
