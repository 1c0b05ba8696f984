"""MELD (Poria et al., ACL 2019): dialogues of the TV series Friends, seven emotions.

Text annotation of the official release: data/MELD/{train,dev,test}_sent_emo.csv.
"""

from pathlib import Path

import pandas as pd

from erc_kedro.core.corpus import SPLITS, Corpus, file_per_split
from erc_kedro.core.labels import LabelSet
from erc_kedro.corpora.tables import finish_table, read_table

LABELS = LabelSet("meld", ("neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear"))

_COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID", "Season", "Episode")


def read_meld(path: Path, split: str) -> tuple[pd.DataFrame, list[str]]:
    """Read one split of MELD's CSV layout.

    Dialogue ids, which restart in each split, become "<split>-<Dialogue_ID>"; turns are counted
    anew from 0, in the order of Utterance_ID, and the original number stays as `utterance_id`.

    Returns:
        The dialogue table (with season, episode, utterance_id and original_text), and what the
        file lacks or repeats.

    Raises:
        UserError: If the file is not such a table; the message says where and why.
    """
    raw = read_table(path, _COLUMNS)
    table = pd.DataFrame(
        {
            "line": raw["line"],
            "dialogue_id": split + "-" + raw["Dialogue_ID"],
            "utterance_id": raw["Utterance_ID"],
            "speaker": raw["Speaker"],
            "original_text": raw["Utterance"],
            "emotion": raw["Emotion"],
            "season": raw["Season"],
            "episode": raw["Episode"],
        }
    )
    table, findings = finish_table(table, LABELS, path)
    numbers = set(pd.to_numeric(raw["Dialogue_ID"], errors="coerce").dropna().astype(int))
    if missing := sorted(set(range(max(numbers, default=0))) - numbers):
        findings.append(f"dialogue numbers are missing: {', '.join(map(str, missing))}")
    return table, findings


_CSV = file_per_split(
    "csv",
    files={split: f"{split}_sent_emo.csv" for split in SPLITS},
    read=read_meld,
    checksums={
        "train_sent_emo.csv": "d2fa2d6529cf03cac2989efec05c9b27d8fd2f4c8fc5974c7ae88aa537fa02db",
        "dev_sent_emo.csv": "2e89c6f8aa182d6f62f8c6331aece905ac7273ca4999660bfb5213e1d0370c1c",
        "test_sent_emo.csv": "8d37103938f7067600839fe29d5a114a6cd1bcdafb75bec101e06464c5006888",
    },
)

MELD = Corpus(
    name="meld",
    label_set=LABELS,
    layouts=(_CSV,),
    address="https://raw.githubusercontent.com/declare-lab/MELD/master/data/MELD/",
    licence="GPL-3.0 (repository of the official release)",
    agreement="Fleiss' kappa .43 (Poria et al., 2019)",
    sample=Path(__file__).parent / "sample_meld",
)
