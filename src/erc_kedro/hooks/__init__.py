"""Kedro hooks: they observe and report; no node knows of them."""

from erc_kedro.hooks.report import RunReport
from erc_kedro.hooks.tracking import ExperimentTracking
from erc_kedro.hooks.user_errors import UserErrors

__all__ = ["ExperimentTracking", "RunReport", "UserErrors"]
