"""What MLflow is told beyond what kedro-mlflow tells it: child runs, metrics, provenance."""
