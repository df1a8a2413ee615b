"""An OpenAI-compatible server with one key of its own, and a model that only says hello."""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = os.environ["PROVIDER_KEY"]
WORDS = ["Hello", ", ", "who", " ", "asks", "?"]


def choice(name, content):
    return {"index": 0, name: {"role": "assistant", "content": content}, "finish_reason": None}


def completion(kind, choices):
    return {"id": "1", "object": kind, "created": 0, "model": "hello", "choices": choices}


class Provider(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.admitted("/v1/models"):
            self.answer(200, {"object": "list", "data": [{"id": "hello", "object": "model"}]})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.admitted("/v1/chat/completions"):
            return
        if json.loads(body).get("stream"):
            self.stream()
        else:
            self.answer(200, completion("chat.completion", [choice("message", "".join(WORDS))]))

    def admitted(self, path):
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            self.answer(401, {"error": {"message": "Only the gate may ask me"}})
        elif self.path != path:
            self.answer(404, {"error": {"message": "Not found"}})
        else:
            return True

    def answer(self, status, value):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for word in WORDS:
            event = completion("chat.completion.chunk", [choice("delta", word)])
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            time.sleep(0.1)  # a model thinks between two words
        self.wfile.write(b"data: [DONE]\n\n")


if __name__ == "__main__":
    host, port = "127.0.0.1:8000".split(":")
    ThreadingHTTPServer((host, int(port)), Provider).serve_forever()
