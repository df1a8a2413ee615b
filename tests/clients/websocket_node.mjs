// Does in Node what page.html does in a browser.

import { WebSocket } from "ws";

globalThis.WebSocket ??= WebSocket;
const { report } = await import("./websocket.mjs");
console.log(await report(process.env.BASE_URL, process.env.API_KEY));
