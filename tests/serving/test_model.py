"""The model as MLflow loads it: what it answers, and what it refuses."""

import json
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from erc_kedro.core.errors import UserError
from erc_kedro.modelling import own_encoder
from erc_kedro.serving.settings import ServedSettings
from tests.builders import EMOTIONS
from tests.modelling.conftest import save_bert
from tests.serving.conftest import Trained, experiment, train_tiny

PROBABILITIES = [f"p_{name}" for name in EMOTIONS]


def test_it_answers_with_the_mean_of_the_seeds_that_the_pipeline_predicts(
    model: Any, trained: Trained
) -> None:
    answer = model.predict(trained.request)
    assert list(answer.columns) == ["dialogue_id", "turn", "emotion", *PROBABILITIES]
    assert np.abs(answer[PROBABILITIES].to_numpy() - trained.expected.to_numpy()).max() < 1e-6
    likeliest = np.array(EMOTIONS)[trained.expected.to_numpy().argmax(1)]
    assert answer["emotion"].tolist() == likeliest.tolist()


def test_the_fine_tuned_encoder_answers_the_same_way(finetuned: Trained) -> None:
    answer = mlflow.pyfunc.load_model(finetuned.log()).predict(finetuned.request)
    assert np.abs(answer[PROBABILITIES].to_numpy() - finetuned.expected.to_numpy()).max() < 1e-6


def test_rows_may_come_in_any_order_and_are_answered_in_it(model: Any, trained: Trained) -> None:
    mixed = trained.request.sample(frac=1, random_state=1)
    answer = model.predict(mixed)
    assert answer.index.tolist() == mixed.index.tolist()
    assert answer[["dialogue_id", "turn"]].equals(mixed[["dialogue_id", "turn"]])
    known = trained.expected.loc[list(zip(mixed["dialogue_id"], mixed["turn"], strict=True))]
    assert np.abs(answer[PROBABILITIES].to_numpy() - known.to_numpy()).max() < 1e-6


def test_each_dialogue_is_answered_as_if_it_came_alone(model: Any, trained: Trained) -> None:
    together = model.predict(trained.request.sort_values(["turn", "dialogue_id"]))
    for dialogue_id, own in trained.request.groupby("dialogue_id"):
        alone = model.predict(own)[PROBABILITIES].to_numpy()
        found = together[together["dialogue_id"] == dialogue_id].sort_values("turn")
        assert np.abs(found[PROBABILITIES].to_numpy() - alone).max() < 1e-6


def test_texts_are_normalised_as_corpora_are(model: Any, trained: Trained) -> None:
    request = trained.request
    spread = request.assign(text="  " + request["text"].str.replace(" ", " \u00a0 "))
    assert model.predict(spread).equals(model.predict(request))


def test_requests_side_by_side_are_answered_alike(model: Any, trained: Trained) -> None:
    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(model.predict, [trained.request] * 8)
    assert all(other.equals(first) for other in others)


def changed(request: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """Return a request whose second row is changed."""
    request = request.astype({name: "object" for name in values if name != "turn"})
    for name, value in values.items():
        request.loc[1, name] = value
    return request


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"text": " \u00a0 "}, "text that is not blank"),
        ({"text": None}, "text is missing"),
        ({"text": "half a pair: \ud83d"}, "valid Unicode"),
        ({"speaker": None}, "speaker is missing"),
        ({"dialogue_id": None}, "dialogue_id is missing"),
        ({"turn": 0}, "turn stands twice"),
    ],
)
def test_a_bad_row_is_refused_and_named(
    model: Any, trained: Trained, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(MlflowException, match=message) as caught:
        model.predict(changed(trained.request, **values))
    assert caught.value.get_http_status_code() == 400
    assert "row 0" in str(caught.value) if "turn" in values else "row 1" in str(caught.value)
    assert "what to do" in str(caught.value)


def test_a_request_without_rows_or_a_column_is_refused(model: Any, trained: Trained) -> None:
    with pytest.raises(MlflowException, match="The request is empty") as caught:
        model.predict(trained.request.iloc[:0])
    assert caught.value.get_http_status_code() == 400
    with pytest.raises(MlflowException, match="speaker") as caught:
        model.predict(trained.request.drop(columns="speaker"))
    assert caught.value.get_http_status_code() == 400


def test_its_example_is_a_good_request(model: Any) -> None:
    assert len(model.predict(model.input_example)) == len(model.input_example)


def test_it_belongs_to_its_run_from_any_thread_without_an_active_run(trained: Trained) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: trained.log(), range(2))
    assert first != second
    client = MlflowClient()
    for address in (first, second):
        logged = client.get_logged_model(address.removeprefix("models:/"))
        assert logged.experiment_id == experiment() != "0"
        assert logged.name == "classifier"
        assert logged.status == "READY"
        assert logged.tags["arm"] == "augmented"
        run = client.get_run(logged.source_run_id)
        assert [own.model_id for own in run.outputs.model_outputs] == [logged.model_id]
    assert mlflow.active_run() is None


