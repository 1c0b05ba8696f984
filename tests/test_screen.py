"""What is seen while a run works: stages on log lines, bars on a terminal, lines elsewhere."""

import logging
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from erc_kedro.core.progress import counting, show_on
from erc_kedro.screen import Bars, Lines, ScreenFormatter, choose_display, in_stage


@pytest.fixture(autouse=True)
def _nothing_shown_afterwards() -> Iterator[None]:
    yield
    show_on(None)
    in_stage(None)


def line(message: str, level: int = logging.INFO) -> str:
    record = logging.LogRecord("erc_kedro.x", level, "", 0, message, None, None)
    return ScreenFormatter().format(record)


def test_a_line_names_its_stage_and_its_level_only_if_something_is_wrong() -> None:
    in_stage("augmented training")
    assert line("5 classifiers kept")[9:] == f"{'augmented training':<23} 5 classifiers kept"
    assert "WARNING: odd" in line("odd", logging.WARNING)
    in_stage(None)
    assert line("done")[8:] == " done"


def test_stages_of_threads_do_not_mix() -> None:
    in_stage("here")
    said: list[str] = []
    other = threading.Thread(target=lambda: said.append(line("there")))
    other.start()
    other.join()
    assert said[0].split()[1:] == ["there"]


def test_without_a_terminal_long_work_says_counts_and_time_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    show_on(Lines(every=0.0))
    with caplog.at_level(logging.INFO), counting("encoding", 3000, "texts") as advance:
        for _ in range(3):
            advance(1000)
    assert [r.message.split(", about")[0] for r in caplog.records] == [
        "encoding: 1,000 of 3,000 texts",
        "encoding: 2,000 of 3,000 texts",
    ]


def test_short_work_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    show_on(Lines())
    with caplog.at_level(logging.INFO), counting("encoding", 2, "texts") as advance:
        advance(1)
        advance(1)
    assert caplog.records == []


def test_who_writes_the_log_himself_is_shown_by_bars_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bars = Bars()
    for display in (Lines(every=0.0), bars):
        show_on(display)
        with (
            caplog.at_level(logging.INFO),
            counting("tuning", 9, "trials", logged=True) as advance,
        ):
            advance(3)
            assert (bars._progress is not None) == (display is bars)
    assert caplog.records == []


def test_counting_is_silent_where_nothing_shows_it() -> None:
    with counting("anything", 10, "things") as advance:
        advance(10)


def test_work_that_fails_is_no_longer_shown() -> None:
    bars = Bars()
    show_on(bars)
    with pytest.raises(ValueError, match="broken"), counting("training", 10, "steps") as advance:
        advance(1)
        raise ValueError("broken")
    assert bars._progress is None


def test_the_display_is_chosen_by_what_stderr_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(choose_display(), Lines)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert isinstance(choose_display(), Bars)


SHOWN = """
import logging, sys, time
from erc_kedro.core.progress import counting, show_on
from erc_kedro.screen import choose_display, take_over
logging.basicConfig(level="INFO", stream=sys.stderr)
take_over(logging.getLogger())
show_on(choose_display())
with counting("encoding", 100, "texts") as advance:
    for i in range(10):
        advance(10)
        time.sleep(0.05)
        if i == 5:
            logging.info("a line between")
logging.info("the end")
"""


def test_on_a_terminal_bars_show_counts_and_leave_only_the_lines() -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([sys.executable, "-c", SHOWN], stderr=theirs, env=environment) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
        assert process.wait() == 0
    os.close(ours)
    text = seen.decode()
    assert "of 100 texts" in text
    assert text.count("a line between") == 1
    assert text.rstrip().endswith("the end")


def test_time_left_is_told_once_enough_is_done_to_tell(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="erc_kedro.screen")
    lines = Lines(every=0)
    number = lines.start("writing", 100, "dialogues")
    for amount in (0, 4, 1):
        lines.advance(number, amount)
    said = [record.getMessage() for record in caplog.records]
    assert said[:2] == ["writing: 0 of 100 dialogues", "writing: 4 of 100 dialogues"]
    assert said[2].startswith("writing: 5 of 100 dialogues, about 0 s left")
