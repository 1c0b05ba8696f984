"""Figures as files and as part of a page: the same figure gives the same bytes."""

import io
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary
from xml.etree import ElementTree

from erc_kedro.reporting.text import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#17202b"
"""Colour of text and axes; on a page it gives way to the page's own text colour."""

_DRAWN = frozenset({"svg", "g", "defs", "path", "text", "tspan", "use", "clipPath", "rect"})
_KEPT = frozenset({"viewBox", "id", "d", "style", "transform", "x", "y", "width", "height"})
_KEPT |= {"clip-path", "href"}
_NAMESPACE = "{http://www.w3.org/2000/svg}"

_FILES: WeakKeyDictionary[Any, dict[str, bytes]] = WeakKeyDictionary()
"""Rendered figures: the same one is saved, and logged to MLflow."""

_SETTINGS_IN_USE = Lock()
"""matplotlib reads SVG settings from one global table, and ThreadRunner saves side by side."""


def svg_of(figure: "Figure") -> str:
    """Return a figure as SVG with transparent background and text as text."""
    return _rendered(figure, format="svg", facecolor="none", metadata={"Date": None}).decode()


def png_of(figure: "Figure") -> bytes:
    """Return a figure as PNG, 150 dots per inch, on white."""
    return _rendered(figure, format="png", facecolor="white", dpi=150)


def _rendered(figure: "Figure", **arguments: Any) -> bytes:
    """Return a figure's file; a figure is not changed after it was first rendered."""
    import matplotlib as mpl

    settings: Any = {"svg.hashsalt": "erc_kedro", "svg.fonttype": "none"}
    settings |= {"figure.autolayout": False, "figure.constrained_layout.use": False}
    with _SETTINGS_IN_USE, mpl.rc_context(settings):
        files = _FILES.setdefault(figure, {})
        if engine := figure.get_layout_engine():
            engine.execute(figure)
            figure.set_layout_engine(None)  # or every rendering would draw twice, and move things
        if arguments["format"] not in files:
            target = io.BytesIO()
            figure.savefig(target, **arguments)
            files[arguments["format"]] = target.getvalue()
        return files[arguments["format"]]


def inline_svg(svg: str, name: str, description: str) -> str:
    """Return an SVG file's text as an element for an HTML page.

    Only shapes and text stay, without links, scripts and foreign elements; ids are made unique by
    the figure's name; ink takes the page's text colour, so that it turns with its theme.

    Args:
        svg: As `svg_of` returns it.
        name: Short name, unique on the page.
        description: What the figure shows, for those who do not see it.
    """
    root = ElementTree.fromstring(svg)
    _clean(root, name)
    for key in ("width", "height"):
        root.attrib.pop(key, None)
    about = visible(description, 2000)
    root.attrib |= {"role": "img", "aria-label": about, "class": "figure"}
    title = ElementTree.Element("title")
    title.text = about
    root.insert(0, title)
    return ElementTree.tostring(root, encoding="unicode").replace(INK, "currentColor")


def _clean(element: ElementTree.Element, name: str) -> None:
    element.tag = element.tag.removeprefix(_NAMESPACE)
    attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    element.attrib.clear()
    for key, value in attributes.items():
        if key not in _KEPT or (key == "href" and not value.startswith("#")):
            continue
        if key == "id":
            value = f"{name}-{value}"  # noqa: PLW2901
        elif key == "href":
            value = f"#{name}-{value[1:]}"  # noqa: PLW2901
        elif "url(" in value:
            if not value.startswith("url(#"):
                continue
            value = value.replace("url(#", f"url(#{name}-")  # noqa: PLW2901
        elif key == "style":
            # The page's own font: narrower than the one that the layout was measured with.
            value = value.replace("'DejaVu Sans'", "system-ui")  # noqa: PLW2901
        element.set(key, value)
    for child in list(element):
        if str(child.tag).removeprefix(_NAMESPACE) in _DRAWN:
            _clean(child, name)
        else:
            element.remove(child)
