"""Small builders for the corpus: protobuf messages from plain Python values, and raw wire format for bytes that no
library writes."""

from __future__ import annotations

import struct

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

# 2024-02-29 23:59:59.999999999 UTC: one nanosecond before a day, a month and an hour end.
T0 = 1_709_251_199_999_999_999
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

INT32_MAX, UINT32_MAX = 2**31 - 1, 2**32 - 1
INT64_MIN, INT64_MAX, UINT64_MAX = -(2**63), 2**63 - 1, 2**64 - 1

TRACE_A = bytes.fromhex("0123456789abcdeffedcba9876543210")
TRACE_B = bytes.fromhex("ffffffffffffffff0000000000000001")
SPAN_A = bytes.fromhex("00f067aa0ba902b7")
SPAN_B = bytes.fromhex("b7ad6b7169203331")

NAN, INFINITY = float("nan"), float("inf")
# A quiet NaN with a payload and the sign bit set: only code that copies bits preserves it.
NAN_WITH_PAYLOAD = struct.unpack(">d", bytes.fromhex("fff80000deadbeef"))[0]

DOUBLES = (
    0.0, -0.0, 1.0, 1.5, -2.25, 0.1, 1 / 3, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1e300,
    # Readers of JSON that round twice get these wrong.
    2.2250738585072011e-308, 0.9452706955539223, 2.8810000000000002, 123456789.12345679,
    float(2**53), NAN, NAN_WITH_PAYLOAD, INFINITY, -INFINITY,
)  # fmt: skip
INTS = (0, 1, -1, INT64_MIN, INT64_MAX, 2**53 + 1)


class Pairs(list):
    """Attributes in order, as (key, value) pairs; unlike a dict it can hold a key twice."""


def value(plain) -> AnyValue:
    """An AnyValue; for `None`, one with no field set."""
    match plain:
        case AnyValue():
            return plain
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=plain)
        case int():
            return AnyValue(int_value=plain)
        case float():
            return AnyValue(double_value=plain)
        case str():
            return AnyValue(string_value=plain)
        case bytes():
            return AnyValue(bytes_value=plain)
        case dict() | Pairs():
            return AnyValue(kvlist_value=KeyValueList(values=attributes(plain)))
        case list() | tuple():
            return AnyValue(array_value=ArrayValue(values=[value(item) for item in plain]))
    raise TypeError(f"no AnyValue for {plain!r}")


def attributes(plain) -> list[KeyValue]:
    """A dict, or `Pairs`."""
    pairs = plain.items() if isinstance(plain, dict) else plain or ()
    return [KeyValue(key=key, value=value(item)) for key, item in pairs]


def resource(plain=None, dropped: int = 0) -> Resource:
    """A resource with these attributes."""
    return Resource(attributes=attributes(plain or {}), dropped_attributes_count=dropped)


def scope(name: str, version: str = "", plain=None, dropped: int = 0) -> InstrumentationScope:
    """A scope; in the corpus its name describes the case."""
    return InstrumentationScope(
        name=name, version=version, attributes=attributes(plain or {}), dropped_attributes_count=dropped
    )


# Every kind of attribute value (rule 5), with keys that are difficult themselves.
EVERY_VALUE = {
    "string": "plain",
    "string.empty": "",
    "string.unicode": "Grüße, 世界 🌍 \u0000 \u2028",
    "string.quotes": "\"quoted\" \\ and\nlines\tand \u0001",
    "bool.true": True,
    "bool.false": False,
    **{f"int.{number}": number for number in INTS},
    **{f"double.{index}": number for index, number in enumerate(DOUBLES)},
    "bytes": bytes(range(256)),
    "bytes.empty": b"",
    "nothing": None,
    "array": ["a", 1, 1.0, True, None, b"\xff\x00", NAN, INFINITY, -INFINITY, -0.0, "\"\\\n\u0001é"],
    "array.empty": [],
    "array.nested": [[], [[1], {}], {"in": ["deep"]}],
    "kvlist": {"s": "x", "i": INT64_MAX, "d": 1e300, "b": False, "n": None, "y": b"\x00\x01", "": "empty key"},
    "kvlist.empty": {},
    "kvlist.twice": Pairs([("k", 1), ("k", 2), ("other", 3)]),
    "": "empty key",
    "ключ": "a key beyond ASCII",
}

# The last value of a key wins (rule 5).
TWICE = Pairs([("twice", "first"), ("once", 1), ("twice", 2), ("twice", "last")])


def field(number: int, wire_type: int, content: bytes) -> bytes:
    """One field in wire format; for wire type 2 the length precedes the content."""
    length = varint(len(content)) if wire_type == 2 else b""
    return varint(number << 3 | wire_type) + length + content


def varint(number: int) -> bytes:
    """Base 128, least significant group first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def nested_array(levels: int, innermost: bytes = b"") -> bytes:
    """A serialized AnyValue: arrays nested `levels` deep around the value `innermost`."""
    content = innermost
    for _ in range(levels):
        content = field(5, 2, field(1, 2, content))  # AnyValue.array_value, ArrayValue.values
    return content


def one_log(record: bytes, scope_name: str) -> bytes:
    """A serialized ExportLogsServiceRequest that holds one serialized LogRecord."""
    in_scope = field(1, 2, scope(scope_name).SerializeToString()) + field(2, 2, record)
    in_resource = field(1, 2, resource({"service.name": "raw"}).SerializeToString()) + field(2, 2, in_scope)
    return field(1, 2, in_resource)
