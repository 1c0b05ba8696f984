"""Processes of several machines and containers: only what is surely gone is said to be."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from erc_kedro import processes
from erc_kedro.processes import is_gone, is_here, this_process

OUTSIDE, CONTAINER = "4026531836", "4026532461"

On = Callable[..., None]


@pytest.fixture
def on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> On:
    """Move this process to a machine, or a container on one."""
    proc, etc = tmp_path / "proc", tmp_path / "etc"
    for folder in (proc / "sys/kernel/random", proc / "self/ns", etc):
        folder.mkdir(parents=True)
    (proc / str(os.getpid())).symlink_to(f"/proc/{os.getpid()}")
    monkeypatch.setattr(processes, "_PROC", proc)
    monkeypatch.setattr(processes, "_ETC", etc)

    def move(
        boot: str = "6f1d8c52-1", host: str = "node", machine: str = "3d12", within: str = OUTSIDE
    ) -> None:
        (proc / "sys/kernel/random/boot_id").write_text(f"{boot}\n")
        (proc / "self/ns/pid").unlink(missing_ok=True)
        (proc / "self/ns/pid").symlink_to(f"pid:[{within}]")
        (etc / "machine-id").unlink(missing_ok=True)
        if machine:
            (etc / "machine-id").write_text(f"{machine}\n")
        monkeypatch.setattr(processes.socket, "gethostname", lambda: host)

    return move


def dead() -> str:
    code = "from erc_kedro.processes import this_process; print(this_process())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_living_are_here_and_the_dead_are_gone() -> None:
    assert is_here(this_process()) and not is_gone(this_process())
    assert is_here(dead()) and is_gone(dead())
    system, number, _ = this_process().split()
    assert is_gone(f"{system} {number} earlier")


@pytest.mark.parametrize(
    "there",
    [
        {"boot": "0a77be01-2", "machine": "77ab"},  # another machine of the same name
        {"boot": "0a77be01-2", "host": "other"},  # made from the same image
        {"within": CONTAINER},
        {"boot": "0a77be01-2", "within": CONTAINER},
    ],
)
def test_of_another_system_nothing_is_known(on: On, there: dict[str, str]) -> None:
    on(**there)
    process = this_process()
    on()
    assert not is_here(process) and not is_gone(process)


@pytest.mark.parametrize(
    ("machine", "within"), [("3d12", CONTAINER), ("", CONTAINER), ("", OUTSIDE)]
)
def test_containers_of_one_image_and_name_on_two_machines_are_told_apart(
    on: On, machine: str, within: str
) -> None:
    on(boot="0a77be01-2", machine=machine, within=within)
    process = this_process()
    on(machine=machine, within=within)
    assert not is_here(process) and not is_gone(process)


def test_after_a_restart_of_the_machine_its_processes_are_gone(on: On) -> None:
    on(boot="0a77be01-2")
    process = this_process()
    assert not is_gone(process)
    on()
    assert is_here(process) and is_gone(process)


def test_a_container_knows_its_own_without_a_machine_id(on: On) -> None:
    on(machine="", within=CONTAINER)
    system, number, start = this_process().split()
    assert not is_gone(f"{system} {number} {start}")
    assert is_gone(f"{system} {number} earlier")


def test_a_machine_id_is_not_shown(on: On) -> None:
    on(machine="c0ffee" * 5)
    assert "c0ffee" not in this_process()
