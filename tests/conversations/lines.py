"""Conversations in the import format, as tests need them."""

import json
from typing import Any


def line(
    name: str = "c1", *, texts: tuple[str, ...] = ("hello",), ts: str | None = None, **fields: Any
) -> dict[str, Any]:
    stamp = {"ts": ts} if ts else {}
    messages = [{"role": "user", "text": text, "seq": seq, **stamp} for seq, text in enumerate(texts)]
    value = {"id": name, "channel": "web", "contact": {"id": f"contact of {name}", "variables": {}}, "variables": {}}
    return {**value, "messages": messages, **fields}


def raw(*values: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)
