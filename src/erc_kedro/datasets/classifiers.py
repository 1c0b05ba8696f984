"""Trained classifiers, one per seed, in one safetensors file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

if TYPE_CHECKING:
    import torch

State = dict[str, "torch.Tensor"]


class ClassifiersDataset(AbstractDataset[dict[int, State], dict[int, State]]):
    """Saves the state of each seed's classifier; tensors are named "seed<N>/<name>".

    The file appears whole or not at all.

    Example:
        ```yaml
        "{corpus}.{arm}.classifiers":
          type: erc_kedro.datasets.ClassifiersDataset
          filepath: data/06_models/{corpus}/{arm}/classifiers.safetensors
        ```
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> dict[int, State]:
        """Return the state of each seed's classifier, by seed."""
        from safetensors.torch import load_file

        states: dict[int, State] = {}
        for name, tensor in load_file(self._filepath).items():
            seed, own = name.removeprefix("seed").split("/", maxsplit=1)
            states.setdefault(int(seed), {})[own] = tensor
        return dict(sorted(states.items()))

    def save(self, data: dict[int, State]) -> None:
        """Write the state of each seed's classifier."""
        from safetensors.torch import save_file

        tensors = {
            f"seed{seed}/{name}": tensor.contiguous()
            for seed, state in data.items()
            for name, tensor in state.items()
        }
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        incoming = self._filepath.with_suffix(".new")
        save_file(tensors, incoming)
        incoming.replace(self._filepath)

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
