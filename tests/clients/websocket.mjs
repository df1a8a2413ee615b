// Opens WebSockets as a page in a browser does, and says what comes of each.

import OpenAI from "openai";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";

const { WebSocket } = globalThis;

// OpenAI's client wants TLS, which is not what is tested here.
globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(url.replace("wss:", "ws:"), protocols);
  }
};

const open = (url, protocols) =>
  new Promise((done) => {
    const socket = new WebSocket(url, protocols);
    socket.onmessage = () => {
      done(socket.protocol);
      socket.close();
    };
    socket.onerror = () => done("refused");
  });

const openRealtime = (baseURL, apiKey) =>
  new Promise((done) => {
    const client = new OpenAI({ baseURL, apiKey, dangerouslyAllowBrowser: true });
    const realtime = new OpenAIRealtimeWebSocket({ model: "fake" }, client);
    realtime.on("session.created", () => {
      done(realtime.socket.protocol);
      realtime.close();
    });
    realtime.on("error", () => done("refused"));
  });

// The chosen subprotocols, or that the connection was refused.
export async function report(url, key) {
  const sockets = url.replace("http", "ws");
  return [
    await open(`${sockets}/none`, ["bearer", key]),
    await open(`${sockets}/chat`, ["chat", "bearer", key]),
    await open(`${sockets}/chat`, ["chat"]),
    await open(`${sockets}/chat`, ["chat", "bearer", "wrong"]),
    await openRealtime(`${url}/v1`, key),
    await openRealtime(`${url}/v1`, "wrong"),
    // Neither the provider nor keygate chooses anything here, and a browser accepts nothing less.
    await open(`${sockets}/none`, ["chat", `openai-insecure-api-key.${key}`]),
  ].join(" ");
}
