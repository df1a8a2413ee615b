// Asks the chat API with Node's fetch: plain, streaming, and with a wrong key.

const URL = "http://127.0.0.1:8080/v1/chat";
const QUESTION = { message: "今天天气怎么样？" };

const ask = (question, key) =>
  fetch(URL, {
    method: "POST",
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
    body: JSON.stringify(question),
  });

const key = process.env.API_KEY;

const plain = await ask(QUESTION, key);
console.log("plain:", (await plain.json()).reply);

process.stdout.write("stream: ");
const stream = await ask({ ...QUESTION, stream: true }, key);
let text = "";
for await (const piece of stream.body.pipeThrough(new TextDecoderStream())) {
  // A piece can end anywhere: what follows the last empty line waits for the next one.
  const events = (text + piece).split("\n\n");
  text = events.pop();
  for (const data of events.map((event) => event.replace("data: ", ""))) {
    if (data !== "[DONE]") process.stdout.write(`${JSON.parse(data).delta}|`);
  }
}

const wrong = await ask(QUESTION, "wrong");
console.log("\nwrong key:", wrong.status, (await wrong.json()).detail);
