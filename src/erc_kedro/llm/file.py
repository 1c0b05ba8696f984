"""The file back-end: dialogues that people imported (`make import`)."""

from pathlib import Path

from erc_kedro.llm.bank import BankLanguageModel


class FileLanguageModel(BankLanguageModel):
    """Looks completions up in a folder, as the bank does in its own.

    Args:
        folder: What `make import` wrote: JSON-lines files as those of a bank.

    Raises:
        UserError: If there is none, or a line of it is no pair of spec and completion.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(Path(folder).name, folder)
        self.name = f"file:{Path(folder).name}"
        self.settings = {"model": self.name}
