"""A figure as two files: SVG for the page, PNG for everything else."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import ImagePreview

from erc_kedro.modelling.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class FigureDataset(AbstractDataset["Figure", str]):
    """Saves a matplotlib figure as SVG, and as PNG beside it; loads the SVG's text.

    Each file appears whole or not at all.

    Example:
        ```yaml
        "{corpus}.{name}_figure":
          type: erc_kedro.datasets.FigureDataset
          filepath: data/08_reporting/{corpus}/figures/{name}.svg
        ```
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> str:
        """Return the SVG file's text."""
        return self._filepath.read_text(encoding="utf-8")

    def save(self, data: "Figure") -> None:
        """Write both files; the SVG, which tells that the figure exists, last."""
        from erc_kedro.reporting.images import png_of, svg_of

        contents = {".png": png_of(data), ".svg": svg_of(data).encode()}
        for suffix, content in contents.items():
            with replacing(self._filepath.with_suffix(suffix)) as incoming:
                incoming.write_bytes(content)

    def preview(self) -> ImagePreview:
        """Return the PNG in base64, for kedro-viz."""
        content = self._filepath.with_suffix(".png").read_bytes()
        return ImagePreview(base64.b64encode(content).decode())

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
