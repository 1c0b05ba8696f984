"""Encoders, features, classifiers: everything that needs torch, imported lazily by the nodes."""
