"""The parameters that a card is made with: of the corpus in conf, as `kedro run` reads them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from yaml import YAMLError

from erc_kedro.core.errors import UserError
from erc_kedro.core.parameters import ParameterGroup
from erc_kedro.pipelines.generation.parameters import GenerationParameters
from erc_kedro.pipelines.release.parameters import ReleaseParameters
from erc_kedro.pipelines.validation.parameters import ValidationParameters

Group = TypeVar("Group", bound=ParameterGroup)


class CardParameters(NamedTuple):
    """The parameter groups that a card rests on."""

    generation: GenerationParameters
    validation: ValidationParameters
    release: ReleaseParameters


def read_parameters(corpus: str, conf: Path) -> CardParameters:
    """Return a corpus's parameters: conf/base, and conf/local over it.

    Raises:
        UserError: If there is no such folder, it says nothing of the corpus, or a value is none.
    """
    try:
        loader = OmegaConfigLoader(
            str(conf),
            base_env="base",
            default_run_env="local",
            merge_strategy={"parameters": "soft"},
        )
        found = loader["parameters"].get(corpus)
    except (MissingConfigException, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise UserError(
            "The parameters cannot be read.",
            where=str(conf),
            expected="the project's folder conf, with base and local",
            found=str(error),
            remedy="run the command in the project's folder, or mend the file",
        ) from error
    own: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    groups = CardParameters.__annotations__
    if missing := [name for name in groups if name not in own]:
        raise UserError(
            f"There are no parameters for {corpus}.",
            where=str(conf),
            expected=f"{corpus}: with {', '.join(groups)}",
            found=f"no {', '.join(missing)}",
            remedy="write them, see docs/your_own_corpus.md",
        )
    return CardParameters(
        **{
            name: _checked(group, own[name], f"{conf}, {corpus}.{name}")
            for name, group in groups.items()
        }
    )


def _checked(group: type[Group], values: Any, where: str) -> Group:
    try:
        return group.model_validate(values)
    except ValidationError as error:
        raise UserError(
            "A parameter is refused.",
            where=where,
            expected="see docs/configuration.md",
            found="; ".join(
                f"{'.'.join(map(str, own['loc'])) or 'all'}: {own['msg']}" for own in error.errors()
            ),
            remedy="correct it in conf",
        ) from error
