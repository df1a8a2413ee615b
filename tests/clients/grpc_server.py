"""A service of gRPC whose messages are text, with a call of each kind; prints its port, and what happens to it."""

import queue
from concurrent import futures

import grpc

WORDS = ["one", "two", "three"]
wanted = queue.Queue()


def tell(*words):
    print(*words, flush=True)


def ask(request, context):
    for name, value in context.invocation_metadata():
        tell("metadata", name, value)
    context.send_initial_metadata([("x-begun", "yes")])
    context.set_trailing_metadata([("x-cost", "42"), ("x-digest-bin", b"\x00\xff")])
    return request


def refuse(request, context):
    context.set_trailing_metadata([("x-cost", "0")])
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: 100 % booked")


def count(request, context):
    for word in WORDS:
        wanted.get(timeout=60)
        yield word


def want(request, context):
    wanted.put(True)
    return request


def gather(requests, context):
    return " ".join(requests)


def chat(requests, context):
    for request in requests:
        yield request.upper()


def wait(request, context):
    ended = queue.Queue()
    context.add_callback(lambda: ended.put(True))
    tell("waiting")
    ended.get(timeout=60)
    tell("cancelled")
    return request


def of(kind, call):
    return kind(call, request_deserializer=bytes.decode, response_serializer=str.encode)


unary, streaming = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
methods = {
    "Ask": of(unary, ask),
    "Refuse": of(unary, refuse),
    "Want": of(unary, want),
    "Wait": of(unary, wait),
    "Count": of(streaming, count),
    "Gather": of(grpc.stream_unary_rpc_method_handler, gather),
    "Chat": of(grpc.stream_stream_rpc_method_handler, chat),
}
server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("model.Model", methods)])
tell(server.add_insecure_port("127.0.0.1:0"))
server.start()
server.wait_for_termination()
