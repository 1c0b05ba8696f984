"""A server writes the dialogues of a run; a second run asks it nothing."""

from collections.abc import Callable

import pytest

from tests.conftest import Project
from tests.llm.fault_server import TRANSPORT_FAULTS, Faults, FaultServer

KEY = "sk-planted-9876543210"
ENTRY = """
"{{corpus}}.language_model":
  type: erc_kedro.datasets.LanguageModelDataset
  backend: openai
  options: {{base_url: "{url}", model: tiny}}
  store: {{path: "data/03_primary/{{corpus}}/completions.db"}}
  credentials: language_model
"""


def test_a_server_with_faults_fills_the_plan_and_is_never_asked_twice(
    project: Project,
    overlay: Callable[[str, str], None],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rates = dict.fromkeys(TRANSPORT_FAULTS, 0.05)
    with FaultServer(Faults(rates=rates, seed=3, retry_after="0.05")) as server:
        overlay("catalog_generation.yml", ENTRY.format(url=server.url))
        overlay("credentials.yml", f"language_model: {{api_key: {KEY}}}\n")
        project.run("generate_meld")
        assert "0 of 52 there, 52 to write" in caplog.text
        assert "52 of 52 synthetic dialogues accepted" in caplog.text
        asked = server.given.total()
        caplog.clear()
        project.run("generate_meld")
        assert "52 of 52 there, none to write" in caplog.text
        assert server.given.total() == asked
    for path in project.path.rglob("*"):
        if path.is_file() and path.name != "credentials.yml":
            assert KEY.encode() not in path.read_bytes(), path
    said = capsys.readouterr()
    assert KEY not in said.out + said.err + caplog.text
