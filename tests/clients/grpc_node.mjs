// Calls a gRPC service with its key as metadata, and prints what comes of it. It is gRPC-Web, which
// goes over HTTP/1.1, as in a browser; other clients of gRPC speak HTTP/2 alone.

import { create, createFileRegistry } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-node";

// syntax = "proto3"; message Word { string text = 1; }
// service Model { rpc Ask(Word) returns (Word); rpc Tell(Word) returns (stream Word); }
const text = { name: "text", number: 1, type: Type.STRING, label: Label.OPTIONAL };
const method = { inputType: ".Word", outputType: ".Word" };
const file = {
  name: "model.proto",
  syntax: "proto3",
  messageType: [{ name: "Word", field: [text] }],
  service: [
    {
      name: "Model",
      method: [
        { name: "Ask", ...method },
        { name: "Tell", ...method, serverStreaming: true },
      ],
    },
  ],
};
const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));

const transport = createGrpcWebTransport({ baseUrl: process.env.BASE_URL, httpVersion: "1.1" });
const model = createClient(registry.getService("Model"), transport);
const metadata = { headers: { "x-api-key": process.env.API_KEY } };

try {
  if (process.argv[2] === "stream") {
    for await (const word of model.tell({ text: "count" }, metadata)) console.log(word.text);
  } else {
    console.log((await model.ask({ text: "count" }, metadata)).text);
  }
} catch (error) {
  if (!(error instanceof ConnectError)) throw error;
  console.log(Code[error.code], error.code, error.rawMessage, error.metadata.get("x-request-id"));
}
