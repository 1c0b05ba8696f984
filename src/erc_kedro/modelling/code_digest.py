"""What is kept is made by code, and made anew when that code changes."""

from pathlib import Path

from erc_kedro.core.digests import digest_of

_PACKAGE = Path(__file__).parents[1]


def code_digest(*modules: str) -> str:
    """Return one digest (16 hex digits) of modules' code, by their names below `erc_kedro`."""
    paths = {name: _PACKAGE.joinpath(*name.split(".")).with_suffix(".py") for name in modules}
    return digest_of({name: path.read_bytes() for name, path in paths.items()})


def of_modelling(*modules: str) -> tuple[str, ...]:
    """Return the names of modules of this room.

    >>> of_modelling("batches", "threads")
    ('modelling.batches', 'modelling.threads')
    """
    return tuple(f"modelling.{name}" for name in modules)
