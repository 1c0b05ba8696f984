"""A PostgreSQL server of its own: in a temporary folder, on 127.0.0.1 and a free port."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

PASSWORD = "pass-word-of-tests"


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, if it is installed."""
    if found := shutil.which("pg_ctl"):
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


class Server:
    """A server that can be stopped and started; `close` removes it."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="erc_kedro_postgresql_"))
        self._schemas = 0
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        password = self._folder / "password"
        password.write_text(PASSWORD)
        if os.getuid() == 0:  # it refuses to run as root
            shutil.chown(self._folder, "postgres")
            shutil.chown(password, "postgres")
        options = ["-A", "scram-sha-256", "-U", "tester", f"--pwfile={password}", "--no-sync"]
        self._run("initdb", "-D", str(self._folder / "data"), *options)
        self.start()

    def start(self) -> None:
        settings = f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off"
        settings += " -c unix_socket_directories=''"
        self._control("start", "-l", str(self._folder / "log"), "-o", settings)

    def stop(self) -> None:
        self._control("stop", "-m", "fast")

    def new_database(self) -> str:
        """Return the URL of what looks like an empty database: a schema, which takes less time."""
        import psycopg

        self._schemas += 1
        url = f"postgresql://tester:{PASSWORD}@127.0.0.1:{self.port}/postgres"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"create schema test_{self._schemas}")
        return f"{url}?options=-csearch_path%3Dtest_{self._schemas}"

    def close(self) -> None:
        self._control("stop", "-m", "immediate")
        shutil.rmtree(self._folder)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.getuid() == 0:
            places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
            become = shutil.which("runuser", path=places) or "runuser"
            command = [become, "-u", "postgres", "--", *command]
        subprocess.run(command, cwd=self._folder, check=True, stdout=subprocess.DEVNULL, timeout=60)
