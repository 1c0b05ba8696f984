"""Pure logic of the project: plain values and tables; no framework, no network."""
