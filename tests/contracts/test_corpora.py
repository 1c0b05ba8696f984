"""What every corpus reader keeps, whatever its file layout: one class, every corpus."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from erc_kedro.core.corpus import SPLITS, Corpus, RawCorpus
from erc_kedro.core.dialogue import COLUMNS, normalise_text
from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import OTHER
from erc_kedro.core.overlap import TextIndex
from erc_kedro.corpora import CORPORA, find_corpus
from erc_kedro.corpora.folder import raw_digest, read_raw
from tests.corpora import iemocap_files
from tests.corpora.emory_files import write_emorynlp

SAMPLE_SIZES = {"meld": {"train": 120, "dev": 30, "test": 60}}

WITH_SAMPLE = [name for name, corpus in CORPORA.items() if corpus.sample is not None]

MADE = {
    ("emorynlp", "csv"): partial(write_emorynlp, layout="csv"),
    ("emorynlp", "json"): partial(write_emorynlp, layout="json"),
    ("iemocap", "official"): partial(iemocap_files.write_official, made=iemocap_files.scenes()),
    ("iemocap", "json"): partial(iemocap_files.write_json, made=iemocap_files.scenes()),
}
"""Corpus and layout, and what writes such files into a folder: for layouts without a sample."""

LAYOUTS = [(name, layout.name) for name, corpus in CORPORA.items() for layout in corpus.layouts]


@pytest.fixture(scope="module", params=CORPORA)
def corpus(request: pytest.FixtureRequest) -> Corpus:
    return CORPORA[request.param]


@pytest.fixture(scope="module", params=WITH_SAMPLE)
def sampled(request: pytest.FixtureRequest) -> Corpus:
    return CORPORA[request.param]


@pytest.fixture(scope="module")
def raw(sampled: Corpus, tmp_path_factory: pytest.TempPathFactory) -> RawCorpus:
    return read_raw(sampled, tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="module", params=LAYOUTS, ids="-".join)
def read(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The label set of a corpus, and what one of its layouts reads from a sample or made files."""
    name, layout_name = request.param
    own = CORPORA[name]
    [layout] = [layout for layout in own.layouts if layout.name == layout_name]
    folder = own.sample
    if write := MADE.get(request.param):
        folder = write(tmp_path_factory.mktemp("made"))
    assert folder is not None, "give the layout a fixture in MADE"
    return own.label_set, layout.read(folder)


@pytest.fixture(scope="module", params=SPLITS)
def table(request: pytest.FixtureRequest, read: Any) -> pd.DataFrame:
    return read[1][request.param][0]


class TestEveryCorpus:
    def test_has_the_name_it_is_listed_under(self, corpus: Corpus) -> None:
        assert find_corpus(corpus.name) is corpus
        assert corpus.label_set.name == corpus.name

    def test_gives_a_checksum_for_all_files_of_a_layout_or_for_none(self, corpus: Corpus) -> None:
        assert len({layout.name for layout in corpus.layouts}) == len(corpus.layouts) > 0
        for layout in corpus.layouts:
            assert layout.files
            assert set(layout.checksums) in (set(), set(layout.files))
            assert all(
                len(digest) == 64 and not set(digest) - set("0123456789abcdef")
                for digest in layout.checksums.values()
            )

    def test_says_where_its_files_are_had_and_their_licence(self, corpus: Corpus) -> None:
        assert (corpus.address is None) != (corpus.obtain is None)
        if corpus.address:
            assert corpus.address.startswith("https://")
            assert corpus.address.endswith("/")
            assert corpus.layouts[0].checksums
        assert corpus.licence

    def test_lists_each_emotion_once_and_neutral_among_them(self, corpus: Corpus) -> None:
        emotions = corpus.label_set.emotions
        assert len(set(emotions)) == len(emotions)
        assert corpus.label_set.neutral in emotions

    def test_without_files_and_a_sample_the_user_is_told_what_to_do(
        self, corpus: Corpus, tmp_path: Path
    ) -> None:
        with pytest.raises(UserError) as caught:
            read_raw(dataclasses.replace(corpus, sample=None), tmp_path)
        files = [name for layout in corpus.layouts for name in layout.files]
        for part in (str(tmp_path), "make data", corpus.licence, *files):
            assert part in str(caught.value)


