"""What the tokens of a tokenizer stand for, in bytes."""

import re
from typing import Any


def token_bytes(tokenizer: Any) -> dict[int, bytes]:
    """Return what every ordinary token of a tokenizer stands for."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    apart = {*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids}
    tokens = {number: token for token, number in vocabulary.items() if number not in apart}
    if "Ġ" in vocabulary and "<0x0A>" not in vocabulary:  # byte-level
        codes = _codes_of_characters()
        return {
            number: bytes(codes[character] for character in token)
            for number, token in tokens.items()
            if codes.keys() >= set(token)
        }
    single = re.compile("<0x([0-9A-F]{2})>")
    return {
        number: bytes.fromhex(match[1])
        if (match := single.fullmatch(token))
        else token.replace("▁", " ").encode()
        for number, token in tokens.items()
    }


def _codes_of_characters() -> dict[str, int]:
    """Return the byte of each character of byte-level vocabularies, as GPT-2 wrote them first."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [code for code in range(0x100) if code not in shown]
    return {chr(c): c for c in shown} | {chr(0x100 + i): c for i, c in enumerate(hidden)}
