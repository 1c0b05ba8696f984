"""The raw folder: what is read from it, and putting the official files there, all or none."""

import dataclasses
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from erc_kedro.core.corpus import Corpus
from erc_kedro.core.errors import UserError
from erc_kedro.corpora import CORPORA
from erc_kedro.corpora.folder import fetch, locate, raw_digest, read_raw

MELD = CORPORA["meld"]
NAMES = ["train_sent_emo.csv", "dev_sent_emo.csv", "test_sent_emo.csv"]


@pytest.fixture
def corpus(official: tuple[Path, dict[str, str]]) -> Corpus:
    return dataclasses.replace(MELD, checksums=official[1])


@pytest.fixture
def origin(official: tuple[Path, dict[str, str]]) -> Path:
    return official[0]


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


class TestLocate:
    def test_all_official_files_are_official(self, corpus: Corpus, origin: Path) -> None:
        assert locate(corpus, origin) == ("official", origin)
        raw = read_raw(corpus, origin)
        assert raw.source == "official"
        assert {split: len(table) for split, table in raw.splits.items()} == {
            "train": 6, "dev": 6, "test": 6
        }  # fmt: skip
        assert raw.splits["test"]["dialogue_id"].iloc[-1] == "test-2"
        assert raw.findings["dev"] == ["1 dialogues have a single turn"]

    @pytest.mark.parametrize("missing", NAMES)
    def test_a_partial_folder_is_refused_and_says_what_is_missing(
        self, corpus: Corpus, origin: Path, missing: str
    ) -> None:
        (origin / missing).unlink()
        with pytest.raises(UserError, match="incomplete") as caught:
            read_raw(corpus, origin)
        assert f"no {missing}" in str(caught.value)
        assert "make data CORPUS=meld" in str(caught.value)

    @pytest.mark.parametrize("changed", NAMES)
    def test_a_changed_file_is_refused_with_both_sums(
        self, corpus: Corpus, origin: Path, changed: str
    ) -> None:
        spoil(origin / changed)
        with pytest.raises(UserError, match="not the official one") as caught:
            read_raw(corpus, origin)
        assert str(origin / changed) in str(caught.value)
        assert corpus.checksums[changed] in str(caught.value)

    def test_other_files_in_the_folder_do_not_matter(self, corpus: Corpus, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        assert locate(corpus, tmp_path)[0] == "sample"

    def test_the_digest_is_that_of_the_files_read(self, corpus: Corpus, origin: Path) -> None:
        official = raw_digest(corpus, origin)
        assert read_raw(corpus, origin).digest == official
        assert len(official) == 16
        assert official != raw_digest(MELD, origin / "none")
        path = origin / NAMES[1]
        spoil(path)
        import hashlib

        sums = {**corpus.checksums, NAMES[1]: hashlib.sha256(path.read_bytes()).hexdigest()}
        assert raw_digest(dataclasses.replace(corpus, checksums=sums), origin) != official


class TestFetchFromAFolder:
    def test_copies_all_files_and_says_where_they_came_from(
        self, corpus: Corpus, origin: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "raw" / "meld"
        written = fetch(corpus, folder, origin)
        assert sorted(p.name for p in folder.iterdir()) == sorted([*NAMES, "SOURCE.json"])
        for name in NAMES:
            assert (folder / name).read_bytes() == (origin / name).read_bytes()
        assert written == folder / "SOURCE.json"
        record = json.loads(written.read_text(encoding="utf-8"))
        fetched = datetime.fromisoformat(record.pop("fetched"))
        assert record == {
            "corpus": "meld",
            "from": str(origin.resolve()),
            "licence": MELD.licence,
            "sha256": dict(corpus.checksums),
        }
        assert fetched.utcoffset() == timedelta(0)
        assert abs(datetime.now(fetched.tzinfo) - fetched) < timedelta(minutes=5)
        assert locate(corpus, folder)[0] == "official"

    @pytest.mark.parametrize("name", NAMES)
    def test_a_missing_file_leaves_the_folder_without_any(
        self, corpus: Corpus, origin: Path, tmp_path: Path, name: str
    ) -> None:
        (origin / name).unlink()
        folder = tmp_path / "raw"
        with pytest.raises(UserError, match="not in the given folder") as caught:
            fetch(corpus, folder, origin)
        assert f"no {name}" in str(caught.value)
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize("name", NAMES)
    def test_a_wrong_checksum_leaves_the_folder_without_any(
        self, corpus: Corpus, origin: Path, tmp_path: Path, name: str
    ) -> None:
        spoil(origin / name)
        folder = tmp_path / "raw"
        with pytest.raises(UserError, match="not the official one"):
            fetch(corpus, folder, origin)
        assert list(folder.iterdir()) == []

    def test_a_failed_fetch_leaves_earlier_files_as_they_were(
        self, corpus: Corpus, origin: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "raw"
        fetch(corpus, folder, origin)
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        spoil(origin / NAMES[2])
        with pytest.raises(UserError):
            fetch(corpus, folder, origin)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    def test_a_partial_folder_is_completed(
        self, corpus: Corpus, origin: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "raw"
        fetch(corpus, folder, origin)
        (folder / NAMES[0]).unlink()
        spoil(folder / NAMES[1])
        fetch(corpus, folder, origin)
        assert locate(corpus, folder)[0] == "official"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_cannot_be_written_is_a_user_error(
        self, corpus: Corpus, origin: Path, tmp_path: Path
    ) -> None:
        tmp_path.chmod(0o500)
        try:
            with pytest.raises(UserError, match="cannot be written"):
                fetch(corpus, tmp_path / "raw", origin)
        finally:
            tmp_path.chmod(0o700)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


class Cut(http.server.BaseHTTPRequestHandler):
    """Promises more than it sends."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half")

    def log_message(self, *_: Any) -> None:
        pass


def serve(handler: Any) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class TestFetchByDownload:
    @pytest.fixture
    def address(self, origin: Path) -> Iterator[str]:
        yield from serve(partial(Quiet, directory=str(origin)))

    def test_downloads_all_files_and_records_the_address(
        self, corpus: Corpus, origin: Path, address: str, tmp_path: Path
    ) -> None:
        served = dataclasses.replace(corpus, address=address)
        written = fetch(served, tmp_path / "raw")
        assert json.loads(written.read_text())["from"] == address
        for name in NAMES:
            assert (tmp_path / "raw" / name).read_bytes() == (origin / name).read_bytes()
        assert read_raw(served, tmp_path / "raw").source == "official"

    def test_a_file_that_is_not_there_is_a_user_error_and_leaves_none(
        self, corpus: Corpus, origin: Path, address: str, tmp_path: Path
    ) -> None:
        (origin / NAMES[1]).unlink()
        with pytest.raises(UserError, match="could not be downloaded") as caught:
            fetch(dataclasses.replace(corpus, address=address), tmp_path / "raw")
        for part in (address + NAMES[1], "404", "FROM="):
            assert part in str(caught.value)
        assert list((tmp_path / "raw").iterdir()) == []

    def test_a_download_with_a_wrong_checksum_leaves_none(
        self, corpus: Corpus, origin: Path, address: str, tmp_path: Path
    ) -> None:
        spoil(origin / NAMES[2])
        with pytest.raises(UserError, match="not the official one"):
            fetch(dataclasses.replace(corpus, address=address), tmp_path / "raw")
        assert list((tmp_path / "raw").iterdir()) == []

    def test_a_server_that_is_not_there_is_a_user_error(
        self, corpus: Corpus, tmp_path: Path
    ) -> None:
        closed = dataclasses.replace(corpus, address="http://127.0.0.1:9/")
        with pytest.raises(UserError, match="could not be downloaded"):
            fetch(closed, tmp_path / "raw")

    def test_a_download_that_breaks_off_is_a_user_error(
        self, corpus: Corpus, tmp_path: Path
    ) -> None:
        for address in serve(Cut):
            with pytest.raises(UserError, match="could not be downloaded"):
                fetch(dataclasses.replace(corpus, address=address), tmp_path / "raw")


class TestTheCommand:
    @staticmethod
    def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "erc_kedro.corpora", *arguments]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)

    def test_an_unknown_corpus_exits_1_with_the_list_of_corpora(self, tmp_path: Path) -> None:
        done = self.run("nonsense", cwd=tmp_path)
        assert done.returncode == 1
        assert "'nonsense'" in done.stderr
        assert all(name in done.stderr for name in CORPORA)
        assert "Traceback" not in done.stderr
        assert list(tmp_path.iterdir()) == []

    def test_files_that_are_not_official_exit_1_without_a_traceback(self, tmp_path: Path) -> None:
        done = self.run("meld", "--from", str(MELD.sample), "--into", "here", cwd=tmp_path)
        assert done.returncode == 1
        assert "not the official one" in done.stderr
        assert "Traceback" not in done.stderr
        assert list((tmp_path / "here" / "meld").iterdir()) == []

    def test_official_files_are_put_into_the_corpus_folder(
        self,
        corpus: Corpus,
        origin: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        import erc_kedro.corpora.__main__ as command

        monkeypatch.setattr(command, "find_corpus", lambda name: {"meld": corpus}[name])
        arguments = ["make data", "meld", "--from", str(origin), "--into", str(tmp_path / "raw")]
        monkeypatch.setattr(sys, "argv", arguments)
        assert command.main() == 0
        assert "3 files" in capsys.readouterr().out
        assert locate(corpus, tmp_path / "raw" / "meld")[0] == "official"