def test_it_can_be_registered(trained: Trained) -> None:
    address = trained.log("toy_augmented")
    version = MlflowClient().get_model_version("toy_augmented", "1")
    assert version.source == address
    assert mlflow.pyfunc.load_model("models:/toy_augmented/1").predict(trained.request).size


def test_an_encoder_with_other_weights_is_refused(
    trained: Trained, bert: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(bert, tmp_path / "bert")
    address = trained.log(encoder=str(copied))
    expected = mlflow.pyfunc.load_model(address).predict(trained.request)
    assert np.abs(expected[PROBABILITIES].to_numpy() - trained.expected.to_numpy()).max() < 1e-6
    save_bert(copied, seed=1)
    with pytest.raises(UserError, match="not the one that the classifiers were trained with"):
        mlflow.pyfunc.load_model(address)


@pytest.mark.parametrize("classifier", ["contextual", "finetuned"])
def test_an_adapted_encoder_lies_in_the_model(classifier: str, bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    adapted = train_tiny(classifier, bert, folder, adapted=True)
    assert not adapted.predictions.equals(train_tiny(classifier, bert, tmp_path).predictions)
    address = adapted.log()
    shutil.rmtree(folder)  # classifiers, encoders and features
    answer = mlflow.pyfunc.load_model(address).predict(adapted.request)
    assert np.abs(answer[PROBABILITIES].to_numpy() - adapted.expected.to_numpy()).max() < 1e-6
    logged = MlflowClient().get_logged_model(address.removeprefix("models:/"))
    [place] = Path(logged.artifact_location.removeprefix("file://")).rglob("adaptation.about")
    save_bert(place.parent, seed=1)
    with pytest.raises(UserError, match="not the one that the classifiers were trained with"):
        mlflow.pyfunc.load_model(address)


def test_own_encoders_of_classifiers_lie_in_the_model(bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    own = train_tiny("contextual", bert, folder, own_encoder=True)
    assert not own.predictions.equals(train_tiny("contextual", bert, tmp_path).predictions)
    address = own.log()
    shutil.rmtree(folder)
    for known in ("_ADAPTED", "_SAID"):
        setattr(own_encoder, known, own_encoder._Kept())
    answer = mlflow.pyfunc.load_model(address).predict(own.request)
    assert np.abs(answer[PROBABILITIES].to_numpy() - own.expected.to_numpy()).max() < 1e-6


@pytest.mark.parametrize(
    ("trained_in", "served_in"), [("float32", "float32"), ("bfloat16", "auto"), ("auto", "auto")]
)
def test_it_is_served_in_bfloat16_only_where_the_device_is_made_for_it(
    finetuned: Trained, trained: Trained, trained_in: str, served_in: str
) -> None:
    own = finetuned.training.finetuned.model_copy(update={"precision": trained_in})
    training = finetuned.training.model_copy(update={"finetuned": own})
    found = settings_of(replace(finetuned, training=training).log())
    assert found.training.finetuned.precision == served_in
    features = trained.classifiers["features"]
    given = {"adaptation": features["adaptation"] | {"precision": trained_in}}
    kind = trained.training.contextual.model_copy(update={"own_encoder": True})
    training = trained.training.model_copy(update={"contextual": kind})
    found = settings_of(replace(trained, training=training).log(**given, precision=trained_in))
    assert found.adaptation is not None
    assert (found.adaptation.precision, found.encoder.precision) == (served_in, served_in)


def settings_of(address: str) -> ServedSettings:
    logged = MlflowClient().get_logged_model(address.removeprefix("models:/"))
    [path] = Path(logged.artifact_location.removeprefix("file://")).rglob("settings.json")
    return ServedSettings.model_validate_json(path.read_text("utf-8"))


ISOLATED = """
import json, sys
sys.path.append(sys.argv[1])
try:
    import erc_kedro
    sys.exit("the package is installed here")
except ImportError:
    pass
import mlflow, pandas
mlflow.set_tracking_uri(sys.argv[2])
answer = mlflow.pyfunc.load_model(sys.argv[3]).predict(pandas.read_parquet(sys.argv[4]))
import erc_kedro
print(json.dumps([erc_kedro.__file__, answer.iloc[:, 3:].to_numpy().tolist()]))
"""


def test_it_brings_its_own_code_where_the_package_is_not_installed(
    uri: str, tracking: str, trained: Trained, tmp_path: Path
) -> None:
    trained.request.to_parquet(tmp_path / "request.parquet")
    place = sysconfig.get_path("purelib")
    done = subprocess.run(  # without site, the editable installation is not found
        [sys.executable, "-S", "-I", "-c", ISOLATED, place, tracking, uri,
         str(tmp_path / "request.parquet")],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    used, answer = json.loads(done.stdout.splitlines()[-1])
    folder = Path(mlflow.artifacts.download_artifacts(uri))
    assert Path(used) == folder / "code" / "erc_kedro" / "__init__.py"
    assert np.abs(np.array(answer) - trained.expected.to_numpy()).max() < 1e-6
    assert not list(folder.rglob("bank")) and not list(folder.rglob("*.csv"))
