"""Serving: an arm's classifiers as one MLflow model, dialogues in, emotions out."""
