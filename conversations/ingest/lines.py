"""Check the import format: one conversation as one JSON object. docs/import.md describes it for users.

``parse`` takes a line, ``check_conversation`` a value that is parsed already. Both raise ``Refused`` with one reason
that names the field. Unknown fields are refused, so that a typo is never dropped silently.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Any

from django.utils.translation import gettext as _

from conversations.choices import MessageRole
from conversations.ingest.limits import MOST_VARIABLES, VariablesSize, is_plainly_within
from conversations.ingest.strict_json import Refused, loads, quoted

LONGEST_LINE = 64 * 1024 * 1024  # bytes
LONGEST_NAME = 255
LONGEST_TEXT = 2_097_152
LARGEST_SEQ = 2**31 - 1
LARGEST_SIZE = 2**40
DEEPEST = 64
REPLACEMENT = "\ufffd"
EARLIEST = datetime(1, 1, 2, tzinfo=UTC)  # a day after the calendar begins, so that every time zone can show it

_control = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_rfc3339 = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII | re.IGNORECASE
)
_sha256 = re.compile(r"[0-9a-f]{64}")
_canonical = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode
_roles = frozenset(MessageRole.values)


@dataclass(slots=True)
class ParsedMessage:
    seq: int
    role: str
    text: str
    author: str  # "" if the source has none
    ts: datetime | None  # UTC, as claimed by the source


@dataclass(slots=True)
class NewMessage:
    """A message to append. Without ``seq`` it follows the last one, without ``ts`` it is sent now."""

    role: str
    text: str
    seq: int | None = None
    ts: datetime | None = None
    author: str = ""


@dataclass(slots=True)
class ParsedAttachment:
    name: str
    mime: str
    size: int
    seq: int | None
    media: str | None
    sha256: str | None


@dataclass(slots=True)
class ParsedContact:
    id: str
    name: str  # "" if the source has none
    variables: dict[str, Any]


@dataclass(slots=True)
class ParsedConversation:
    """One valid conversation; ``messages`` are in the order of ``seq``.

    ``digest`` is the SHA-256 of its content, independent of the order of keys and messages and of blanks.
    ``nul_count`` NUL characters, which PostgreSQL cannot store, were replaced by U+FFFD.
    """

    id: str
    channel: str
    contact: ParsedContact
    variables: dict[str, Any]
    messages: list[ParsedMessage]
    attachments: list[ParsedAttachment]
    digest: bytes
    nul_count: int = field(default=0)


def parse(line: bytes) -> ParsedConversation:
    """Return the conversation on one line, with or without its end-of-line. Raises ``Refused``."""
    if len(line) > LONGEST_LINE:
        raise Refused(_("longer than %(longest)s bytes") % {"longest": LONGEST_LINE})
    return check_conversation(loads(line.removesuffix(b"\n")))


def check_conversation(value: Any) -> ParsedConversation:
    """Return the conversation in ``value``, which came from ``strict_json.loads``. Raises ``Refused``."""
    parsed = _conversation(value)
    canonical = _canonical(value | {"messages": sorted(value["messages"], key=lambda message: message["seq"])})
    nul_count = 0
    if r"\u0000" in canonical and (nul_count := _count_nul(value)):
        parsed = _conversation(_without_nul(value))
    try:
        parsed.digest = hashlib.sha256(canonical.encode()).digest()
    except UnicodeEncodeError:
        raise Refused(_("%(path)s has a lone surrogate") % {"path": _path_of_surrogate(value, "")}) from None
    parsed.nul_count = nul_count
    if not is_plainly_within(0, canonical):
        _check_size(parsed.contact.variables, "contact.variables")
        _check_size(parsed.variables, "variables")
    return parsed


def _check_size(variables: dict[str, Any], path: str) -> None:
    if excess := VariablesSize.of(variables).excess():
        raise Refused(_("%(path)s has %(excess)s") % {"path": path, "excess": excess})


def check_messages(value: Any) -> tuple[list[NewMessage], dict[str, Any]]:
    """Return the messages and variables to append to a conversation, with NUL replaced. Raises ``Refused``."""
    if type(value) is not dict:
        raise Refused(_("%(path)s must be an object") % {"path": _("the body")})
    _fields(value, "body", (), ("messages", "variables"))
    _additions(value)  # refuses deep nesting before anything below descends into it
    value = _without_nul(value)
    if where := _path_of_surrogate(value, ""):
        raise Refused(_("%(path)s has a lone surrogate") % {"path": where})
    return _additions(value)


def _additions(value: dict[str, Any]) -> tuple[list[NewMessage], dict[str, Any]]:
    messages = _list(value.get("messages", []), "messages", _new_message)
    variables = _variables(value.get("variables", {}), "variables")
    if not messages and not variables:
        raise Refused(_("the body has neither messages nor variables to add"))
    return messages, variables


def _new_message(value: Any, path: str) -> NewMessage:
    has_seq = type(value) is dict and "seq" in value
    whole = _message(value if type(value) is not dict or has_seq else {**value, "seq": 0}, path)
    return NewMessage(whole.role, whole.text, whole.seq if has_seq else None, whole.ts, whole.author)


def _conversation(value: Any) -> ParsedConversation:
    if type(value) is not dict:
        raise Refused(_("%(path)s must be an object") % {"path": _("a line")})
    _fields(value, "", ("id", "channel", "contact", "variables", "messages"), ("attachments",))
    contact = value["contact"]
    if type(contact) is not dict:
        raise Refused(_("%(path)s must be an object") % {"path": "contact"})
    _fields(contact, "contact", ("id", "variables"), ("name",))
    parsed = ParsedConversation(
        id=_label(value["id"], "id"),
        channel=_label(value["channel"], "channel"),
        contact=ParsedContact(
            id=_label(contact["id"], "contact.id"),
            name=_string(contact["name"], "contact.name", LONGEST_NAME) if "name" in contact else "",
            variables=_variables(contact["variables"], "contact.variables"),
        ),
        variables=_variables(value["variables"], "variables"),
        messages=_list(value["messages"], "messages", _message),
        attachments=_list(value.get("attachments", []), "attachments", _attachment),
        digest=b"",
    )
    _check_seqs(parsed)
    parsed.messages.sort(key=attrgetter("seq"))
    return parsed


def _check_seqs(parsed: ParsedConversation) -> None:
    seqs: set[int] = set()
    for index, message in enumerate(parsed.messages):
        if message.seq in seqs:
            raise Refused(_("messages[%(index)s].seq repeats") % {"index": index})
        seqs.add(message.seq)
    for index, attachment in enumerate(parsed.attachments):
        if attachment.seq is not None and attachment.seq not in seqs:
            raise Refused(_("attachments[%(index)s].seq names no message") % {"index": index})


def _list(value: Any, path: str, item: Callable[[Any, str], Any]) -> list[Any]:
    if type(value) is not list:
        raise Refused(_("%(path)s must be a list") % {"path": path})
    return [item(each, f"{path}[{index}]") for index, each in enumerate(value)]


_MESSAGE = frozenset({"role", "text", "seq", "ts", "author"})


def _message(value: Any, path: str) -> ParsedMessage:
    if type(value) is not dict:
        raise Refused(_("%(path)s must be an object") % {"path": path})
    if not (value.keys() <= _MESSAGE and "role" in value and "text" in value and "seq" in value):
        _fields(value, path, ("role", "text", "seq"), ("ts", "author"))
    role, text, seq = value["role"], value["text"], value["seq"]
    ts, author = value.get("ts", ""), value.get("author", "")
    if type(role) is not str or role not in _roles:
        raise Refused(_("%(path)s.role must be user or bot") % {"path": path})
    if type(text) is not str or not 1 <= len(text) <= LONGEST_TEXT:
        _string(text, f"{path}.text", LONGEST_TEXT)
    if type(seq) is not int or not 0 <= seq <= LARGEST_SEQ:
        raise Refused(_("%(path)s must be an integer 0..%(largest)s") % {"path": f"{path}.seq", "largest": LARGEST_SEQ})
    if "author" in value:
        _label(author, f"{path}.author")
    if "ts" in value and type(ts) is not str:
        raise Refused(_("%(path)s must be RFC 3339 with an offset") % {"path": f"{path}.ts"})
    return ParsedMessage(seq, role, text, author, _instant(ts, f"{path}.ts") if "ts" in value else None)


def _attachment(value: Any, path: str) -> ParsedAttachment:
    if type(value) is not dict:
        raise Refused(_("%(path)s must be an object") % {"path": path})
    _fields(value, path, ("name", "mime", "size"), ("seq", "media", "sha256"))
    seq = _integer(value["seq"], f"{path}.seq", LARGEST_SEQ) if "seq" in value else None
    sha256 = value.get("sha256")
    if "sha256" in value and not (type(sha256) is str and _sha256.fullmatch(sha256)):
        raise Refused(_("%(path)s.sha256 must be 64 hexadecimal digits in lower case") % {"path": path})
    return ParsedAttachment(
        name=_string(value["name"], f"{path}.name", LONGEST_NAME),
        mime=_label(value["mime"], f"{path}.mime"),
        size=_integer(value["size"], f"{path}.size", LARGEST_SIZE),
        seq=seq,
        media=_bare_name(value["media"], f"{path}.media") if "media" in value else None,
        sha256=sha256,
    )


def _fields(value: dict[str, Any], path: str, required: tuple[str, ...], optional: tuple[str, ...]) -> None:
    for name in required:
        if name not in value:
            raise Refused(_("missing %(name)s") % {"name": f"{path}.{name}" if path else name})
    for name in value:
        if name not in required and name not in optional:
            raise Refused(
                _("%(path)s has unknown field %(name)s") % {"path": path or "conversation", "name": quoted(name)}
            )


def _string(value: Any, path: str, longest: int) -> str:
    if type(value) is not str:
        raise Refused(_("%(path)s must be a string") % {"path": path})
    if not 1 <= len(value) <= longest:
        raise Refused(_("%(path)s must have 1..%(longest)s characters") % {"path": path, "longest": longest})
    return value


def _label(value: Any, path: str) -> str:
    """Return a name that identifies something, if it is short and on one line. Raises ``Refused``."""
    if type(value) is str and 1 <= len(value) <= LONGEST_NAME and value.isprintable():
        return value  # nearly always; characters that are not printable can still be allowed
    text = _string(value, path, LONGEST_NAME)
    if _control.search(text):
        raise Refused(_("%(path)s has a control character") % {"path": path})
    return text


def _bare_name(value: Any, path: str) -> str:
    name = _string(value, path, LONGEST_NAME)
    if "/" in name or "\\" in name or name in {".", ".."} or _control.search(name):
        raise Refused(_("%(path)s must be a bare file name") % {"path": path})
    return name


def _integer(value: Any, path: str, largest: int) -> int:
    if type(value) is not int or not 0 <= value <= largest:
        raise Refused(_("%(path)s must be an integer 0..%(largest)s") % {"path": path, "largest": largest})
    return value


@lru_cache(maxsize=1_000)  # messages of one conversation often share a minute
def _instant(value: Any, path: str) -> datetime:
    """Return the instant of an RFC 3339 text with an offset. Raises ``Refused``, also for a leap second.

    Digits below a microsecond are dropped.
    """
    if type(value) is not str or not _rfc3339.fullmatch(value):
        raise Refused(_("%(path)s must be RFC 3339 with an offset") % {"path": path})
    try:
        instant = datetime.fromisoformat(value.upper()).astimezone(UTC)
    except ValueError as error:
        raise Refused(f"{path}: {error}") from None
    except OverflowError:
        instant = EARLIEST - timedelta.resolution
    if instant < EARLIEST:
        raise Refused(_("%(path)s is not between 0001-01-02 and 9999-12-31") % {"path": path})
    return instant


def _variables(value: Any, path: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise Refused(_("%(path)s must be an object") % {"path": path})
    if len(value) > MOST_VARIABLES:
        raise Refused(_("%(path)s has more than %(most)s keys") % {"path": path, "most": MOST_VARIABLES})
    for key, each in value.items():
        _label(key, f"key in {path}")
        if type(each) in (dict, list) and _is_deeper(each, DEEPEST):
            raise Refused(_("%(path)s nested deeper than %(deepest)s") % {"path": path, "deepest": DEEPEST})
    return value


def _is_deeper(value: Any, depth: int) -> bool:
    """Return whether lists and objects are nested more than ``depth`` levels."""
    if depth == 0:
        return True
    children = value.values() if type(value) is dict else value
    return any(_is_deeper(child, depth - 1) for child in children if type(child) in (dict, list))


def _count_nul(value: Any) -> int:
    if type(value) is str:
        return value.count("\0")
    if type(value) is dict:
        return sum(_count_nul(key) + _count_nul(each) for key, each in value.items())
    return sum(map(_count_nul, value)) if type(value) is list else 0


def _without_nul(value: Any) -> Any:
    if type(value) is str:
        return value.replace("\0", REPLACEMENT)
    if type(value) is list:
        return [_without_nul(each) for each in value]
    if type(value) is not dict:
        return value
    replaced = {_without_nul(key): _without_nul(each) for key, each in value.items()}
    if len(replaced) != len(value):
        raise Refused(_("two keys become the same when NUL is replaced"))
    return replaced


def _path_of_surrogate(value: Any, path: str) -> str | None:
    """Return the path of the first lone surrogate in ``value``, as the format writes it, or ``None``."""
    if type(value) is str:
        return path if any("\ud800" <= character <= "\udfff" for character in value) else None
    if type(value) is list:
        paths = (_path_of_surrogate(each, f"{path}[{index}]") for index, each in enumerate(value))
    elif type(value) is dict:
        dot = f"{path}." if path else ""
        inside = path.endswith("variables")  # below it the keys are content, which a reason must not quote
        paths = (
            _path_of_surrogate(key, path) or _path_of_surrogate(each, path if inside else f"{dot}{key}")
            for key, each in value.items()
        )
    else:
        return None
    return next((where for where in paths if where), None)
