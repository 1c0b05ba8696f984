"""A classifier as MLflow logs, loads and serves it: dialogues in, emotions out.

MLflow keeps this file beside the weights and runs it to get the model ("models from code"), so
nothing is pickled.
"""

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from erc_kedro.core.errors import UserError
from erc_kedro.serving.requests import ordered_dialogues
from erc_kedro.serving.settings import ADAPTED, ServedSettings


class DialogueClassifier(PythonModel):
    """The emotion of every turn of dialogues: the mean over an arm's seeds."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the classifiers that lie in the model's folder, and the encoders that they need.

        Raises:
            UserError: If the encoder is not there, or not the one trained with.
            ValueError: If a classifier's file is damaged.
        """
        from erc_kedro.modelling.classifier_store import ClassifierStore
        from erc_kedro.serving.ensemble import Ensemble

        path = Path(context.artifacts["settings"])
        settings = ServedSettings.model_validate_json(path.read_text("utf-8"))
        if ADAPTED in context.artifacts:
            settings = settings.inside(context.artifacts[ADAPTED])
        store = ClassifierStore(path.parent)  # MLflow lays the seeds' files beside the settings
        states = {seed: store.load(seed).state for seed in settings.seeds}
        self._emotions = settings.emotions
        self._ensemble = Ensemble(settings, states)
        self._one_at_a_time = Lock()  # servers predict in threads, tokenizers are for one alone

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return the emotion of every turn.

        Args:
            context: Not used.
            model_input: Columns dialogue_id, turn, speaker and text, rows in any order; a
                dialogue's turns are classified in their order.
            params: Not used.

        Returns:
            In the order of the rows: dialogue_id, turn, emotion (the likeliest), and p_<emotion>,
            the probability of every emotion.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE (a server answers 400) with what is wrong.
        """
        try:
            dialogues = ordered_dialogues(model_input)
        except UserError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        with self._one_at_a_time:
            ordered = self._ensemble.probabilities(dialogues)
        probabilities = np.empty_like(ordered)
        probabilities[dialogues.index] = ordered
        predicted = np.array(self._emotions, dtype=object)[probabilities.argmax(1)]
        result = model_input[["dialogue_id", "turn"]].assign(emotion=predicted)
        return result.assign(
            **{f"p_{name}": probabilities[:, i] for i, name in enumerate(self._emotions)}
        )


set_model(DialogueClassifier())
