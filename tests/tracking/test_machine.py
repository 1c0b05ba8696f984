"""The monitor of the machine: it logs, and it never keeps a run from ending."""

import logging
import time
from collections.abc import Iterator
from threading import Event, Thread

import mlflow
import pytest
from mlflow import MlflowClient

from erc_kedro.tracking import machine
from erc_kedro.tracking.machine import MachineMonitor


@pytest.fixture
def monitor(client: MlflowClient, parent: str) -> Iterator[MachineMonitor]:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(client.tracking_uri)
    started = MachineMonitor(parent, sampling_interval=0.05, samples_before_logging=1)
    started.start()
    yield started
    mlflow.set_tracking_uri(before)


def test_the_machine_is_logged_until_the_end(
    client: MlflowClient, parent: str, monitor: MachineMonitor
) -> None:
    for _ in range(200):
        metrics = client.get_run(parent).data.metrics
        if metrics:
            break
        time.sleep(0.05)
    monitor.finish()
    assert any(name.startswith("system/") for name in metrics)


def test_a_monitor_that_does_not_end_is_given_up(
    monitor: MachineMonitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    released = Event()
    monkeypatch.setattr(machine, "PATIENCE", 0.2)
    own, monitor._process = monitor._process, Thread(target=released.wait, daemon=True)
    monitor._process.start()
    try:
        with caplog.at_level(logging.WARNING):
            monitor.finish()
        assert "does not end" in caplog.text
    finally:
        released.set()
        own.join()
