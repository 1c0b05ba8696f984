"""The one error a user sees: what was expected, what came, where, and what to do."""


class UserError(ValueError):
    """Bad input that the user can mend.

    Args:
        problem: One sentence saying what is wrong.
        expected: What would have been right.
        found: What came instead.
        where: The file, row, dialogue or parameter it concerns.
        remedy: What to do about it.
    """

    def __init__(
        self,
        problem: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        where: str | None = None,
        remedy: str | None = None,
    ) -> None:
        lines = [problem]
        parts = {"where": where, "expected": expected, "found": found, "what to do": remedy}
        lines += [f"  {name}: {value}" for name, value in parts.items() if value is not None]
        super().__init__("\n".join(lines))
