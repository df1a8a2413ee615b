// Reads messages as Node does, which is as llhttp does: byte streams in, the requests of each out.
//
// In: for each stream its length (4 bytes, big endian) and its bytes. Out: for each stream one line of JSON, in order:
// { requests: [{ method, target, fields: [[name, value]...], body, whole }], error }. Bytes are written as Latin-1.

import { createServer } from "node:http";
import { Duplex } from "node:stream";

const OPTIONS = { requireHostHeader: false, maxHeaderSize: 1 << 20, keepAliveTimeout: 0, requestTimeout: 0 };

/** The side of a connection that the server sees; what it answers goes nowhere. */
class Connection extends Duplex {
  _read() {}
  _write(_bytes, _encoding, done) {
    done();
  }
  setTimeout() {
    return this;
  }
  setNoDelay() {}
  setKeepAlive() {}
}

function read(stream) {
  return new Promise((resolve) => {
    const found = { requests: [], error: null };
    const server = createServer(OPTIONS);
    server.maxHeadersCount = 0;
    const note = (request, response) => {
      const { method, url: target, rawHeaders } = request;
      const fields = [];
      for (let at = 0; at < rawHeaders.length; at += 2) fields.push([rawHeaders[at], rawHeaders[at + 1]]);
      const noted = { method, target, fields, body: "", whole: false };
      found.requests.push(noted);
      request.on("data", (data) => (noted.body += data.toString("latin1")));
      request.on("end", () => {
        noted.whole = true;
        response.end();
      });
      request.on("error", () => {});
    };
    for (const event of ["request", "checkContinue", "checkExpectation"]) server.on(event, note);
    server.on("clientError", (error) => (found.error ??= error.code ?? String(error)));
    const connection = new Connection();
    connection.on("error", () => {});
    server.emit("connection", connection);
    connection.push(stream);
    connection.push(null);
    // The server reads and answers in turns of the event loop; a stream is over when two turns add nothing.
    let quiet = 0;
    let before = "";
    const look = () => {
      const now = JSON.stringify(found);
      quiet = now === before ? quiet + 1 : 0;
      before = now;
      if (quiet < 3) return setImmediate(look);
      connection.destroy();
      resolve(now);
    };
    setImmediate(look);
  });
}

let pending = Buffer.alloc(0);
for await (const data of process.stdin) {
  pending = Buffer.concat([pending, data]);
  while (pending.length >= 4 && pending.length >= 4 + pending.readUInt32BE(0)) {
    const end = 4 + pending.readUInt32BE(0);
    const stream = Buffer.from(pending.subarray(4, end));
    pending = pending.subarray(end);
    const line = await read(stream);
    if (!process.stdout.write(line + "\n")) await new Promise((drained) => process.stdout.once("drain", drained));
  }
}
