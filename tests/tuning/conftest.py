"""Storages of studies: a journal file, and a database of a real PostgreSQL server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from erc_kedro.tuning import StudyStorage, Timing
from tests.tuning import postgresql


@pytest.fixture(scope="session")
def server() -> Iterator[postgresql.Server]:
    """A PostgreSQL server, if it is installed."""
    programs = postgresql.programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason='pip install "erc_kedro[cluster]"')
    server = postgresql.Server(programs)
    yield server
    server.close()


@pytest.fixture(params=["journal", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> StudyStorage:
    """An empty storage of each kind."""
    if request.param == "journal":
        return StudyStorage(path=tmp_path / "journal")
    return StudyStorage(url=request.getfixturevalue("server").new_database())


@pytest.fixture
def journal(tmp_path: Path) -> StudyStorage:
    return StudyStorage(path=tmp_path / "journal")


@pytest.fixture
def quick() -> Timing:
    """Looks at everything often, and waits for nothing long."""
    return Timing(alive=0.5, sweep=0.2, unchanged=0.3, poll=0.1)
