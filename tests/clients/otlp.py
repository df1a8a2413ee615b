"""Decodes what a collector of OTLP received, with the messages that OpenTelemetry itself publishes.

On the standard input comes a line of hexadecimal digits for each request's body; on the standard
output goes a line of JSON for each: its resource, its scope, and its spans.
"""

import json
import sys

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def value(any_value):
    """An attribute's value, in the type that it has."""
    return getattr(any_value, any_value.WhichOneof("value"))


def attributes(pairs):
    """Attributes as an object; a name that stands there twice is an error."""
    read = {pair.key: value(pair.value) for pair in pairs}
    assert len(read) == len(pairs), f"a name stands there twice: {pairs}"
    return read


def told(span):
    """What a span says."""
    return {
        "trace": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind),
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "attributes": attributes(span.attributes),
        "status": span.status.code,
        "flags": span.flags,
    }


def unknown(message):
    """Whether anything in a message is none of its fields."""
    bare = type(message)()
    bare.CopyFrom(message)
    bare.DiscardUnknownFields()
    return bare.SerializeToString() != message.SerializeToString()


for line in sys.stdin:
    request = ExportTraceServiceRequest.FromString(bytes.fromhex(line))
    assert not unknown(request), request
    [of_resource] = request.resource_spans
    [of_scope] = of_resource.scope_spans
    print(
        json.dumps(
            {
                "resource": attributes(of_resource.resource.attributes),
                "scope": [of_scope.scope.name, of_scope.scope.version],
                "spans": [told(span) for span in of_scope.spans],
            }
        )
    )
