"""Two tiny classifiers trained by the pipeline's own nodes, and an MLflow store to log them to."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from erc_kedro.core.mixing import Recipe
from erc_kedro.modelling.classifier_store import ClassifierStore
from erc_kedro.modelling.encoder_store import EncoderStore
from erc_kedro.modelling.features import FeatureStore
from erc_kedro.pipelines.encoding.nodes import adapt, encode
from erc_kedro.pipelines.encoding.parameters import AdaptationParameters, EncodingParameters
from erc_kedro.pipelines.training.nodes import predict, train
from erc_kedro.pipelines.training.parameters import TrainingParameters
from erc_kedro.serving.log import log_classifier
from tests.builders import EMOTIONS, table_of_lengths
from tests.modelling.conftest import ADAPTATION, WORDS, save_bert

CARD = {
    "corpus": "toy",
    "corpus_source": "sample",
    "digest": "0123456789abcdef",
    "emotions": list(EMOTIONS),
}
OBJECTIVE = {"class_weight_power": 0.25, "prior_correction": True, "prior_smoothing": 1.0}
CONTEXTUAL = {
    "steps": 8, "step_scaling": 0.0, "batch_dialogues": 8, "width": 8, "kernel": 3,
    "input_dropout": 0.1, "context_dropout": 0.1, "output_dropout": 0.1, "learning_rate": 1e-2,
    "weight_decay": 0.0, "average_decay": 0.9, "clip_norm": 1.0,
}  # fmt: skip
FINETUNED = {
    "context_turns": 2, "max_tokens": 32, "steps": 3, "step_scaling": 0.0, "batch_utterances": 8,
    "learning_rate": 1e-3, "head_learning_rate": 1e-2, "weight_decay": 0.0, "warmup": 0.1,
    "dropout": 0.1, "clip_norm": 1.0, "precision": "float32",
}  # fmt: skip


@dataclass
class Trained:
    """An arm's classifiers, all that is needed to log them, and what they predict of test."""

    classifiers: dict[str, Any]
    training: TrainingParameters
    test: pd.DataFrame
    predictions: pd.DataFrame

    def log(self, registered_name: str | None = None, **features: Any) -> str:
        """Log them to a new run; return the model's address."""
        run = MlflowClient().create_run(experiment())
        known = self.classifiers | {"features": self.classifiers["features"] | features}
        return log_classifier(
            run.info.run_id, known, self.training, CARD, "augmented", registered_name
        )

    @property
    def request(self) -> pd.DataFrame:
        return self.test[["dialogue_id", "turn", "speaker", "text"]]

    @property
    def expected(self) -> pd.DataFrame:
        """The mean of the seeds' probabilities, in the order of `test`."""
        columns = [f"p_{name}" for name in EMOTIONS]
        means = self.predictions.groupby(["dialogue_id", "turn"])[columns].mean()
        return means.loc[list(zip(self.test["dialogue_id"], self.test["turn"], strict=True))]


def experiment() -> str:
    client = MlflowClient()
    found = client.get_experiment_by_name("serving")
    return found.experiment_id if found else client.create_experiment("serving")


@pytest.fixture(scope="session")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a new MLflow store."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture(autouse=True, scope="module")
def _tracked(tracking: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(tracking)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("cwd"))  # where MLflow puts artifacts
        patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        yield
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("bert"), seed=0)


def words_of(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Give every row a text of words that the tiny encoder knows."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, size=rng.integers(1, 9))) for _ in range(len(table))]
    return table.assign(text=texts)


def train_tiny(
    classifier: str, bert: Path, folder: Path, *, adapted: bool = False, own_encoder: bool = False
) -> Trained:
    seeds, recipe = (0, 1), Recipe(extra="synthetic", adapted=adapted)
    real = words_of(table_of_lengths("train", [3, 5, 2, 7, 4, 6]), seed=0)
    test = words_of(table_of_lengths("test", [4, 1, 6, 3]), seed=1)
    encoding = EncodingParameters(
        encoder=str(bert), poolings=[{"layer": 1, "how": "mean"}, {"layer": -1, "how": "max"}],
        max_tokens=16, device="auto", precision="auto",
    )  # fmt: skip
    training = TrainingParameters(
        classifier=classifier, device="auto", objective=OBJECTIVE,
        contextual=CONTEXTUAL | {"own_encoder": own_encoder},
        finetuned=FINETUNED | {"encoder": str(bert)},
    )  # fmt: skip
    adaptation = AdaptationParameters(
        **ADAPTATION | {"device": "auto"}, poolings=[{"layer": 2, "how": "mean"}]
    )
    synthetic = words_of(table_of_lengths("syn", [4, 6, 5], source="synthetic"), seed=2)
    shared = (CARD, EncoderStore(folder / "encoders"), adaptation, encoding, training)
    encoder = adapt(synthetic, {}, *shared, augmented=recipe)
    texts = pd.concat([real["text"], test["text"]]).drop_duplicates().to_frame()
    features = encode(texts, FeatureStore(folder / "features"), encoder, encoding, adaptation)
    reals = pd.concat([real.assign(seed=seed) for seed in seeds], ignore_index=True)
    store = ClassifierStore(folder / "classifiers")
    asked = (features, CARD, training, recipe)
    classifiers, _ = train(reals.assign(weight=1.0), reals, *asked, store)
    held_out = test.drop(columns="emotion").assign(split="test")
    predictions = predict(classifiers, features, held_out, CARD, training, recipe)
    return Trained(classifiers, training, test, predictions)


@pytest.fixture(scope="session")
def trained(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_tiny("contextual", bert, tmp_path_factory.mktemp("contextual"))


@pytest.fixture(scope="session")
def finetuned(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_tiny("finetuned", bert, tmp_path_factory.mktemp("finetuned"))


@pytest.fixture(scope="module")
def uri(trained: Trained) -> str:
    return trained.log()


@pytest.fixture(scope="module")
def model(uri: str) -> Any:
    return mlflow.pyfunc.load_model(uri)
