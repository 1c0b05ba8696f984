"""Kedro datasets of the project: where an outside thing enters the catalog, and whole files."""

from erc_kedro.datasets.figure import FigureDataset
from erc_kedro.datasets.folder import FolderDataset
from erc_kedro.datasets.language_model import LanguageModelDataset
from erc_kedro.datasets.raw_corpus import OtherCorporaDataset, RawCorpusDataset
from erc_kedro.datasets.second_labels import SecondLabelsDataset
from erc_kedro.datasets.stores import (
    CellStoreDataset,
    ClassifierStoreDataset,
    EncoderStoreDataset,
    FeatureStoreDataset,
)
from erc_kedro.datasets.study_storage import StudyStorageDataset
from erc_kedro.datasets.whole_files import CSVDataset, JSONDataset, ParquetDataset, TextDataset

__all__ = [
    "CSVDataset",
    "CellStoreDataset",
    "ClassifierStoreDataset",
    "EncoderStoreDataset",
    "FeatureStoreDataset",
    "FigureDataset",
    "FolderDataset",
    "JSONDataset",
    "LanguageModelDataset",
    "OtherCorporaDataset",
    "ParquetDataset",
    "RawCorpusDataset",
    "SecondLabelsDataset",
    "StudyStorageDataset",
    "TextDataset",
]
