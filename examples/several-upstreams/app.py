"""An API that says its name. A POST to /health makes it ill, or well again."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class App(BaseHTTPRequestHandler):
    name = ""
    status = 200

    def do_GET(self):
        self.answer(App.status if self.path == "/health" else 200)

    def do_POST(self):
        App.status = 503 if App.status == 200 else 200
        self.answer(200)

    def answer(self, status):
        body = f"{App.name}\n".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    App.name, address = sys.argv[1:]
    host, port = address.split(":")
    ThreadingHTTPServer((host, int(port)), App).serve_forever()
