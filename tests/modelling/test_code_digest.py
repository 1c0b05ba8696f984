"""What is kept is made anew when the code that made it changes: no module is forgotten."""

import ast
from pathlib import Path

import pytest

import erc_kedro
from erc_kedro.modelling import cell_digest, encoder_store, encoders, open
from erc_kedro.modelling.code_digest import code_digest

PACKAGE = Path(erc_kedro.__file__).parent
WITHOUT_A_SAY = {
    *("core.corpus", "core.digests", "core.errors", "core.parameters", "core.progress"),
    "core.tuning",
    *("modelling.classifier_store", "modelling.code_digest", "modelling.encoder_files"),
    *("modelling.encoder_store", "modelling.files", "modelling.settings"),
}
"""They check, store, name or count; what settings say stands beside the code."""

SEEN_IN_THE_DATA = {"core.difficulty", "core.recipe", "core.schedule"}
"""What they do to a training set is in its digest."""


def imported(name: str, without: set[str]) -> set[str]:
    """The modules of core and modelling that a module imports, and those that they do."""
    found: set[str] = set()
    left = [name]
    while left:
        module = left.pop()
        path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
        if module in found | without or not path.is_file():
            continue
        found.add(module)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("erc_kedro."):
                source = str(node.module).removeprefix("erc_kedro.")
                left += [source, *(f"{source}.{own.name}" for own in node.names)]
    return found


@pytest.mark.parametrize(
    ("root", "listed"),
    [
        ("modelling.encoders", encoders.CODE),
        ("modelling.adaptation", (*encoder_store.CODE, *encoders.CODE)),
        ("modelling.contextual", (*open.CODE["contextual"], *open.CODE_OF_OWN_ENCODERS)),
        ("modelling.finetuned", open.CODE["finetuned"]),
    ],
)
def test_no_module_is_forgotten(root: str, listed: tuple[str, ...]) -> None:
    assert imported(root, WITHOUT_A_SAY | SEEN_IN_THE_DATA) <= set(listed)


def test_nor_one_that_decides_what_a_cell_learns() -> None:
    trained_by = {*open.CODE["contextual"], *open.CODE["finetuned"], *open.CODE_OF_OWN_ENCODERS}
    found = imported("modelling.cross_validation", WITHOUT_A_SAY | {"modelling.open"})
    assert found - trained_by <= set(cell_digest.CODE)


def test_other_code_has_another_digest() -> None:
    assert code_digest("core.mixing") != code_digest("core.mixing", "core.labels")
