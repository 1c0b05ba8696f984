"""What of each dataset goes to MLflow, and under which name."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from erc_kedro.core.experiment import AUGMENTED
from erc_kedro.core.prompts import load_template
from erc_kedro.hooks.search_records import SEARCH_RECORDS
from erc_kedro.tracking.lineage import dataset_input
from erc_kedro.tracking.runs import (
    ExperimentRuns,
    arm_metrics,
    comparison_metrics,
    validation_metrics,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Record = Callable[[ExperimentRuns, str, Any], None]
"""Logs a value to a run, given by its id."""


def _metrics(runs: ExperimentRuns, run_id: str, metrics: dict[str, Any]) -> None:
    from erc_kedro.reporting.figures import draw_confusions, draw_f1_by_emotion

    arm = runs.arm_of(run_id)
    runs.log_metrics(run_id, arm_metrics(metrics))
    runs.describe_arm(arm, metrics)
    runs.log_json(run_id, metrics, "metrics.json")
    _figure(runs, run_id, draw_confusions({arm: metrics["confusion"]}), "confusion")
    confusion = metrics["confusion"]
    support = {
        emotion: sum(row)
        for emotion, row in zip(confusion["emotions"], confusion["utterances"], strict=True)
    }
    f1 = draw_f1_by_emotion({arm: metrics["metrics"]}, support)
    _figure(runs, run_id, f1, "f1_by_emotion")


def _mixture(runs: ExperimentRuns, run_id: str, mixture: dict[str, Any]) -> None:
    emotions = {f"train_{name}": n for name, n in mixture["emotions"].items()}
    numbers = {
        f"train_{key}": n for key, n in mixture.items() if key not in {"emotions", "real_fraction"}
    }
    runs.log_metrics(run_id, numbers | emotions)


def _training_history(runs: ExperimentRuns, run_id: str, history: pd.DataFrame) -> None:
    from erc_kedro.reporting.figures import draw_training_curves

    loss = history.groupby("step")["loss"].mean()
    runs.log_metrics(run_id, {"optimiser_steps": len(loss)}, {"loss": loss.tolist()})
    curves = draw_training_curves({runs.arm_of(run_id): history})
    _figure(runs, run_id, curves, "training_curves")


def _validation_report(runs: ExperimentRuns, run_id: str, report: dict[str, Any]) -> None:
    runs.log_metrics(run_id, validation_metrics(report))
    runs.log_json(run_id, report, "validation/validation_report.json")


def _corpus_report(runs: ExperimentRuns, run_id: str, report: dict[str, Any]) -> None:
    runs.log_json(run_id, report, "validation/corpus_report.json")


def _data_docs(runs: ExperimentRuns, run_id: str, pages: Mapping[str, str]) -> None:
    for path, page in pages.items():
        runs.log_text(run_id, page, f"validation/data_docs/{path}")


def _candidates(runs: ExperimentRuns, run_id: str, candidates: list[dict[str, Any]]) -> None:
    for candidate in candidates[:1]:
        request = candidate["request"]
        name = request["template"]
        runs.log_text(run_id, load_template(name), f"generation/{name}.jinja")
        said = f"# System\n\n{request['system']}\n\n# User\n\n{request['user']}\n"
        runs.log_text(run_id, said, "generation/first_request.md")


def _generation_report(runs: ExperimentRuns, run_id: str, report: dict[str, Any]) -> None:
    runs.log_json(run_id, report, "generation/generation_report.json")


def _preview(runs: ExperimentRuns, run_id: str, page: str) -> None:
    runs.log_text(run_id, page, "generation/preview.md")


def _comparison(runs: ExperimentRuns, run_id: str, comparison: dict[str, Any]) -> None:
    runs.log_metrics(run_id, comparison_metrics(comparison))
    runs.log_json(run_id, comparison, "comparison.json")


def _result_table(runs: ExperimentRuns, run_id: str, table: pd.DataFrame) -> None:
    shown = table.drop(columns=["corpus", "corpus_source", "real_fraction", "seeds"])  # parameters
    runs.log_table(run_id, shown.round(3), "result_table.json")


def _style_shift(runs: ExperimentRuns, run_id: str, style: dict[str, Any]) -> None:
    auc = {f"style_auc_{by}": value for by, value in style["auc"].items() if value is not None}
    runs.log_metrics(run_id, auc)
    runs.log_json(run_id, style, "style_shift.json")


def _verdicts(runs: ExperimentRuns, run_id: str, verdicts: pd.DataFrame) -> None:
    if verdicts["confidence"].notna().any():
        runs.log_metrics(run_id, {"verifier_confidence": verdicts["confidence"].mean()})


def _report(runs: ExperimentRuns, run_id: str, page: str) -> None:
    runs.log_text(run_id, page, "report.html")


def _release(runs: ExperimentRuns, run_id: str, files: Mapping[str, bytes]) -> None:
    runs.log_text(run_id, files["README.md"].decode(), "release/README.md")
    for path, content in files.items():
        if path.startswith("figures/"):
            runs.log_bytes(run_id, content, f"release/{path}")


def _release_measures(runs: ExperimentRuns, run_id: str, measures: dict[str, Any]) -> None:
    runs.log_json(run_id, measures, "release/measures.json")


def _figure(runs: ExperimentRuns, run_id: str, figure: "Figure", name: str) -> None:
    from erc_kedro.reporting.images import png_of, svg_of

    runs.log_bytes(run_id, png_of(figure), f"figures/{name}.png")
    if run_id == runs.parent_id:  # an arm's own figures are there to be looked at in passing
        runs.log_text(run_id, svg_of(figure), f"figures/{name}.svg")


RECORDS: Mapping[str, Record] = {
    "candidates": _candidates,
    "comparison": _comparison,
    "corpus_report": _corpus_report,
    "data_docs": _data_docs,
    "generation_report": _generation_report,
    "metrics": _metrics,
    "mixture": _mixture,
    "preview": _preview,
    "release": _release,
    "release_measures": _release_measures,
    "report": _report,
    "result_table": _result_table,
    "style_shift": _style_shift,
    "training_history": _training_history,
    "validation_report": _validation_report,
    "verdicts": _verdicts,
    **SEARCH_RECORDS,
}
"""By the last part of the dataset's name; most datasets need no entry: the catalog keeps them."""

