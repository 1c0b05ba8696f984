"""Parameters of training, the same for every arm."""

from erc_kedro.modelling.settings import ClassifierSettings

TrainingParameters = ClassifierSettings
"""Which classifier is trained, and how; tuning reads the same group."""
