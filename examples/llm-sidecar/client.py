"""Asks the chat API with Python's standard library: plain, streaming, and with a wrong key."""

import json
import os
from urllib.error import HTTPError
from urllib.request import Request, urlopen

URL = "http://127.0.0.1:8080/v1/chat"
QUESTION = {"message": "今天天气怎么样？"}


def ask(question, key):
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    return urlopen(Request(URL, json.dumps(question).encode(), headers))


key = os.environ["API_KEY"]

with ask(QUESTION, key) as response:
    print("plain:", json.load(response)["reply"])

print("stream:", end=" ", flush=True)
with ask(QUESTION | {"stream": True}, key) as response:
    for line in response:
        data = line.decode().removeprefix("data: ").strip()
        if data and data != "[DONE]":
            print(json.loads(data)["delta"], end="|", flush=True)

try:
    ask(QUESTION, "wrong")
except HTTPError as error:
    print("\nwrong key:", error.code, json.load(error)["detail"])
