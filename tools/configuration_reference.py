"""Write docs/configuration.md from the typed parameters and conf/base: `make docs`."""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import yaml
from kedro.config import OmegaConfigLoader

from erc_kedro.core.experiment import ARMS, ExperimentParameters
from erc_kedro.core.mixing import Recipe
from erc_kedro.core.parameters import ParameterGroup
from erc_kedro.corpora import CORPORA
from erc_kedro.pipelines.encoding.parameters import AdaptationParameters, EncodingParameters
from erc_kedro.pipelines.generation.parameters import GenerationParameters
from erc_kedro.pipelines.ingestion.parameters import IngestionParameters
from erc_kedro.pipelines.release.parameters import ReleaseParameters
from erc_kedro.pipelines.study.parameters import StudyParameters
from erc_kedro.pipelines.training.parameters import TrainingParameters
from erc_kedro.pipelines.tuning.parameters import TuningParameters
from erc_kedro.pipelines.validation.parameters import ValidationParameters

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "configuration.md"
CORPUS = next(iter(CORPORA))


class Group(NamedTuple):
    """A parameter group: its type, and a command that changes it."""

    type: type[ParameterGroup]
    pipeline: str
    change: str


GROUPS: Mapping[str, Group] = {
    "ingestion": Group(IngestionParameters, "prepare", "ingestion.min_dialogues=20"),
    "generation": Group(GenerationParameters, "generate", "generation.dialogues.balanced=300"),
    "validation": Group(ValidationParameters, "generate", "validation.max_words=60"),
    "encoding": Group(EncodingParameters, "augment", "encoding.max_tokens=64"),
    "adaptation": Group(AdaptationParameters, "augment", "adaptation.epochs=2"),
    "experiment": Group(ExperimentParameters, "augment", "experiment.real_fraction=0.1"),
    "training": Group(TrainingParameters, "augment", "training.contextual.steps=200"),
    "tuning": Group(TuningParameters, "tune", "tuning.trials=60"),
    "study": Group(StudyParameters, "study", "study.confirmatory.n_seeds=5"),
    "release": Group(ReleaseParameters, "release", "release.licence=cc-by-sa-4.0"),
}
RECIPES = Group(Recipe, "augment", "augmented.ratio=0.2")

HEAD = f"""# Configuration

Generated from the parameter classes and `conf/base` by `make docs`: do not edit.

Ways to change a parameter, the later ones win:

1. `conf/base/parameters_*.yml`: the project's defaults, under version control.
2. `conf/<env>/parameters.yml` with `--env=<env>`; without `--env`, `conf/local/parameters.yml`,
   which git ignores. State only what differs.
3. `--params` for one run, several values with commas between them.

A path is the corpus, the group, the name: `{CORPUS}.experiment.n_seeds`; the tables leave out
`{CORPUS}.`. An unknown name, a value of another type or out of range, and a path that no node of
the run reads are refused before anything runs. Each command below changes one value.

Defaults are MELD's. EmoryNLP and IEMOCAP have numbers of dialogues, definitions, register, manner
and attributes of their own, and mix in all dialogues (`augmented.amount` 1.0, `loss_weight` 0.05):
`conf/base/parameters_<corpus>.yml`.
"""

RECIPES_HEAD = """## Recipes of the arms

One group per arm. All but `real`, `extra`, `schedule` and `first_share` may be given only where
`extra` is `synthetic`; elsewhere they would have no effect and are refused."""

LAYERS_HEAD = """## Environments

What each overlay of `conf/` changes of the parameters; the rest is as in `conf/base`. `cluster`
also names other services, in `catalog.yml`, `credentials.yml` and `mlflow.yml`.
"""

CATALOG_HEAD = """## Where things lie

Every dataset of the catalog (`conf/base/catalog_*.yml`). `{corpus}`, `{arm}`, ... stand for any
name. To change one, repeat its entry under its full name in `conf/local/catalog.yml`.

| dataset | type | place |
|---|---|---|"""

MLFLOW = """## MLflow

`conf/base/mlflow.yml`. The store is `mlflow_tracking_uri` there if it is set, else the environment
variable `MLFLOW_TRACKING_URI`, else `mlflow.db` and `mlartifacts/` in the project.

## Secrets

Credentials belong into `conf/local/credentials.yml`, which git ignores. Their values, and those of
environment variables named like a key, token, secret or password, are hidden in log lines, errors,
tags, parameters and artifacts.
"""


def generate() -> str:
    """Return the page."""
    defaults = load("base")[CORPUS]
    if unknown := defaults.keys() ^ {*GROUPS, *ARMS}:
        raise SystemExit(f"GROUPS and conf/base differ in: {', '.join(sorted(unknown))}")
    parts = [HEAD]
    for name, group in GROUPS.items():
        parts += [f"## {name}", "", _summary(group.type), "", _command(group), ""]
        parts += [_table(("parameter", "type and range", "default", "meaning"))]
        parts += [_row(row) for row in _rows(name, group.type, defaults[name])] + [""]
    parts += [RECIPES_HEAD, "", _command(RECIPES), ""]
    parts += [_table(("parameter", "type and range", *ARMS, "meaning")), *_recipes(defaults), ""]
    parts.append(LAYERS_HEAD)
    for file in sorted((ROOT / "conf").glob("*/parameters.yml")):
        if (env := file.parent.name) != "local":
            values = yaml.safe_load(file.read_text("utf-8"))
            changes = [f"    {path}: {value}" for path, value in _leaves(values)]
            command = f"`kedro run --pipeline=augment_{CORPUS} --env={env}`"
            parts += [command, "", *changes, ""]
    return "\n".join([*parts, _catalog(), MLFLOW])


