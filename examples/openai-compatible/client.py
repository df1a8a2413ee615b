"""Asks with OpenAI's SDK, which finds base URL and key in the environment."""

from openai import APIStatusError, OpenAI

QUESTION = {"model": "hello", "messages": [{"role": "user", "content": "Hello?"}]}

client = OpenAI()

print("plain:", client.chat.completions.create(**QUESTION).choices[0].message.content)

print("stream:", end=" ")
for event in client.chat.completions.create(**QUESTION, stream=True):
    print(event.choices[0].delta.content, end="|", flush=True)
print()

for key in ["wrong", "key-for-reader", "key-for-trial"]:
    try:
        client.with_options(api_key=key).chat.completions.create(**QUESTION)
    except APIStatusError as error:
        print(f"{key}: {type(error).__name__}, {error.body['message']}")
