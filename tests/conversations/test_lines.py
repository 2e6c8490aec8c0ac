"""The import format: what is taken, and the one reason for what is not."""

import gzip
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.ingest.lines import DEEPEST, check_conversation, parse
from conversations.ingest.strict_json import Refused, loads
from tests.conversations.lines import line, raw


def reason(value) -> str:
    with pytest.raises(Refused) as caught:
        parse(value if isinstance(value, bytes) else raw(value))
    return caught.value.reason


def test_every_bad_line_is_refused_with_the_reason_that_names_its_field(data):
    lines = (data / "bad_input.jsonl").read_bytes().removesuffix(b"\n").split(b"\n")
    expected = [json.loads(each)["reference_error"] for each in (data / "bad_input.why.jsonl").open()]
    assert [reason(each) for each in lines] == expected


def test_every_edge_line_is_taken(data):
    with gzip.open(data / "edge_cases.jsonl.gz") as lines:
        parsed = [parse(each) for each in lines]
    assert len(parsed) == 60
    assert [number for number, each in enumerate(parsed, start=1) if each.nul_count] == [1, 2]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"contact": {"id": "c", "variables": {}, "name": ""}}, "contact.name must have 1..255 characters"),
        ({"contact": {"id": "c", "variables": {}, "phone": "1"}}, "contact has unknown field 'phone'"),
        ({"id": "a\u0085b"}, "id has a control character"),
        ({"id": "a\0b"}, "id has a control character"),
        ({"variables": {"a\tb": 1}}, "key in variables has a control character"),
        (
            {"messages": [{"role": "user", "text": "a", "seq": 0, "author": None}]},
            "messages[0].author must be a string",
        ),
        ({"messages": [{"role": "user", "text": "a", "seq": 1.0}]}, "messages[0].seq must be an integer 0..2147483647"),
        (
            {"messages": [{"role": "user", "text": "a", "seq": 0, "ts": None}]},
            "messages[0].ts must be RFC 3339 with an offset",
        ),
        ({"attachments": [{"name": "a", "mime": "b", "size": 1, "seq": 9}]}, "attachments[0].seq names no message"),
        (
            {"attachments": [{"name": "a", "mime": "b", "size": True}]},
            "attachments[0].size must be an integer 0..1099511627776",
        ),
        (
            {"attachments": [{"name": "a", "mime": "b", "size": 1, "media": ".."}]},
            "attachments[0].media must be a bare file name",
        ),
        (
            {"attachments": [{"name": "a", "mime": "b", "size": 1, "sha256": "AB"}]},
            "attachments[0].sha256 must be 64 hexadecimal digits in lower case",
        ),
        ({"attachments": None}, "attachments must be a list"),
    ],
)
def test_a_line_is_refused_for_one_field(change, expected):
    assert reason(line() | change) == expected


@pytest.mark.parametrize(
    ("ts", "instant"),
    [
        ("2024-03-10T12:00:00Z", datetime(2024, 3, 10, 12, tzinfo=UTC)),
        ("2024-03-10t12:00:00z", datetime(2024, 3, 10, 12, tzinfo=UTC)),
        ("2024-03-10T17:45:00+05:45", datetime(2024, 3, 10, 12, tzinfo=UTC)),
        ("2024-03-10T12:00:00.1234567Z", datetime(2024, 3, 10, 12, 0, 0, 123456, tzinfo=UTC)),
        ("0001-01-02T00:00:00Z", datetime(1, 1, 2, tzinfo=UTC)),
    ],
)
def test_an_instant_is_read_in_utc(ts, instant):
    assert parse(raw(line(ts=ts))).messages[0].ts == instant


@pytest.mark.parametrize(
    "ts",
    [
        "2024-03-10",
        "2024-03-10T12:00:00",
        "2024-03-10 12:00:00Z",
        "20240310T120000Z",
        "2024-03-10T12:00:00+0100",
        "٢٠٢٤-03-10T12:00:00Z",
        "2024-03-10T12:00:00+24:00",
        "2024-03-10T24:00:00Z",
        "2024-12-31T23:59:60Z",
        "0001-01-01T23:59:59Z",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_what_is_no_instant_is_refused(ts):
    assert reason(line(ts=ts)).startswith("messages[0].ts")


@pytest.mark.parametrize(("depth", "is_taken"), [(DEEPEST, True), (DEEPEST + 1, False)])
def test_variables_nest_64_deep_and_no_deeper(depth, is_taken):
    value: object = 1
    for _ in range(depth):
        value = [value]
    if is_taken:
        assert parse(raw(line(variables={"deep": value}))).variables == {"deep": value}
    else:
        assert reason(line(variables={"deep": value})) == "variables nested deeper than 64"


def test_nul_is_replaced_and_counted_and_a_written_out_escape_is_not():
    parsed = check_conversation(line(texts=("a\0b", r"\u0000"), variables={"k": {"x\0": ["\0"]}}))
    assert [message.text for message in parsed.messages] == ["a\ufffdb", r"\u0000"]
    assert parsed.variables == {"k": {"x\ufffd": ["\ufffd"]}}
    assert parsed.nul_count == 3


def test_the_same_content_has_one_digest_however_it_is_written():
    value = line(texts=("a", "b"), variables={"x": 1, "y": {"p": 1, "q": 2}})
    backwards = json.dumps(dict(reversed(value.items())), indent=1).replace("\n", " ").encode()
    turned = value | {"messages": value["messages"][::-1], "variables": {"y": {"q": 2, "p": 1}, "x": 1}}
    assert {parse(each).digest for each in (raw(value), backwards, raw(turned))} == {parse(raw(value)).digest}


@pytest.mark.parametrize("variables", [{"x": 1.0}, {"x": True}, {"x": "1"}, {"x": None}, {}])
def test_other_content_has_another_digest(variables):
    assert parse(raw(line(variables=variables))).digest != parse(raw(line(variables={"x": 1}))).digest


def said(error: Refused) -> None:
    assert error.reason.isprintable()


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(noise):
    try:
        parse(noise)
    except Refused as error:
        said(error)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_the_reader_returns_what_was_written(value):
    assert loads(json.dumps(value).encode()) == value


@given(json_values)
def test_no_json_crashes_the_check(value):
    try:
        check_conversation(value)
    except Refused as error:
        said(error)


@given(st.sampled_from(["id", "channel", "contact", "variables", "messages", "attachments"]), json_values)
def test_no_value_in_a_field_crashes_the_check(field, value):
    try:
        check_conversation(line() | {field: value})
    except Refused as error:
        said(error)
