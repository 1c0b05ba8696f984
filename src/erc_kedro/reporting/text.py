"""Text by strangers (corpora, language models, files) made fit to be shown."""

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})
_BLANK = frozenset("\u034f\u115f\u1160\u2800\u3164\uffa0")  # letters by category, seen as nothing


def visible(text: object, limit: int = 300) -> str:
    r"""Return a text in which nothing is hidden and that is not too long.

    Control, zero-width and direction characters are shown by their code point, so no text can
    turn around or swallow what stands beside it; lone surrogates too, which no file can hold.

    Args:
        text: Any value; it is shown as `str` shows it.
        limit: Characters kept; what is longer ends with its true length.

    Returns:
        One line of printable characters. It is not HTML: escape it.

    >>> visible("safe\u202egnp.exe"), visible("abcdef", limit=3)
    ('safe⟨U+202E⟩gnp.exe', 'abc… (6 characters)')
    """
    whole = str(text)
    shown = "".join(map(_shown, whole[:limit]))
    return shown if len(whole) <= limit else f"{shown}… ({len(whole):,} characters)"


def _shown(character: str) -> str:
    if unicodedata.category(character) in _HIDDEN or character in _BLANK:
        return f"⟨U+{ord(character):04X}⟩"
    return character
