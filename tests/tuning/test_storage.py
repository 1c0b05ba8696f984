"""Where a study is kept."""

import pytest

from erc_kedro.core.errors import UserError
from erc_kedro.tuning import StudyStorage
from erc_kedro.tuning.patience import Patience, StorageGoneError

SECRET = "very-secret"


@pytest.mark.parametrize("options", [{}, {"path": "a", "url": "postgresql://b/c"}])
def test_is_one_place(options: dict[str, str]) -> None:
    with pytest.raises(UserError, match="kept in one place"):
        StudyStorage(**options)


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_an_address_is_shown_without_user_and_password(scheme: str) -> None:
    storage = StudyStorage(url=f"{scheme}://me:{SECRET}@host:5433/studies")
    assert str(storage) == "postgresql://host:5433/studies"
    assert SECRET not in repr(storage)


def test_a_url_that_is_none_is_refused_without_showing_it() -> None:
    with pytest.raises(UserError, match="cannot be read") as caught:
        StudyStorage(url=f"me:{SECRET}@host").open()
    assert SECRET not in str(caught.value)


def test_nobody_there_is_said_at_once() -> None:
    pytest.importorskip("psycopg")
    storage = StudyStorage(url=f"postgresql://me:{SECRET}@127.0.0.1:9/studies")
    with pytest.raises(UserError, match="cannot be reached") as caught:
        storage.open()
    assert "127.0.0.1:9/studies" in str(caught.value) and SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_driver_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(UserError, match=r"erc_kedro\[cluster\]"):
        StudyStorage(url="postgresql://me@127.0.0.1:9/studies").open()


def test_patience_ends_and_other_errors_are_no_outage() -> None:
    slept: list[float] = []
    patient = Patience("there", 0.0)
    patient.sleep = slept.append

    def gone() -> None:
        raise OSError("no space left")

    def wrong() -> None:
        raise KeyError("x")

    with pytest.raises(StorageGoneError, match="no space left"):
        patient(gone)
    with pytest.raises(KeyError):
        patient(wrong)
    patient.seconds = 600
    answers = iter([ConnectionError("a"), ConnectionError("b"), ConnectionError("c"), 7])

    def comes_back() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert patient(comes_back) == 7
    assert slept == [1, 2, 4]
