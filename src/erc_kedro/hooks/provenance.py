"""How the results at hand came about: kept beside them, also where they were made in parts."""

from collections.abc import Mapping
from typing import Any

from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from erc_kedro.tracking.provenance import command_line, flatten, repeat_command
from erc_kedro.tracking.secrets import Secrets

FROM_OUTSIDE = {
    "raw",
    "other_corpora",
    "language_model",
    "second_labels",
    "feature_store",
    "encoder_store",
    "classifier_store",
    "verifier_store",
    "diversity_store",
    "error_store",
    "provenance",
}
"""What enters an experiment from outside, by the last part of the dataset's name."""


def is_whole(corpus: str, pipeline: Pipeline) -> bool:
    """Return whether a run makes a comparison, and everything that it rests on."""
    inputs = {name for name in pipeline.inputs() if not name.startswith("params:")}
    given = {name.rsplit(".", maxsplit=1)[-1] for name in inputs}
    return f"{corpus}.comparison" in pipeline.all_outputs() and given <= FROM_OUTSIDE


def how_to_repeat(corpus: str, run_params: dict[str, Any], pipeline: Pipeline) -> str:
    """Return, for the run's page, where all of it stands and what command makes it again."""
    where = ""
    if f"{corpus}.report" in pipeline.all_outputs():
        where = "All of it: artifact `report.html`. "
    if is_whole(corpus, pipeline):
        return f"{where}To repeat it:\n\n    {repeat_command(run_params, corpus)}"
    return f"{where}Made in parts; the last one:\n\n    {command_line(run_params)}"


def tuned_command(summary: Mapping[str, Any], run_params: Mapping[str, Any]) -> str:
    """Return the command of the experiment with the recipe that a search proposes.

    Args:
        summary: As tuning's `propose_recipe` returns it.
        run_params: Of the search, as Kedro gives them: its environment and those of its --params
            that are not about tuning hold for the experiment too.
    """
    corpus = summary["corpus"]
    params = flatten(run_params.get("runtime_params") or {})
    own = {key: v for key, v in params.items() if not key.startswith(f"{corpus}.tuning.")}
    own |= flatten({corpus: summary["proposal"]["values"]})
    command = command_line(
        {
            "pipeline_names": [f"augment_{corpus}"],
            "env": run_params.get("env"),
            "runtime_params": own,
        }
    )
    return command.replace("--pipelines=", "--pipeline=", 1)


def write_provenance(
    corpus: str,
    about: dict[str, Any],
    values: dict[str, Any],
    run_params: dict[str, Any],
    pipeline: Pipeline,
    catalog: CatalogProtocol,
    secrets: Secrets,
) -> None:
    """Write how the results came about: anew for a whole run, else what a part of it adds.

    Args:
        corpus: The corpus.
        about: Tags of the run.
        values: Parameter groups that the run reads.
        run_params: As Kedro gives them.
        pipeline: What runs.
        catalog: Where it is written.
        secrets: What is hidden.
    """
    name = f"{corpus}.provenance"
    own = {"parameters": flatten(values)}
    if is_whole(corpus, pipeline):
        found = about | own | {"kedro_command": repeat_command(run_params, corpus), "parts": []}
    elif catalog.exists(name):
        former = catalog.load(name)
        parts = [*former.get("parts", []), command_line(run_params)]
        parameters = {**former.get("parameters", {}), **own["parameters"]}
        found = former | {"parts": parts, "parameters": parameters}
    elif name in pipeline.inputs():
        found = about | own | {"kedro_command": None, "parts": [command_line(run_params)]}
    else:
        return
    for kind, output in (("release", "release"), ("study", "study_report")):
        if f"{corpus}.{output}" in pipeline.all_outputs():
            found[kind] = about | {"kedro_command": command_line(run_params)}
    catalog.save(name, secrets.hide_in(found))
