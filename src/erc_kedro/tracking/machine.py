"""MLflow's monitor of the machine, which never keeps a run from ending."""

import logging
from threading import Thread

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

logger = logging.getLogger(__name__)

PATIENCE = 20.0
"""Seconds to wait for the last metrics of the machine."""


class MachineMonitor(SystemMetricsMonitor):
    """Logs CPU, memory and GPU of a run, and gives up on what does not end.

    The monitor's thread imports modules of its own; a stop from the keyboard that hits the main
    thread while it imports can leave the interpreter's import lock taken for all other threads, and
    waiting for the monitor would take for ever.
    """

    def finish(self) -> None:
        """Stop, and wait `PATIENCE` seconds at most."""
        ending = Thread(target=super().finish, daemon=True)
        ending.start()
        ending.join(PATIENCE)
        if ending.is_alive():
            logger.warning("The last metrics of the machine are missing: its monitor does not end.")
