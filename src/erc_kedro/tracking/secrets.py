"""What must stand in no log, tag, parameter or artifact."""

import os
import re
from collections.abc import Mapping
from typing import Any

from erc_kedro.tracking.provenance import flatten

HIDDEN = "[hidden]"

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:API)?(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(?:_|$)", flags=re.IGNORECASE
)
_PLAIN_NAMES = {"user", "username", "host", "port", "database", "region", "endpoint_url"}
_SHORTEST = 6  # shorter values are words such as "admin", which would blot out texts
_PASSWORD_IN_URL = re.compile(r"(?<=://)([^/@\s:]*):([^/@\s]+)@")


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
        values = [
            str(value)
            for name, value in flatten(credentials).items()
            if value is not None and name.rsplit(".", maxsplit=1)[-1] not in _PLAIN_NAMES
        ]
        values += [value for name, value in environment.items() if _SECRET_NAME.search(name)]
        long_enough = {value for value in values if len(value) >= _SHORTEST}
        self._values = sorted(long_enough, key=len, reverse=True)

    def hide(self, text: str) -> str:
        """Return a text without any secret value, nor the password of any address.

        >>> Secrets({"api": {"key": "k-123456"}}, {}).hide("k-123456 at db://ann:pw@host")
        '[hidden] at db://ann:[hidden]@host'
        """
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return _PASSWORD_IN_URL.sub(rf"\1:{HIDDEN}@", text)

    def hide_in(self, value: Any) -> Any:
        """Return a plain value, nested or not, with every text hidden as by `hide`."""
        if isinstance(value, Mapping):
            return {key: self.hide_in(own) for key, own in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide_in(own) for own in value]
        return self.hide(value) if isinstance(value, str) else value
