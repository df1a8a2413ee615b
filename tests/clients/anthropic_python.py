"""Does with Anthropic's SDK what the argument says, and prints what comes of it."""

import sys

from anthropic import Anthropic, APIStatusError

client = Anthropic()  # ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY

question = {"model": "fake", "max_tokens": 9, "messages": [{"role": "user", "content": "Count"}]}

if sys.argv[1] == "stream":
    with client.messages.stream(**question) as stream:
        for word in stream.text_stream:
            print(word, flush=True)
else:
    try:
        for _ in sys.argv[1:]:
            print(client.messages.create(**question).content[0].text)
    except APIStatusError as error:
        print(type(error).__name__, error.status_code, error.body["error"]["code"], error.request_id)
        print(error.body["error"]["message"])
