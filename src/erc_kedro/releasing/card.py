"""A release without the real corpus: its stored dialogues, judged, measured and described.

The stages do the work that they do in the release pipeline; real train is empty for those that
judge, and missing for those that compare.
"""

import shlex
from pathlib import Path

import numpy as np
import pandas as pd

from erc_kedro.core.corpus import Corpus, held_out_of
from erc_kedro.core.demonstrations import excerpt_table
from erc_kedro.core.dialogue import dialogue_table
from erc_kedro.core.errors import UserError
from erc_kedro.corpora import find_corpus
from erc_kedro.corpora.at_hand import read_others
from erc_kedro.datasets import SecondLabelsDataset
from erc_kedro.llm import open_language_model
from erc_kedro.llm.bank import stored_banks
from erc_kedro.llm.protocol import LanguageModel
from erc_kedro.modelling.features import FeatureStore
from erc_kedro.modelling.files import check_writable
from erc_kedro.pipelines.generation.nodes import parse_candidates, write_dialogues
from erc_kedro.pipelines.release.nodes import measure_release, write_release
from erc_kedro.pipelines.validation.nodes import gate, validate
from erc_kedro.releasing.conf import CardParameters, read_parameters
from erc_kedro.releasing.folder import write_folder
from erc_kedro.tracking.provenance import provenance_tags


def make_card(corpus: str, project: Path, into: Path) -> tuple[Path, dict[str, bytes]]:
    """Write the stored dialogues of a corpus as a data set for others.

    Args:
        corpus: The corpus.
        project: The project's folder, with conf, and with data, where other corpora may be at hand.
        into: The folder of all releases; the corpus's own is replaced as a whole.

    Returns:
        The corpus's folder, and its files by their paths: those of `write_release`.

    Raises:
        UserError: If there is no such corpus or no bank of it, the parameters cannot be used, the
            dialogues fail validation, one overlaps with dev or test of another corpus at hand, or
            the folder cannot be written.
    """
    found = find_corpus(corpus)
    _check_bank(found.name)
    parameters = read_parameters(found.name, project / "conf")
    check_writable(into, "folder of releases")
    bank = open_language_model("bank", {"corpus": found.name})
    files = release_stored(found, bank, parameters, project)
    return write_folder(found.name, files, into), files


def release_stored(
    corpus: Corpus, bank: LanguageModel, parameters: CardParameters, project: Path
) -> dict[str, bytes]:
    """Return the files of a release of all stored dialogues that the rules accept.

    Args:
        corpus: The corpus.
        bank: Holds the dialogues.
        parameters: What they are judged and described by.
        project: The project's folder.

    Raises:
        UserError: As of `make_card`.
    """
    generation, validation, release = parameters
    corpus_card = {
        "corpus": corpus.name,
        "corpus_source": None,
        "digest": None,
        "emotions": list(corpus.label_set.emotions),
        "agreement": corpus.agreement,
    }
    unknown = dialogue_table([], "real")
    forbidden = _forbidden(corpus.name, project / "data" / "01_raw")
    specs = [spec.to_dict() for spec in bank.stored_specs or ()]
    no_excerpts = excerpt_table([], np.zeros((0, len(generation.attributes["scenario"]))))
    candidates, generation_report = write_dialogues(
        specs,
        no_excerpts,
        unknown,
        forbidden,
        corpus_card,
        bank,
        generation,
        validation.max_words,
    )
    accepted, _, report, _ = validate(
        parse_candidates(candidates), specs, unknown, forbidden, corpus_card, validation
    )
    measures = measure_release(
        accepted,
        None,
        forbidden,
        gate(report, corpus_card),
        SecondLabelsDataset(corpus=corpus.name).load(),
        FeatureStore(project / "data" / "04_feature" / "store"),
        release,
    )
    command = shlex.join(["python", "-m", "erc_kedro.releasing", corpus.name])
    return write_release(
        accepted,
        None,
        candidates,
        no_excerpts,
        measures,
        corpus_card,
        generation_report,
        report,
        provenance_tags(project, {}) | {"kedro_command": command},
        None,
        None,
        None,
        generation.template,
        generation.speech_register,
        generation.definitions,
        generation.manner,
        generation.demonstrations.n,
        release,
    )


def _check_bank(corpus: str) -> None:
    if corpus not in stored_banks():
        raise UserError(
            "No bank of stored dialogues ships for this corpus.",
            where=corpus,
            expected=f"one of {', '.join(stored_banks())}",
            found="none",
            remedy=f"release what a language model writes: kedro run --pipeline=release_{corpus}",
        )


def _forbidden(corpus: str, raw_data: Path) -> pd.DataFrame:
    """Return the texts of dev and test of every other corpus at hand: corpus, split, text."""
    others = [held_out_of(raw) for raw in read_others(corpus, raw_data).values()]
    return pd.concat([pd.DataFrame(columns=["corpus", "split", "text"], dtype="str"), *others])
