"""Does with OpenAI's SDK what the argument says, and prints what comes of it."""

import sys

from openai import APIStatusError, OpenAI

client = OpenAI()  # OPENAI_BASE_URL and OPENAI_API_KEY


def ask(**options):
    messages = [{"role": "user", "content": "Count"}]
    return client.chat.completions.create(model="fake", messages=messages, **options)


if sys.argv[1] == "stream":
    for event in ask(stream=True):
        print(event.choices[0].delta.content, flush=True)
else:
    try:
        for _ in sys.argv[1:]:
            print(ask().choices[0].message.content)
    except APIStatusError as error:
        print(type(error).__name__, error.status_code, error.code, error.request_id)
        print(error.body["message"])
