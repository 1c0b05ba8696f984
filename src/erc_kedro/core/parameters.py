"""The base of every typed parameter group."""

from pydantic import BaseModel, ConfigDict


class ParameterGroup(BaseModel):
    """A parameter group that refuses unknown names and does not change after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
