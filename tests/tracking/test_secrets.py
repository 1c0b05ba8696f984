"""No secret value is left in a text."""

import json

from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.tracking.secrets import HIDDEN, Secrets

VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=6, max_size=30)


@given(
    secrets=st.lists(VALUES, max_size=4), before=st.text(max_size=20), after=st.text(max_size=20)
)
def test_no_value_survives_wherever_it_stands(secrets: list[str], before: str, after: str) -> None:
    known = Secrets({"service": {f"key{i}": value for i, value in enumerate(secrets)}}, {})
    for value in (secret.strip() for secret in secrets):
        if len(value) >= 6 and value not in HIDDEN:
            assert value not in known.hide(before + value + after).replace(HIDDEN, "")
            assert value not in str(known.hide_in({"a": [{"b": value}]})["a"][0]["b"])


def test_lists_lines_and_json_forms_are_hidden_too() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END KEY-----\n"
    secrets = Secrets({"a": {"keys": ["sk-first-111", "sk-second-22"], "pem": key}}, {})
    assert secrets.hide("sk-first-111 sk-second-22") == "[hidden] [hidden]"
    for form in (key, key.strip(), json.dumps({"pem": key}), key.replace("\n", "\n    ")):
        assert "MIIEvQ" not in secrets.hide(form)


def test_the_longest_value_goes_first() -> None:
    assert Secrets({"a": "secret", "b": "secret-longer"}, {}).hide("secret-longer!") == "[hidden]!"


def test_key_like_environment_variables_count_and_others_do_not() -> None:
    environment = {
        "OPENAI_API_KEYS": "sk-123456", "HF_TOKEN": "hf-123456", "PGPASSWORD": "pw-123456",
        "PWD": "/work-folder", "KEYBOARD": "us-layout", "MONKEY_NAME": "charlie",
        "HOME": "/home/ann",
    }  # fmt: skip
    text = " ".join(environment.values())
    hidden = Secrets({}, environment).hide(text)
    assert hidden == "[hidden] [hidden] [hidden] /work-folder us-layout charlie /home/ann"


def test_what_is_plain_or_short_stays_readable() -> None:
    credentials = {
        "db": {"username": "postgres", "host": "db.example.org", "port": 54321, "pin": 1}
    }
    text = "postgresql on db.example.org:54321, trial 1"
    assert Secrets(credentials, {}).hide(text) == text


def test_passwords_in_addresses_are_hidden_whoever_knows_them() -> None:
    secrets = Secrets({}, {})
    assert secrets.hide("postgresql+psycopg://ann:p4ss@host:1/db") == (
        "postgresql+psycopg://ann:[hidden]@host:1/db"
    )
    assert secrets.hide("db://ann:p@w/d@host/x") == "db://ann:[hidden]@host/x"
    assert secrets.hide("https://ghp_0123456789@host/x") == "https://[hidden]@host/x"
    assert secrets.hide("http://host:80/a b c:d@e") == "http://host:80/a b c:d@e"
