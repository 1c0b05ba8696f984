"""What must stand in no log, tag, parameter or artifact."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

HIDDEN = "[hidden]"

_SECRET_NAME = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIAL"
    r"|(?:^|_)(?:API)?(?:KEYS?|TOKENS?|PWD|PASS|PAT)(?:_|$)",
    flags=re.IGNORECASE,
)
_NO_SECRETS = {"PWD", "OLDPWD"}
_PLAIN_NAMES = {"user", "username", "host", "port", "database", "region", "endpoint_url"}
_SHORTEST = 6  # shorter values are words such as "admin", which would blot out texts
_SHORTEST_LINE = 12
_USER_IN_URL = re.compile(r"(?<=://)([^/\s:@]*)(:\S*)?@(?=[^@\s]*)")


class Secrets:
    """Knows the values of credentials, and hides them.

    Args:
        credentials: The project's credentials, nested.
        environment: Environment variables; those named like a key, token or password count.
    """

    def __init__(
        self, credentials: Mapping[str, Any], environment: Mapping[str, str] | None = None
    ) -> None:
        environment = os.environ if environment is None else environment
        values = list(_leaves(credentials))
        values += [
            value
            for name, value in environment.items()
            if _SECRET_NAME.search(name) and name not in _NO_SECRETS
        ]
        shown = {form for value in values for form in _forms(value)}
        self._values = sorted(shown, key=len, reverse=True)

    def hide(self, text: str) -> str:
        """Return a text without any secret value, nor the password of any address.

        >>> Secrets({"api": {"key": "k-123456"}}, {}).hide("k-123456 at db://ann:pw@host")
        '[hidden] at db://ann:[hidden]@host'
        """
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return _USER_IN_URL.sub(_without_password, text)

    def hide_in(self, value: Any) -> Any:
        """Return a plain value, nested or not, with every text hidden as by `hide`."""
        if isinstance(value, Mapping):
            return {key: self.hide_in(own) for key, own in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide_in(own) for own in value]
        return self.hide(value) if isinstance(value, str) else value


def _leaves(value: Any, name: str = "") -> Iterator[str]:
    """Yield every value in credentials but those that are plainly no secret."""
    if isinstance(value, Mapping):
        for key, own in value.items():
            yield from _leaves(own, str(key))
    elif isinstance(value, list | tuple):
        for own in value:
            yield from _leaves(own, name)
    elif value is not None and name not in _PLAIN_NAMES:
        yield str(value)


def _forms(value: str) -> Iterator[str]:
    """Yield a secret in the forms that it may be met in: as it is, in JSON, line by line."""
    whole = value.strip()
    if len(whole) >= _SHORTEST:
        yield whole
        yield json.dumps(whole)[1:-1]
        yield from (line for line in whole.split("\n") if len(line) >= _SHORTEST_LINE)


def _without_password(found: re.Match[str]) -> str:
    """Return the user part of an address: without its password, or hidden if it stands alone."""
    user, password = found.groups()
    if password is not None:
        return f"{user}:{HIDDEN}@"
    return f"{HIDDEN}@" if len(user) >= _SHORTEST else found.group()
