"""Tests; properties run without a time limit per example, since busy machines are slow."""

from hypothesis import settings

settings.register_profile("erc", deadline=None)
settings.load_profile("erc")
