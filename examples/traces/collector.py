"""A collector of traces that shows what it was sent: pip install opentelemetry-proto

`POST /v1/traces` takes spans, as every collector does; `GET /` lists them, each below its parent.
"""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

spans = []


def lines(parent, depth=0):
    for span in spans:
        if span.parent_span_id == parent:
            attributes = {pair.key: pair.value for pair in span.attributes}
            result = attributes["keygate.result"].string_value if "keygate.result" in attributes else ""
            status = attributes["http.response.status_code"].int_value
            yield " ".join(["  " * depth + span.name, str(status), result]).rstrip()
            yield from lines(span.span_id, depth + 1)


class Collector(BaseHTTPRequestHandler):
    def answer(self, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for of_scope in of_resource.scope_spans:
                spans.extend(of_scope.spans)
        self.answer("")

    def do_GET(self):
        spans.sort(key=lambda span: span.start_time_unix_nano)
        self.answer("".join(line + "\n" for line in lines(b"")))


host, port = "127.0.0.1:4318".split(":")
ThreadingHTTPServer((host, int(port)), Collector).serve_forever()
