"""Calls the service with the key that is the argument: pip install grpcio"""

import sys

import grpc

codec = {"request_serializer": str.encode, "response_deserializer": bytes.decode}
metadata = [("authorization", f"Bearer {sys.argv[1]}")]
with grpc.insecure_channel("127.0.0.1:8080") as channel:
    greet = channel.unary_unary("/hello.Greeter/Greet", **codec)
    count = channel.unary_stream("/hello.Greeter/Count", **codec)
    try:
        print(greet("world", metadata=metadata, timeout=30))
        for number in count("3", metadata=metadata, timeout=30):
            print(number)
    except grpc.RpcError as error:
        print(error.code().name, error.details())
