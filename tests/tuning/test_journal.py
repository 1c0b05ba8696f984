"""The journal of studies: whole lines, whatever happens to those who write them."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from erc_kedro.core.errors import UserError
from erc_kedro.tuning import StudyStorage, search
from erc_kedro.tuning.journal import Journal
from tests.tuning.builders import open_parabola, states
from tests.tuning.objectives import make_parabola

TORN = '{"op_code": 8, "worker_id": "x", "tri'


def append(journal: StudyStorage, text: str) -> None:
    with Path(str(journal.path)).open("a") as file:
        file.write(text)


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Let the disk be full at a size of files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestHalfALine:
    def test_at_the_end_is_cut_off(
        self, journal: StudyStorage, caplog: pytest.LogCaptureFixture
    ) -> None:
        search(open_parabola(journal), make_parabola, trials=3, workers=0)
        append(journal, TORN)
        assert states(open_parabola(journal)) == 3 * ["COMPLETE"]
        search(open_parabola(journal), make_parabola, trials=6, workers=0)
        assert states(open_parabola(journal)) == 6 * ["COMPLETE"]
        assert caplog.text.count("was torn") == 1

    @pytest.mark.parametrize("torn", [TORN, "\0" * 5000, TORN + "x" * 9000])
    def test_of_another_who_died_while_this_one_goes_on_is_cut_off(
        self, journal: StudyStorage, torn: str
    ) -> None:
        study, beside = open_parabola(journal), open_parabola(journal)
        search(study, make_parabola, trials=3, workers=0)
        append(journal, torn)
        search(study, make_parabola, trials=5, workers=0)
        for each in (study, beside, open_parabola(journal)):
            assert states(each) == 5 * ["COMPLETE"]

    @pytest.mark.parametrize("room", [0, 20])
    def test_is_not_left_by_a_full_disk(self, tmp_path: Path, room: int) -> None:
        path = tmp_path / "journal"
        journal, beside = Journal(path), Journal(path)
        journal.append_logs([{"number": 1}])
        before = path.read_bytes()
        with no_file_beyond(len(before) + room), pytest.raises(OSError, match="too large"):
            journal.append_logs([{"number": 2, "long": 100 * "x"}])
        assert path.read_bytes() == before
        beside.append_logs([{"number": 3}])
        for each in (journal, beside, Journal(path)):
            assert [log["number"] for log in each.read_logs(0)] == [1, 3]

    def test_is_kept_when_nothing_can_be_done_and_cut_off_by_the_next(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from erc_kedro.tuning import journal as module

        class Broken(module.FileIO):
            def write(self, content: bytes) -> int:
                super().write(content[:5])
                raise OSError("no such device")

            def truncate(self, size: int | None = None) -> int:
                raise OSError("no such device")

        journal = Journal(tmp_path / "journal")
        with monkeypatch.context() as patch, pytest.raises(OSError, match="no such device"):
            patch.setattr(module, "FileIO", Broken)
            journal.append_logs([{"number": 1}])
        assert (tmp_path / "journal").stat().st_size == 5
        journal.append_logs([{"number": 2}])
        assert list(journal.read_logs(0)) == [{"number": 2}]


@pytest.mark.parametrize("line", ['{"op_code": 8, {"op_code": 8}', "\udcff\udcff"])
def test_a_damaged_line_is_named(journal: StudyStorage, line: str) -> None:
    study = open_parabola(journal)
    path = Path(str(journal.path))
    lines = path.read_text().splitlines()
    damaged = [*lines[:3], line, *lines[3:]]
    path.write_bytes(("\n".join(damaged) + "\n").encode(errors="surrogateescape"))
    with pytest.raises(UserError, match="is damaged") as caught:
        open_parabola(journal)
    assert f"{path}, line 4" in str(caught.value) and "move it away" in str(caught.value)
    path.rename(path.with_suffix(".damaged"))
    study = open_parabola(journal)
    search(study, make_parabola, trials=2, workers=0)
    assert states(study) == 2 * ["COMPLETE"]


def test_that_went_away_is_not_made_anew_amid_a_search(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    (tmp_path / "journal").unlink()
    with pytest.raises(FileNotFoundError):
        journal.append_logs([{"number": 1}])


class TestOptunasTools:
    """They have a lock of their own, a link to the journal at `.lock`."""

    def opened(self, journal: StudyStorage) -> optuna.Study:
        storage = JournalStorage(JournalFileBackend(str(journal.path)))
        return optuna.load_study(study_name="parabola", storage=storage)

    def test_read_and_write_without_waiting(self, journal: StudyStorage) -> None:
        study = open_parabola(journal)
        search(study, make_parabola, trials=2, workers=0)
        began = time.monotonic()
        self.opened(journal).set_user_attr("note", "seen")
        assert time.monotonic() - began < 10  # beside a lock of ours at `.lock`, 30 s
        search(study, make_parabola, trials=4, workers=0)
        assert len(self.opened(journal).trials) == 4
        assert study.optuna.user_attrs["note"] == "seen"

    def test_that_were_killed_harm_nothing(self, journal: StudyStorage) -> None:
        search(open_parabola(journal), make_parabola, trials=2, workers=0)
        path = Path(str(journal.path))
        path.with_name(f"{path.name}.lock").symlink_to(path)
        search(open_parabola(journal), make_parabola, trials=4, workers=0)
        assert states(open_parabola(journal)) == 4 * ["COMPLETE"]
