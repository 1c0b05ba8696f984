"""Label sets: a corpus's emotions in a fixed order."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from erc_kedro.core.errors import UserError


@dataclass(frozen=True)
class LabelSet:
    """The emotions of a corpus in a fixed order; the order is that of every array and matrix."""

    name: str
    emotions: tuple[str, ...]
    neutral: str = "neutral"

    def __len__(self) -> int:
        return len(self.emotions)

    def codes(self, emotions: Iterable[str], *, where: str = "emotion") -> np.ndarray:
        """Return each emotion's position in the label set.

        Args:
            emotions: Emotion names.
            where: What the names belong to, for the error message.

        Returns:
            int64 array, one position per name.

        Raises:
            UserError: If a name is not in the label set.
        """
        names = list(emotions)
        codes = pd.Index(self.emotions).get_indexer(pd.Index(names, dtype="object"))
        if (codes < 0).any():
            unknown = sorted({str(names[i]) for i in np.flatnonzero(codes < 0)})
            raise UserError(
                "Unknown emotion.",
                where=where,
                expected=f"one of {', '.join(self.emotions)} (label set {self.name!r})",
                found=", ".join(map(repr, unknown[:5])),
                remedy="correct the label, or map it before it enters the pipeline",
            )
        return codes.astype(np.int64)

    def shares(self, emotions: Iterable[str]) -> np.ndarray:
        """Return the share of each emotion among the given ones.

        Returns:
            float64 array of shape (labels,), summing to 1 (all zero for no emotions).
        """
        counts = np.bincount(self.codes(emotions), minlength=len(self)).astype(float)
        return counts / max(counts.sum(), 1.0)
