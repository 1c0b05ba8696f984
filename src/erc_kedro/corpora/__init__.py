"""The real benchmarks: one reader each, and the one list that names them."""

from collections.abc import Mapping

from erc_kedro.core.corpus import Corpus
from erc_kedro.core.errors import UserError
from erc_kedro.corpora.emorynlp import EMORYNLP
from erc_kedro.corpora.iemocap import IEMOCAP
from erc_kedro.corpora.meld import MELD

_ALL = (
    MELD,
    EMORYNLP,
    IEMOCAP,
)

CORPORA: Mapping[str, Corpus] = {corpus.name: corpus for corpus in _ALL}
"""Every corpus by name; the first one is what `kedro run` without a pipeline augments."""


def find_corpus(name: str) -> Corpus:
    """Return the corpus of a name.

    Raises:
        UserError: If there is none.
    """
    if name not in CORPORA:
        raise UserError(
            "Unknown corpus.",
            where="the corpus that was named",
            expected=f"one of {', '.join(CORPORA)}",
            found=repr(name),
            remedy="name one of these, or add your own: docs/your_own_corpus.md",
        )
    return CORPORA[name]
