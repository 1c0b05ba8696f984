"""Kedro hooks: they observe and report; no node knows of them."""

from erc_kedro.hooks.on_screen import OnScreen
from erc_kedro.hooks.one_at_a_time import OneAtATime
from erc_kedro.hooks.tracking import ExperimentTracking
from erc_kedro.hooks.user_errors import UserErrors

__all__ = ["ExperimentTracking", "OnScreen", "OneAtATime", "UserErrors"]
