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

import pandas as pd
import pytest

from erc_kedro.core.corpus import Corpus, Layout, file_per_split
from erc_kedro.core.errors import UserError
from erc_kedro.corpora import CORPORA
from erc_kedro.corpora.folder import fetch, files_in, locate, raw_digest, read_raw

MELD = CORPORA["meld"]
NAMES = ["train_sent_emo.csv", "dev_sent_emo.csv", "test_sent_emo.csv"]


def with_sums(checksums: dict[str, str]) -> Corpus:
    """Return MELD as if its official files had these sums."""
    layout = dataclasses.replace(MELD.layouts[0], checksums=checksums)
    return dataclasses.replace(MELD, layouts=(layout,))


@pytest.fixture
def corpus(official: tuple[Path, dict[str, str]]) -> Corpus:
    return with_sums(official[1])


@pytest.fixture
def origin(official: tuple[Path, dict[str, str]]) -> Path:
    return official[0]


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


class TestLocate:
    def test_all_official_files_are_official(self, corpus: Corpus, origin: Path) -> None:
        assert locate(corpus, origin) == ("official", origin, corpus.layouts[0])
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
        assert corpus.layouts[0].checksums[changed] in str(caught.value)

    def test_other_files_in_the_folder_do_not_matter(self, corpus: Corpus, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        assert locate(corpus, tmp_path).source == "sample"

    def test_the_digest_is_that_of_the_files_read(self, corpus: Corpus, origin: Path) -> None:
        official = raw_digest(corpus, origin)
        assert read_raw(corpus, origin).digest == official
        assert len(official) == 16
        assert official != raw_digest(MELD, origin / "none")
        spoil(origin / NAMES[1])
        assert raw_digest(with_sums({}), origin) != official

    def test_the_digests_are_the_same_from_release_to_release(self, tmp_path: Path) -> None:
        for i, name in enumerate(NAMES):
            (tmp_path / name).write_text(f"file {i}")
        assert raw_digest(with_sums({}), tmp_path) == "9b569004dcf26583"
        assert raw_digest(MELD, tmp_path / "none") == "ac4b14a84c85ca3e"


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
            "sha256": dict(corpus.layouts[0].checksums),
        }
        assert fetched.utcoffset() == timedelta(0)
        assert abs(datetime.now(fetched.tzinfo) - fetched) < timedelta(minutes=5)
        assert locate(corpus, folder).source == "official"

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
        assert locate(corpus, folder).source == "official"

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
        assert locate(corpus, tmp_path / "raw" / "meld").source == "official"

    def test_of_files_without_sums_it_says_the_layout(
        self, tree: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
    ) -> None:
        import erc_kedro.corpora.__main__ as command

        monkeypatch.setattr(command, "find_corpus", lambda _: LICENSED)
        arguments = ["make data", "played", "--from", str(tree), "--into", str(tmp_path / "raw")]
        monkeypatch.setattr(sys, "argv", arguments)
        assert command.main() == 0
        assert "played: 4 files, layout scenes; see" in capsys.readouterr().out


SCENES = Layout("scenes", ("act?/scene*.txt", "cast.txt"), lambda folder: read_tree(folder))  # noqa: PLW0108
LICENSED = Corpus(
    name="played",
    label_set=MELD.label_set,
    layouts=(
        SCENES,
        file_per_split(
            "tables",
            {split: f"{split}.csv" for split in ("train", "dev", "test")},
            lambda path, split: (pd.DataFrame({"of": [path.name]}), [f"a table of {split}"]),
        ),
    ),
    licence="for research, on request",
    obtain="https://example.org/played/request",
)


def read_tree(folder: Path) -> dict[str, tuple[pd.DataFrame, list[str]]]:
    names = files_in(SCENES, folder)
    return {"train": (pd.DataFrame({"of": names}), [])}


def write_tree(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"text of {name}")
    return folder


