"""Kedro datasets of the project: where an outside thing enters the catalog."""

from erc_kedro.datasets.classifiers import ClassifiersDataset
from erc_kedro.datasets.feature_store import FeatureStoreDataset
from erc_kedro.datasets.language_model import LanguageModelDataset
from erc_kedro.datasets.raw_corpus import RawCorpusDataset

__all__ = [
    "ClassifiersDataset",
    "FeatureStoreDataset",
    "LanguageModelDataset",
    "RawCorpusDataset",
]
