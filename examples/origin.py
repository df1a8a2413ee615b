"""A tiny API without authentication: it answers with the request as it arrived."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Echo(BaseHTTPRequestHandler):
    def do_GET(self):
        headers = sorted(f"{name.lower()}: {value}" for name, value in self.headers.items())
        body = "\n".join([self.requestline, *headers, ""]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    host, port = "127.0.0.1:8000".split(":")
    ThreadingHTTPServer((host, int(port)), Echo).serve_forever()