TREE = ("act1/scene1.txt", "act1/scene2.txt", "act2/scene1.txt", "cast.txt")
TABLES = ("train.csv", "dev.csv", "test.csv")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder in the layout of patterns, with files that are none of it."""
    others = ("act1/._scene1.txt", "act1/notes.md", "act10/scene1.txt", ".old/act1/scene1.txt")
    return write_tree(tmp_path / "tree", *TREE, *others)


class TestLayouts:
    def test_patterns_match_files_in_folders_but_no_hidden_ones(self, tree: Path) -> None:
        assert files_in(SCENES, tree) == list(TREE)
        assert read_raw(LICENSED, tree).splits["train"]["of"].tolist() == list(TREE)

    def test_the_layout_that_is_there_is_read(self, tree: Path, tmp_path: Path) -> None:
        assert locate(LICENSED, tree) == ("official", tree, SCENES)
        tables = write_tree(tmp_path / "tables", *TABLES)
        raw = read_raw(LICENSED, tables)
        assert locate(LICENSED, tables).layout.name == "tables"
        assert raw.splits["dev"]["of"].tolist() == ["dev.csv"]
        assert raw.findings["dev"] == ["a table of dev"]

    def test_of_two_layouts_that_are_there_the_first_is_read(self, tree: Path) -> None:
        assert locate(LICENSED, write_tree(tree, *TABLES)).layout is SCENES

    def test_part_of_another_layout_does_not_matter(self, tmp_path: Path) -> None:
        write_tree(tmp_path, "cast.txt", *TABLES)
        assert locate(LICENSED, tmp_path).layout.name == "tables"

    def test_an_incomplete_folder_names_what_the_nearest_layout_lacks(self, tmp_path: Path) -> None:
        write_tree(tmp_path, "cast.txt", "train.csv", "dev.csv")
        with pytest.raises(UserError, match="incomplete") as caught:
            locate(LICENSED, tmp_path)
        assert "found: no test.csv" in str(caught.value)
        assert "sample" not in str(caught.value)
        (tmp_path / "dev.csv").unlink()
        with pytest.raises(UserError, match="incomplete") as caught:
            locate(LICENSED, tmp_path)
        assert "found: no act?/scene*.txt" in str(caught.value)

    def test_without_files_it_says_where_to_ask_for_which(self, tmp_path: Path) -> None:
        for attempt in (locate, fetch):
            with pytest.raises(UserError) as caught:
                attempt(LICENSED, tmp_path)
            for part in (
                "act?/scene*.txt, cast.txt (layout scenes)",
                "train.csv, dev.csv, test.csv (layout tables)",
                "ask for the files at https://example.org/played/request",
                "make data CORPUS=played FROM=folder",
                "for research, on request",
            ):
                assert part in str(caught.value)
            assert list(tmp_path.iterdir()) == []

    def test_patterns_cannot_be_downloaded_whatever_the_address(self, tmp_path: Path) -> None:
        addressed = dataclasses.replace(LICENSED, address="http://127.0.0.1:9/")
        with pytest.raises(UserError, match="cannot be downloaded"):
            fetch(addressed, tmp_path)

    @pytest.mark.parametrize("name", TREE)
    def test_the_digest_is_over_all_files_and_their_names(self, tree: Path, name: str) -> None:
        before = raw_digest(LICENSED, tree)
        write_tree(tree, "act1/notes.md")
        assert raw_digest(LICENSED, tree) == before == read_raw(LICENSED, tree).digest
        (tree / "act3").mkdir()
        (tree / "act1/scene2.txt").rename(tree / "act3/scene2.txt")
        moved = raw_digest(LICENSED, tree)
        (tree / "act3/scene2.txt").rename(tree / "act1/scene2.txt")
        spoil(tree / name)
        assert len({before, moved, raw_digest(LICENSED, tree)}) == 3

    def test_fetching_copies_the_tree_and_nothing_else(self, tree: Path, tmp_path: Path) -> None:
        folder = tmp_path / "raw"
        record = json.loads(fetch(LICENSED, folder, tree).read_text("utf-8"))
        copied = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        assert copied == {*TREE, "SOURCE.json"}
        assert tuple(record["sha256"]) == TREE
        assert raw_digest(LICENSED, folder) == raw_digest(LICENSED, tree)

    def test_fetching_from_a_folder_without_a_whole_layout_copies_nothing(
        self, tmp_path: Path
    ) -> None:
        origin = write_tree(tmp_path / "origin", "cast.txt")
        with pytest.raises(UserError, match="not in the given folder") as caught:
            fetch(LICENSED, tmp_path / "raw", origin)
        assert "no act?/scene*.txt" in str(caught.value)
        assert list((tmp_path / "raw").iterdir()) == []

    def test_a_folder_with_another_layout_is_not_fetched_into(
        self, tree: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "raw"
        fetch(LICENSED, folder, tree)
        with pytest.raises(UserError, match="in another layout") as caught:
            fetch(LICENSED, folder, write_tree(tmp_path / "tables", *TABLES))
        assert "layout scenes" in str(caught.value)
        assert locate(LICENSED, folder).layout is SCENES
        fetch(LICENSED, folder, tree)  # the same again