def load(env: str) -> dict[str, Any]:
    """Return the parameters of an environment, merged over conf/base."""
    loader = OmegaConfigLoader(
        str(ROOT / "conf"), base_env="base", default_run_env=env,
        merge_strategy={"parameters": "soft"},
    )  # fmt: skip
    return dict(loader["parameters"])


def _command(group: Group) -> str:
    return f"    kedro run --pipeline={group.pipeline}_{CORPUS} --params={CORPUS}.{group.change}"


def _table(headings: Sequence[str]) -> str:
    return f"{_row(headings)}\n{'|---' * len(headings)}|"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _recipes(defaults: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line per field of a recipe, with the default of every arm."""
    rows = {arm: list(_rows(arm, Recipe, defaults[arm])) for arm in ARMS}
    for name, same in zip(Recipe.model_fields, zip(*rows.values(), strict=True), strict=True):
        values = [
            "" if name in Recipe(**defaults[arm]).idle else row[2]
            for arm, row in zip(ARMS, same, strict=True)
        ]
        yield _row([f"`<arm>.{name}`", same[0][1], *values, same[0][3]])


def _rows(path: str, kind: type[ParameterGroup], defaults: Any) -> Iterator[tuple[str, ...]]:
    """Yield a row per parameter, those of nested groups in their place."""
    schema = kind.model_json_schema()
    meanings = _meanings(kind)
    for name, field in kind.model_fields.items():
        nested = field.annotation
        if inspect.isclass(nested) and issubclass(nested, ParameterGroup):
            yield from _rows(f"{path}.{name}", nested, defaults[name])
            continue
        if name in defaults:
            default = _shown(defaults[name])
        else:
            default = "required" if field.is_required() else _shown(field.default)
        meaning = meanings.get(name, "") + _of_items(nested)
        yield f"`{path}.{name}`", _type(schema["properties"][name], schema), default, meaning


def _of_items(annotation: Any) -> str:
    """Say what the entries of a list of groups hold."""
    kinds = [a for a in get_args(annotation) if inspect.isclass(a)]
    return "".join(
        f" Each: {_summary(kind)[0].lower()}{_summary(kind)[1:]}"
        for kind in kinds
        if issubclass(kind, ParameterGroup)
    )


def _summary(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


def _meanings(kind: type) -> dict[str, str]:
    """Return what the docstrings of a class and its bases say of each attribute."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        _, _, block = inspect.cleandoc(one.__doc__ or "").partition("Attributes:\n")
        for entry in re.split(r"\n(?=    \w)", block):
            name, _, text = entry.strip().partition(": ")
            if text:
                found[name] = " ".join(text.split()).replace("|", r"\|")
    return found


_BOUNDS = {
    "minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}",
    "minItems": "at least {} entries",
}  # fmt: skip
_NAMES = {"number": "number", "integer": "whole number", "boolean": "true or false"}
_NAMES |= {"string": "text", "null": "null"}


def _type(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """Return a JSON schema in words."""
    if "$ref" in schema:
        return _type(root["$defs"][schema["$ref"].rsplit("/", maxsplit=1)[-1]], root)
    if "anyOf" in schema:
        return " or ".join(_type(part, root) for part in schema["anyOf"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "object" and "properties" in schema:
        own = (f"{name}: {_type(part, root)}" for name, part in schema["properties"].items())
        return f"{{{'; '.join(own)}}}"
    bounds = [text.format(f"{schema[key]:g}") for key, text in _BOUNDS.items() if key in schema]
    if schema["type"] == "object":
        text = f"name → {_type(schema['additionalProperties'], root)}"
    elif schema["type"] == "array":
        text = f"list of {_type(schema['items'], root)}"
    else:
        text = _NAMES[schema["type"]]
    return ", ".join([text, *bounds])


def _shown(value: Any) -> str:
    if value in ({}, []):
        return "none"
    if isinstance(value, Mapping) and not all(isinstance(v, int | float) for v in value.values()):
        return f"{len(value)} entries, see `conf/base`"
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
    return f"`{text.removesuffix(chr(10)).removesuffix('...').strip()}`"


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _shown(value).strip("`")


def _catalog() -> str:
    rows = []
    for file in sorted((ROOT / "conf" / "base").glob("catalog*.yml")):
        for name, entry in yaml.safe_load(file.read_text("utf-8")).items():
            place = entry.get("filepath") or entry.get("path")
            other = f"back-end {entry['backend']}" if "backend" in entry else "the corpus's bank"
            shown = f"`{place}`" if place else other
            rows.append(f"| `{name}` | {entry['type'].rsplit('.', maxsplit=1)[-1]} | {shown} |")
    return "\n".join([CATALOG_HEAD, *rows]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(generate(), encoding="utf-8")
