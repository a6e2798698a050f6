"""Spoilt input for `fuzz_inputs.py`: bytes changed at random, tables, JSON, TOML and tensors on purpose."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

LIMITS = (0, 1, 0x7F, 0x80, 0xFF, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
STEERING = (
    "\x1b[2J",
    "\u202egpj.exe",
    "\u2066\u2069\u200f\u061c",
    "\x9b31m",
    "fine\r=cmd|' /C calc'!A0\rp99",
    "=1+1",
    "+1",
    "@SUM(A1)",
    "\uff1d1+1",
    "\uff0b1\uff20",
    "\t=1",
    " \u2028=1",
    "<script>alert(1)</script>",
)
"""What turns a terminal's or a page's writing round or steers it, and what a spreadsheet reckons with."""
TEXTS = (
    *("", "../../x", "/etc/passwd", "é" * 300, "x" * 70_000, "[" * 5_000, "nan", "-1", "{}", "p01\n"),
    *STEERING,
)


_JSON_BOMBS = (
    b"",
    b"null",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"1" * 100_000,
    b"-1e400",
    b"NaN",
    b'"\\ud800"',
    b"[1,",
    b"{}" * 1000,
    b"[" + b"0," * 100_000 + b"0]",
    b"\xef\xbb\xbf{}",
)
_MOST_BYTES = 50_000_000
_CELLS = (
    '"',
    '"a\nb"',
    "@x",
    "-1",
    "nan",
    "inf",
    "1e400",
    "\0",
    "../../x",
    "x" * 1000,
    "",
    " ",
    "é",
    *STEERING,
)


def spoil_bytes(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Return a file's bytes, changed one to four times: flipped, cut, overwritten, moved, or spliced with another's."""
    spoilt = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not spoilt:
            break
        at, length = rng.randrange(len(spoilt)), rng.choice((1, 2, 8, 64, 512, 4096))
        kind = rng.randrange(9)
        if kind in (0, 1):
            used = [index for index in range(at, min(at + 4096, len(spoilt))) if spoilt[index]] or [at]
            spoilt[rng.choice(used)] ^= 1 << rng.randrange(8)
        elif kind == 2:
            spoilt[at] = rng.randrange(256)
        elif kind == 3:
            spoilt[at:] = b""
        elif kind == 4:
            at -= at % 8
            spoilt[at : at + 8] = rng.choice(LIMITS).to_bytes(8, rng.choice(("little", "big")))
        elif kind == 5:
            source = rng.randrange(len(spoilt))
            spoilt[at : at + length] = spoilt[source : source + length]
        elif kind == 6:
            source = rng.randrange(len(other))
            spoilt[at : at + length] = other[source : source + length]
        elif kind == 7:
            spoilt[at:at] = rng.randbytes(length)
        else:
            del spoilt[at : at + length]
    return bytes(spoilt)


def spoil_mask(data: bytes, rng: random.Random) -> bytes:
    """Return a mask file with its bytes, or its safetensors header, changed."""
    kind = rng.randrange(8)
    if kind == 0:
        return spoil_bytes(data, data, rng)
    end = 8 + int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8:end]), data[end:]
    if kind == 1:
        return rng.choice(LIMITS).to_bytes(8, "little") + data[8:]
    if kind == 2:
        depth = rng.choice((100, 10_000, 200_000))
        bomb = b'{"a":' * depth if rng.random() < 0.5 else b"[" * depth
        return len(bomb).to_bytes(8, "little") + bomb + body
    tensors = [name for name in header if name != "__metadata__"]
    if kind == 3:
        entry = header[rng.choice(tensors)]
        entry["shape"] = rng.choice(([2**40], [2**32, 2**32], [-1], [], [0], [1] * 1000, entry["shape"][::-1], "x"))
    elif kind == 4:
        entry = header[rng.choice(tensors)]
        entry["dtype"] = rng.choice(("F64", "I64", "BOOL", "F8_E4M3", "U8", "", 7, None, "BF16"))
    elif kind == 5:
        entry = header[rng.choice(tensors)]
        entry["data_offsets"] = [rng.choice(LIMITS), rng.choice(LIMITS)]
    elif kind == 6:
        record = json.loads(header["__metadata__"]["record"])
        for _ in range(rng.randint(1, 3)):
            record[rng.choice(list(record))] = _any_json(rng)
        text = json.dumps(record)
        if rng.random() < 0.3:
            text = rng.choice(("[" * 100_000, '{"config":' * 50_000, "1" * 100_000, "NaN", "", '"\\ud800"', "null"))
        header["__metadata__"]["record"] = text
    else:
        body = spoil_bytes(body, b"\xff\xff\xff\x7f\x00\x00\xc0\x7f", rng)
    packed = json.dumps(header).encode()
    return len(packed).to_bytes(8, "little") + packed + body


