"""Parameters of training, the same for every arm."""

from erc_kedro.modelling.settings import ClassifierSettings


class TrainingParameters(ClassifierSettings):
    """Which classifier is trained, and how: see `modelling.settings.ClassifierSettings`."""
