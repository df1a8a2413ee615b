"""A chat API such as stands in front of a language model. It knows nothing of keys."""

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USERS = [{"id": 1, "name": "Alice"}, {"id": 2, "name": "王小明"}]


class Chat(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/health":
            self.answer(200, {"status": "ok"})
        elif self.path == "/v1/users":
            self.answer(200, {"users": USERS})
        else:
            self.answer(404, {"detail": "Not found"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/v1/chat":
            return self.answer(404, {"detail": "Not found"})
        try:
            question = json.loads(body)
            words = ["你好！", "你问的是：", str(question["message"])]
            stream = question.get("stream") is True
        except (ValueError, KeyError, TypeError, AttributeError):
            return self.answer(400, {"detail": 'Expected {"message": "…", "stream": false}'})
        if stream:
            self.stream(words)
        else:
            self.answer(200, {"reply": "".join(words)})

    def answer(self, status, value):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(value, ensure_ascii=False).encode())

    def stream(self, words):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for word in words:
            event = json.dumps({"delta": word}, ensure_ascii=False)
            self.wfile.write(f"data: {event}\n\n".encode())
            time.sleep(0.3)  # a model thinks between two words
        self.wfile.write(b"data: [DONE]\n\n")


if __name__ == "__main__":
    host, port = "127.0.0.1:8000".split(":")
    ThreadingHTTPServer((host, int(port)), Chat).serve_forever()