def spoil_tensors(data: bytes, rng: random.Random) -> bytes:
    """Return a file of tensors spoilt as masks are, or with what its header says of it changed."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    if rng.random() < 0.6:
        header["__metadata__"].setdefault("record", '{"config": {}}')
        packed = json.dumps(header).encode()
        return spoil_mask(len(packed).to_bytes(8, "little") + packed + data[end:], rng)
    name = rng.choice(list(header["__metadata__"]))
    header["__metadata__"][name] = spoil_json(header["__metadata__"][name].encode(), rng).decode(errors="replace")
    packed = json.dumps(header).encode()
    return len(packed).to_bytes(8, "little") + packed + data[end:]


def spoil_json(data: bytes, rng: random.Random) -> bytes:
    """Return JSON with one to three of its values changed, doubled or taken out, or its bytes changed."""
    if (kind := rng.random()) < 0.1:
        return spoil_bytes(data, data, rng)
    if kind < 0.2:
        return rng.choice(_JSON_BOMBS)
    try:
        whole = [json.loads(data)]
    except (ValueError, RecursionError):
        return spoil_bytes(data, data, rng)
    for _ in range(rng.randint(1, 3)):
        place, key = rng.choice(list(_places(whole)))
        kind = rng.randrange(6)
        if kind == 0 and place is not whole:
            del place[key]
        elif kind == 1 and isinstance(place, dict):
            place[rng.choice((*TEXTS, "x"))] = place.pop(key)
        elif kind == 2 and isinstance(place, list):
            place.extend([place[key]] * rng.choice((1, 50, 3000)))
        elif kind == 3 and isinstance(place[key], str) and place[key]:
            place[key] = spoil_bytes(place[key].encode(), b"\0\x1b[", rng).decode(errors="replace")
        else:
            place[key] = _any_json(rng)
    return json.dumps(whole[0] if whole else None).encode()


def _places(whole: Any) -> Iterator[tuple[Any, Any]]:
    keys = range(len(whole)) if isinstance(whole, list) else list(whole) if isinstance(whole, dict) else ()
    for key in keys:
        yield whole, key
        yield from _places(whole[key])


def spoil_lines(data: bytes, rng: random.Random) -> bytes:
    """Return a file of JSON lines with lines spoilt, repeated, moved, or not ended."""
    lines = data.splitlines()
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(len(lines)) if lines else 0
        kind = rng.randrange(8)
        if kind == 0:
            size = max((len(line) for line in lines[at : at + 1]), default=1) + 1
            lines[at:at] = lines[at : at + 1] * min(rng.choice((1, 100, 3000)), _MOST_BYTES // size)
        elif kind == 1:
            rng.shuffle(lines)
        elif kind == 2:
            lines[at : at + 1] = []
        elif kind == 3:
            lines[at:at] = [rng.choice((b"", b"null", b"[]", b"\xff\xfe", b"x" * 10**6))]
        elif lines:
            lines[at] = spoil_json(lines[at], rng).replace(b"\n", b" ")
    spoilt = b"\n".join(lines) + b"\n"
    return spoilt[: rng.randrange(len(spoilt))] if rng.random() < 0.1 else spoilt


def spoil_csv(data: bytes, rng: random.Random) -> bytes:
    """Return a table with cells, rows or columns changed, or in another encoding."""
    rows = [line.split(",") for line in data.decode().splitlines()]
    for _ in range(rng.randint(1, 3)):
        row = rng.choice(rows)
        kind = rng.randrange(8)
        if kind == 0:
            row[rng.randrange(len(row))] = rng.choice((*_CELLS, *rng.choice(rows)))
        elif kind == 1:
            row[rng.randrange(len(row))] = str(rng.choice(LIMITS))
        elif kind == 2:
            row.append(rng.choice(_CELLS))
        elif kind == 3 and len(row) > 1:
            row.pop()
        elif kind == 4:
            rows.extend([list(row)] * rng.choice((1, 100, 3000)))
        elif kind == 5:
            rng.shuffle(rows)
        elif kind == 6 and len(rows) > 1:
            rows.remove(row)
        else:
            at = rng.randrange(len(rows[0]))
            for each in rows:
                if at < len(each):
                    each[at] = rng.choice((*_CELLS, each[at]))
    separator, end = rng.choice((",",) * 9 + (";",)), rng.choice(("\n",) * 9 + ("\r",))
    text = end.join(separator.join(row) for row in rows)
    spoilt = text.encode(rng.choice(("utf-8",) * 8 + ("utf-8-sig", "utf-16")), errors="replace")
    return spoil_bytes(spoilt, spoilt, rng) if rng.random() < 0.1 else spoilt


def spoil_toml(text: str, rng: random.Random) -> bytes:
    """Return a TOML file with values, lines or bytes changed."""
    for _ in range(rng.randint(1, 2)):
        lines = text.split("\n")
        at = rng.randrange(len(lines))
        kind = rng.randrange(7)
        if kind == 0:
            lines[at] = lines[rng.randrange(len(lines))]
        elif kind == 1:
            del lines[at]
        elif kind == 2:
            lines.insert(at, rng.choice(("[a.b]", "[[episodes]]", "x = 1", "[" * 3_000, "a." * 20 + "b = 1", '"""')))
        elif kind == 3:
            values = [i for i, line in enumerate(lines) if "=" in line] or [at]
            at = rng.choice(values)
            lines[at] = lines[at].partition("=")[0] + "= " + _any_toml(rng)
        elif kind == 4:
            lines[at] = re.sub(r"\d+", str(rng.choice(LIMITS)), lines[at])
        elif kind == 5:
            lines[at] += rng.choice(('"', "'", "]", "}", "\\", "\0", "\x1b[2J", "#", ",", "= ="))
        text = "\n".join(lines)
    data = text.encode()
    return spoil_bytes(data, data, rng) if rng.random() < 0.1 else data


def _any_toml(rng: random.Random) -> str:
    text = json.dumps(rng.choice(TEXTS))
    return rng.choice(
        (
            str(rng.choice(LIMITS)),
            f"-{rng.choice(LIMITS)}",
            "nan",
            "inf",
            "1e400",
            "true",
            "[]",
            "{}",
            text,
            f"[{text}, 1]",
            "9" * 5_000,
            "[" * 2_000 + "]" * 2_000,
            "1979-13-45",
            "{a = {b = 1}}",
        )
    )


def _any_json(rng: random.Random) -> Any:
    return rng.choice(
        (None, True, 0, -1, 0.5, 2**70, 1e308, float("inf"), float("nan"), [], {}, [[]], {"a": {}}, ["x", 1], *TEXTS)
    )
