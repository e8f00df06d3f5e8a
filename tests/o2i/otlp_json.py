"""OTLP/JSON, which differs from protobuf's JSON: ids are hex, enums are numbers.

Source: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from __future__ import annotations

import base64
import json
import math

from google.protobuf.descriptor import FieldDescriptor as Field

HEX_FIELDS = {"trace_id", "span_id", "parent_span_id"}
INT64_TYPES = {Field.TYPE_INT64, Field.TYPE_UINT64, Field.TYPE_FIXED64, Field.TYPE_SFIXED64, Field.TYPE_SINT64}


def encode(message) -> bytes:
    """The message as OTLP/JSON."""
    return json.dumps(_object(message), ensure_ascii=False, separators=(",", ":")).encode()


def _object(message) -> dict:
    return {
        field.json_name: [_value(field, item) for item in value] if field.is_repeated else _value(field, value)
        for field, value in message.ListFields()
    }


def _value(field, value):
    if field.type == Field.TYPE_MESSAGE:
        return _object(value)
    if field.type == Field.TYPE_BYTES:
        return value.hex() if field.name in HEX_FIELDS else base64.b64encode(value).decode()
    if field.type in INT64_TYPES:
        return str(value)
    if field.type == Field.TYPE_DOUBLE and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
