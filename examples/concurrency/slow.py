"""An API that takes its time: every answer streams for three seconds."""

import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Slow(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        for second in range(3):
            self.wfile.write(b"tick\n")
            self.wfile.flush()
            time.sleep(1)


if __name__ == "__main__":
    host, port = "127.0.0.1:8000".split(":")
    ThreadingHTTPServer((host, int(port)), Slow).serve_forever()