_CONTEXTS = {
    "train_dialogues": "training",
    "dev_dialogues": "validation",
    "test_dialogues": "testing",
    "synthetic_dialogues": "training",
    "training_sets": "training",
}


def record(runs: ExperimentRuns, run_id: str, name: str, value: Any, source: str) -> None:
    """Log a dataset's value to a run, if it is one of those that MLflow should have.

    Args:
        runs: Of the experiment.
        run_id: The arm's run, or the parent.
        name: The dataset's name, such as "<corpus>.augmented.metrics".
        value: What the node returned.
        source: Where the catalog keeps it.
    """
    kind = name.rsplit(".", maxsplit=1)[-1]
    if kind in RECORDS:
        RECORDS[kind](runs, run_id, value)
    elif kind in _CONTEXTS:
        own = name.replace(".", "_").removesuffix("_dialogues")
        entry = dataset_input(value, name=own, context=_CONTEXTS[kind], source=source)
        runs.log_inputs(run_id, [entry])
    elif kind.endswith("_figure"):
        _figure(runs, run_id, value, kind.removesuffix("_figure"))


MODEL_PARTS = {"classifiers", "training", "corpus_card"}
"""What an arm's model is made of, by the last part of the dataset's name."""


def record_model(run_id: str, arm: str, parts: dict[str, Any], *, registers: bool) -> None:
    """Log an arm's classifiers as one model, if all its parts are there."""
    if parts.keys() < MODEL_PARTS:
        return
    from erc_kedro.serving.log import log_classifier

    card = parts["corpus_card"]
    official = card["corpus_source"] == "official"
    name = card["corpus"] if official else f"{card['corpus']}-{card['corpus_source']}"
    registered = name if registers and arm == AUGMENTED else None
    log_classifier(run_id, **parts, arm=arm, registered_name=registered)


_SHARED_PARAMETERS = (
    ("experiment", "real_fraction"),
    ("experiment", "n_seeds"),
    ("encoding", "encoder"),
    ("training", "classifier"),
)


def shared_parameters(corpus: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what every arm is logged with, so that arms of several runs can be told apart."""
    return {
        key: values[f"{corpus}.{group}"][key]
        for group, key in _SHARED_PARAMETERS
        if f"{corpus}.{group}" in values
    }
