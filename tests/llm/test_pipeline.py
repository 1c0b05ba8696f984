"""A server writes the dialogues of a run; a second run asks it nothing."""

from collections.abc import Callable

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
    project: Project, overlay: Callable[[str, str], None]
) -> None:
    rates = dict.fromkeys(TRANSPORT_FAULTS, 0.05)
    with FaultServer(Faults(rates=rates, seed=3, retry_after="0.05")) as server:
        overlay("catalog_generation.yml", ENTRY.format(url=server.url))
        overlay("credentials.yml", f"language_model: {{api_key: {KEY}}}\n")
        first = project.kedro("run", "--pipelines=generate_meld", "--env=test")
        assert first.returncode == 0, first.stderr
        assert "0 of 52 there, 52 to write" in first.stderr
        assert "52 of 52 synthetic dialogues accepted" in first.stderr
        asked = server.given.total()
        second = project.kedro("run", "--pipelines=generate_meld", "--env=test")
        assert second.returncode == 0, second.stderr
        assert "52 of 52 there, none to write" in second.stderr
        assert server.given.total() == asked
    for path in project.path.rglob("*"):
        if path.is_file() and path.name != "credentials.yml":
            assert KEY.encode() not in path.read_bytes(), path
    assert KEY not in first.stderr + first.stdout + second.stderr
