"""Makes the calls that the arguments name, the key in the metadata that the first one says, and prints what comes of them."""

import os
import sys
import threading

import grpc

ADDRESS = os.environ["BASE_URL"].removeprefix("http://")
PATIENCE = 30
PLACES = {
    "header": lambda key: [("x-api-key", key)],
    "bearer": lambda key: [("authorization", f"Bearer {key}")],
    "none": lambda key: [],
}


def tell(*words):
    print(*words, flush=True)


def own(metadata):
    """What the service says itself."""
    return [f"{name}={value}" for name, value in metadata or [] if name.startswith("x-")]


def call(kind, name):
    return kind(f"/model.Model/{name}", request_serializer=str.encode, response_deserializer=bytes.decode)


def ask(channel, options):
    answer, call_made = call(channel.unary_unary, "Ask").with_call("hello", **options)
    tell(answer, *own(call_made.initial_metadata()), *own(call_made.trailing_metadata()))


def large(channel, options):
    text = "x" * 3_000_000
    tell(call(channel.unary_unary, "Ask")(text, **options) == text)


def refuse(channel, options):
    call(channel.unary_unary, "Refuse")("hello", **options)


def count(channel, options):
    # Every word is seen before the next is asked for.
    want = call(channel.unary_unary, "Want")
    words = call(channel.unary_stream, "Count")("", **options)
    for _ in range(3):
        want("", **options)
        tell(next(words))


def gather(channel, options):
    tell(call(channel.stream_unary, "Gather")(iter(["a", "b", "c"]), **options))


def chat(channel, options):
    # Every answer is there before the next word is said.
    heard = threading.Semaphore(1)

    def words():
        for word in ["a", "b", "c"]:
            heard.acquire()
            yield word

    for answer in call(channel.stream_stream, "Chat")(words(), **options):
        tell(answer)
        heard.release()


def wait(channel, options):
    call(channel.unary_unary, "Wait")("", **{**options, "timeout": 2})


place, *tasks = sys.argv[1:]
options = {"metadata": PLACES[place](os.environ["API_KEY"]), "timeout": PATIENCE}
with grpc.insecure_channel(ADDRESS) as channel:
    for task in tasks:
        try:
            globals()[task](channel, options)
        except grpc.RpcError as error:
            tell(error.code().name, error.details(), *own(error.trailing_metadata()))
