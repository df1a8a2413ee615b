"""A service of gRPC whose messages are plain text, so that it needs no generated code: pip install grpcio"""

from concurrent import futures

import grpc


def greet(request, context):
    return f"Hello {request}"


def count(request, context):
    for number in range(1, int(request) + 1):
        yield str(number)


codec = {"request_deserializer": bytes.decode, "response_serializer": str.encode}
methods = {
    "Greet": grpc.unary_unary_rpc_method_handler(greet, **codec),
    "Count": grpc.unary_stream_rpc_method_handler(count, **codec),
}
server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("hello.Greeter", methods)])
server.add_insecure_port("127.0.0.1:50051")
server.start()
server.wait_for_termination()
