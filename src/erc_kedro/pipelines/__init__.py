"""The stages of an experiment, one folder each, in the order data flows through them:
ingestion, generation, validation, encoding, mixing, training, evaluation.
"""
