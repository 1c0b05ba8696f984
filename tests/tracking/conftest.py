"""One MLflow store in an SQLite file for all tests here."""

import pytest
from mlflow import MlflowClient


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    folder = tmp_path_factory.mktemp("mlflow")
    return MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture(scope="session")
def experiment(client: MlflowClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    artifacts = tmp_path_factory.mktemp("artifacts")
    return str(client.create_experiment("toy", artifact_location=artifacts.as_uri()))


@pytest.fixture
def parent(client: MlflowClient, experiment: str) -> str:
    return str(client.create_run(experiment, tags={"mlflow.user": "ann"}).info.run_id)
