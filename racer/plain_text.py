"""Text from files and other people, made safe for a terminal or a page: nothing in it controls what displays it.

Escape sequences move the cursor and recolour a terminal, and bidirectional controls show a name the other way round.
"""

from __future__ import annotations

from typing import Any, TextIO

_DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that reorder those around them (Unicode Standard Annex 9)."""
_ON_A_PAGE = str.maketrans(
    dict.fromkeys([*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), *_DIRECTIONS], "\ufffd")
    | {"\n": "\n", "\t": "\t"}
)


def plain(text: str, instead: str = "?", keep: str = "") -> str:
    """Return text for a terminal: what is not printable is replaced, but for the characters in `keep`."""
    return "".join(character if character.isprintable() or character in keep else instead for character in text)


def on_a_page(value: Any) -> Any:
    """Return a text without controls, joiners and spaces of other scripts left as they are; other values unchanged."""
    return value.translate(_ON_A_PAGE) if isinstance(value, str) else value


class PlainStream:
    """A text stream that writes nothing that steers a terminal, whatever is printed to it.

    Rich writes around it, colours and all: texts that it is given are guarded one by one.

    Args:
        stream: What is written to.
    """

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream
        """Where rich writes to."""

    def write(self, text: str) -> int:
        """Write a text; return its length.

        Raises:
            TypeError: If it is not text: click asks in this way whether a stream takes bytes.
        """
        if not isinstance(text, str):
            raise TypeError(f"a text stream takes no {type(text).__name__}")
        self.rich_proxied_file.write(plain(text, keep="\n\r\t"))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)