class TestEverySample:
    def test_an_empty_folder_yields_the_sample(self, raw: RawCorpus, sampled: Corpus) -> None:
        assert raw.source == "sample"
        assert raw.name == sampled.name
        assert raw.label_set is sampled.label_set
        assert tuple(raw.splits) == SPLITS == tuple(raw.findings)

    def test_a_folder_that_is_not_there_yields_the_sample_too(
        self, sampled: Corpus, raw: RawCorpus, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        missing = tmp_path_factory.mktemp("x") / "not" / "there"
        assert read_raw(sampled, missing).digest == raw.digest == raw_digest(sampled, missing)
        assert not missing.exists()

    def test_reading_twice_gives_the_same(self, sampled: Corpus, raw: RawCorpus) -> None:
        assert sampled.sample is not None
        again = read_raw(sampled, sampled.sample / "no")
        for split in SPLITS:
            pd.testing.assert_frame_equal(again.splits[split], raw.splits[split])

    def test_the_sample_differs_from_the_official_files(self, sampled: Corpus) -> None:
        assert sampled.sample is not None
        with pytest.raises(UserError, match="not the official one"):
            read_raw(sampled, sampled.sample)

    def test_the_sample_has_its_size(self, raw: RawCorpus) -> None:
        sizes = {split: table["dialogue_id"].nunique() for split, table in raw.splits.items()}
        assert sizes == SAMPLE_SIZES[raw.name]

    def test_neutral_is_the_most_frequent_emotion_of_the_sample(self, raw: RawCorpus) -> None:
        for table in raw.splits.values():
            assert table["emotion"].value_counts().idxmax() == raw.label_set.neutral

    def test_every_emotion_stands_in_every_split_of_the_sample(self, raw: RawCorpus) -> None:
        for table in raw.splits.values():
            assert set(table["emotion"]) == set(raw.label_set.emotions)

    def test_the_sample_has_no_findings(self, raw: RawCorpus) -> None:
        assert raw.findings == {split: [] for split in SPLITS}

    def test_no_long_utterance_of_dev_or_test_stands_in_sample_train(self, raw: RawCorpus) -> None:
        train = TextIndex(raw.splits["train"]["text"])
        for split in ("dev", "test"):
            assert train.copied(raw.splits[split]["text"]) == []

    def test_no_long_utterance_of_sample_test_stands_in_dev(self, raw: RawCorpus) -> None:
        assert TextIndex(raw.splits["dev"]["text"]).copied(raw.splits["test"]["text"]) == []


class TestEveryLayout:
    def test_reads_every_split(self, read: Any) -> None:
        assert tuple(read[1]) == SPLITS
        assert all(isinstance(finding, str) for _, found in read[1].values() for finding in found)

    def test_dialogue_ids_are_unique_over_splits(self, read: Any) -> None:
        ids = [set(table["dialogue_id"]) for table, _ in read[1].values()]
        assert len(set().union(*ids)) == sum(map(len, ids))


class TestEverySplit:
    def test_has_the_columns_of_a_dialogue_table_first(self, table: pd.DataFrame) -> None:
        assert tuple(table.columns[: len(COLUMNS)]) == COLUMNS
        assert not table[list(COLUMNS)].isna().any(axis=None)

    def test_is_numbered_from_zero(self, table: pd.DataFrame) -> None:
        assert table.index.tolist() == list(range(len(table)))

    def test_holds_each_turn_once(self, table: pd.DataFrame) -> None:
        assert not table.duplicated(["dialogue_id", "turn"]).any()

    def test_counts_turns_from_zero_without_gaps_in_order(self, table: pd.DataFrame) -> None:
        assert table["turn"].dtype.kind == "i"
        for _, turns in table.groupby("dialogue_id")["turn"]:
            assert turns.tolist() == list(range(len(turns)))

    def test_keeps_a_dialogues_rows_together(self, table: pd.DataFrame) -> None:
        ids = table["dialogue_id"].tolist()
        changes = [b for a, b in zip([None, *ids], ids, strict=False) if a != b]
        assert len(changes) == len(set(ids))

    def test_uses_the_emotions_of_the_label_set(self, table: pd.DataFrame, read: Any) -> None:
        assert set(table["emotion"]) <= {*read[0].emotions, OTHER}

    def test_is_marked_as_real(self, table: pd.DataFrame) -> None:
        assert set(table["source"]) == {"real"}

    def test_keeps_the_original_text_and_normalises_the_other(self, table: pd.DataFrame) -> None:
        assert table["text"].tolist() == [normalise_text(t) for t in table["original_text"]]
        assert (table["text"].str.len() > 0).all()
        assert (table["speaker"].str.strip() == table["speaker"]).all()


def test_an_unknown_corpus_is_refused_with_the_list_of_known_ones() -> None:
    with pytest.raises(UserError) as caught:
        find_corpus("nonsense")
    for part in ("'nonsense'", *CORPORA):
        assert part in str(caught.value)
