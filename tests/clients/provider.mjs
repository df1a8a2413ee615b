// A provider of WebSockets, and the site of a page that uses them: prints its port, and then what it
// is offered and what the page reports, a line each.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { WebSocketServer } from "ws";

const TYPES = { html: "text/html", mjs: "text/javascript" };

const site = createServer(async (request, response) => {
  if (request.method === "POST") {
    let report = "";
    for await (const piece of request) report += piece;
    console.log("report", report);
    return response.end();
  }
  const path = new URL(request.url, "http://site").pathname;
  try {
    const file = await readFile(new URL(`.${path}`, import.meta.url));
    response.setHeader("Content-Type", TYPES[path.split(".").pop()]);
    response.end(file);
  } catch {
    response.writeHead(404).end();
  }
});

// The last part of the path is the subprotocol that is chosen, if it is offered.
const sockets = new WebSocketServer({
  server: site,
  handleProtocols(offered, request) {
    const chosen = new URL(request.url, "http://site").pathname.split("/").pop();
    return offered.has(chosen) && chosen;
  },
});
sockets.on("connection", (socket, request) => {
  const { authorization, "sec-websocket-protocol": offered } = request.headers;
  console.log("offered", JSON.stringify([offered ?? null, authorization ?? null]));
  socket.send(JSON.stringify({ type: "session.created" }));
});

site.listen(0, "127.0.0.1", () => console.log("port", site.address().port));
