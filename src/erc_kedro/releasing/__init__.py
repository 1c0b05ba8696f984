"""Releasing: released data sets kept in a folder of the repository, one folder per corpus."""

from erc_kedro.releasing.card import make_card
from erc_kedro.releasing.folder import copy_release

__all__ = ["copy_release", "make_card"]
