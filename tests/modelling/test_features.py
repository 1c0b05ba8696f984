"""The feature store: each text once, resumable, never wrong values."""

import logging
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from erc_kedro.modelling import features
from erc_kedro.modelling.features import Features, FeatureStore, open_features, text_key

from .conftest import CountingEncoder

TEXTS = [f"text number {i}{'!' * (i % 4)}" for i in range(11)]


def stored(store: FeatureStore, encoder: CountingEncoder, texts: list[str]) -> Features:
    place, _ = store.update(encoder, texts)
    return open_features(place, encoder.width)


def assert_right(opened: Features, encoder: CountingEncoder, texts: list[str]) -> None:
    np.testing.assert_array_equal(opened.of(texts), np.stack([encoder.row(t) for t in texts]))


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_BLOCK", 4)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store")


@pytest.fixture
def encoder() -> CountingEncoder:
    return CountingEncoder()


class TestUpdate:
    def test_each_text_gets_its_own_features(
        self, store: FeatureStore, encoder: CountingEncoder
    ) -> None:
        opened = stored(store, encoder, TEXTS)
        assert_right(opened, encoder, TEXTS)
        assert_right(opened, encoder, TEXTS[::-2])
        assert opened.of(TEXTS).dtype == np.float32

    def test_a_text_is_encoded_once(self, store: FeatureStore, encoder: CountingEncoder) -> None:
        assert store.update(encoder, TEXTS)[1] == len(TEXTS)
        assert store.update(encoder, TEXTS)[1] == 0
        assert sorted(encoder.encoded) == sorted(TEXTS)

    def test_a_new_process_finds_what_was_encoded(self, tmp_path: Path) -> None:
        first, second = CountingEncoder(), CountingEncoder()
        FeatureStore(tmp_path).update(first, TEXTS[:6])
        opened = stored(FeatureStore(str(tmp_path)), second, TEXTS)
        assert sorted(second.encoded) == sorted(TEXTS[6:])
        assert_right(opened, second, TEXTS)

    def test_duplicates_are_encoded_once(
        self, store: FeatureStore, encoder: CountingEncoder
    ) -> None:
        place, n = store.update(encoder, ["a", "b", "a", "a"])
        assert n == 2
        opened = open_features(place, encoder.width)
        assert opened.matrix.shape == (2, 3)
        assert_right(opened, encoder, ["a", "b", "a"])

    def test_the_order_of_texts_does_not_matter(
        self, tmp_path: Path, encoder: CountingEncoder
    ) -> None:
        one = stored(FeatureStore(tmp_path / "1"), encoder, TEXTS)
        two = stored(FeatureStore(tmp_path / "2"), encoder, TEXTS[::-1])
        np.testing.assert_array_equal(one.of(TEXTS), two.of(TEXTS))

    def test_no_texts_make_an_empty_matrix(
        self, store: FeatureStore, encoder: CountingEncoder
    ) -> None:
        place, n = store.update(encoder, [])
        assert n == 0
        assert encoder.encoded == []
        assert place.is_dir()

    def test_an_empty_store_can_be_opened(
        self, store: FeatureStore, encoder: CountingEncoder
    ) -> None:
        assert stored(store, encoder, []).of([]).shape == (0, 3)

    def test_encoders_do_not_share_features(self, store: FeatureStore) -> None:
        one, two = CountingEncoder("one"), CountingEncoder("two", width=5)
        assert_right(stored(store, one, TEXTS), one, TEXTS)
        assert_right(stored(store, two, TEXTS), two, TEXTS)
        assert store.update(one, TEXTS)[1] == 0

    def test_a_text_that_was_not_encoded_is_a_key_error(
        self, store: FeatureStore, encoder: CountingEncoder
    ) -> None:
        with pytest.raises(KeyError):
            stored(store, encoder, TEXTS).of(["another"])

    def test_the_matrix_is_mapped_and_read_only(
        self, store: FeatureStore, encoder: CountingEncoder
    ) -> None:
        opened = stored(store, encoder, TEXTS)
        assert isinstance(opened.matrix, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            opened.matrix[0, 0] = 1.0

    def test_what_is_handed_out_may_be_changed_without_harm(
        self, store: FeatureStore, encoder: CountingEncoder
    ) -> None:
        opened = stored(store, encoder, TEXTS)
        opened.of(TEXTS)[:] = 0
        assert_right(opened, encoder, TEXTS)

    def test_open_features_stay_right_while_more_is_added(
        self, store: FeatureStore, encoder: CountingEncoder
    ) -> None:
        opened = stored(store, encoder, TEXTS[:5])
        store.update(encoder, TEXTS)
        assert_right(opened, encoder, TEXTS[:5])

    def test_the_key_is_the_start_of_the_sha256(self) -> None:
        assert text_key("hello") == "2cf24dba5fb0a30e"


class TestInterrupted:
    def test_finished_blocks_are_kept(self, store: FeatureStore, encoder: CountingEncoder) -> None:
        by_length = sorted(TEXTS, key=len)
        encoder.breaks_at = by_length[9]  # in the third block of four
        with pytest.raises(RuntimeError, match="interrupted"):
            store.update(encoder, TEXTS)
        resumed = CountingEncoder()
        opened = stored(store, resumed, TEXTS)
        assert sorted(resumed.encoded) == sorted(by_length[8:])
        assert_right(opened, resumed, TEXTS)

    def test_rows_written_before_the_index_was_are_written_over(
        self, store: FeatureStore, encoder: CountingEncoder, caplog: pytest.LogCaptureFixture
    ) -> None:
        place, _ = store.update(encoder, TEXTS[:3])
        with (place / "matrix.f32").open("ab") as file:
            file.write(b"\1" * 40)  # three rows and a bit, of a run that was killed
        opened = stored(store, encoder, TEXTS)
        assert_right(opened, encoder, TEXTS)
        assert sorted(encoder.encoded) == sorted(TEXTS)
        assert (place / "matrix.f32").stat().st_size == len(TEXTS) * 3 * 4
        assert caplog.records == []

    def test_a_half_written_new_index_does_not_matter(
        self, store: FeatureStore, encoder: CountingEncoder
    ) -> None:
        place, _ = store.update(encoder, TEXTS[:3])
        (place / "index.parquet.new").write_bytes(b"PAR1 half")
        assert_right(stored(store, encoder, TEXTS), encoder, TEXTS)


def flip_matrix(place: Path) -> None:
    content = bytearray((place / "matrix.f32").read_bytes())
    content[17] ^= 1
    (place / "matrix.f32").write_bytes(content)


def truncate_matrix(place: Path) -> None:
    content = (place / "matrix.f32").read_bytes()
    (place / "matrix.f32").write_bytes(content[:-5])


def empty_matrix(place: Path) -> None:
    (place / "matrix.f32").write_bytes(b"")


def garbage_index(place: Path) -> None:
    (place / "index.parquet").write_bytes(b"no parquet at all")


def truncate_index(place: Path) -> None:
    content = (place / "index.parquet").read_bytes()
    (place / "index.parquet").write_bytes(content[: len(content) // 2])


def foreign_index(place: Path) -> None:
    pd.DataFrame({"name": ["x"]}).to_parquet(place / "index.parquet", index=False)


def swap_rows(place: Path) -> None:
    matrix = np.fromfile(place / "matrix.f32", dtype=np.float32).reshape(-1, 3)
    matrix[::-1].tofile(place / "matrix.f32")


def no_matrix(place: Path) -> None:
    (place / "matrix.f32").unlink()


class TestDamaged:
    @pytest.mark.parametrize(
        "damage",
        [
            flip_matrix,
            truncate_matrix,
            empty_matrix,
            swap_rows,
            garbage_index,
            truncate_index,
            foreign_index,
            pytest.param(
                no_matrix,
            ),
        ],
    )
    def test_a_damaged_store_is_made_anew_with_a_warning(
        self,
        store: FeatureStore,
        encoder: CountingEncoder,
        damage: object,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        place, _ = store.update(encoder, TEXTS)
        damage(place)  # type: ignore[operator]
        mended = CountingEncoder()
        opened = stored(store, mended, TEXTS[:7])
        assert_right(opened, mended, TEXTS[:7])
        assert sorted(mended.encoded) == sorted(TEXTS[:7])
        warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        assert len(warnings) == 1
        assert str(place) in warnings[0]
        assert store.update(mended, TEXTS[:7])[1] == 0

    def test_a_lost_matrix_is_made_anew(
        self, store: FeatureStore, encoder: CountingEncoder
    ) -> None:
        place, _ = store.update(encoder, TEXTS)
        no_matrix(place)
        assert_right(stored(store, encoder, TEXTS), encoder, TEXTS)

    def test_a_sound_store_gives_no_warning(
        self, store: FeatureStore, encoder: CountingEncoder, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.update(encoder, TEXTS[:5])
        store.update(encoder, TEXTS)
        assert caplog.records == []


class SlowEncoder(CountingEncoder):
    """Gives other threads their turn between batches."""

    def encode(self, texts):  # type: ignore[no-untyped-def]
        for batch in super().encode(texts):
            time.sleep(0.002)
            yield batch


class TestAtTheSameTime:
    def test_two_stores_on_one_folder_do_not_harm_each_other(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        encoders = [SlowEncoder() for _ in range(4)]
        own = [TEXTS[i : i + 8] for i in range(4)]
        start = threading.Barrier(4)
        failed: list[BaseException] = []

        def work(i: int) -> None:
            try:
                start.wait()
                assert_right(
                    stored(FeatureStore(tmp_path), encoders[i], own[i]), encoders[i], own[i]
                )
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert caplog.records == []
        encoded = [text for encoder in encoders for text in encoder.encoded]
        assert sorted(encoded) == sorted(TEXTS)
        opened = stored(FeatureStore(tmp_path), encoders[0], [])
        assert opened.matrix.shape == (len(TEXTS), 3)
        assert_right(opened, encoders[0], TEXTS)
