// Does with OpenAI's SDK what the argument says, and prints what comes of it.

import OpenAI, { APIError } from "openai";

const client = new OpenAI(); // OPENAI_BASE_URL and OPENAI_API_KEY

const ask = (options) =>
  client.chat.completions.create({
    model: "fake",
    messages: [{ role: "user", content: "Count" }],
    ...options,
  });

if (process.argv[2] === "stream") {
  for await (const event of await ask({ stream: true })) {
    console.log(event.choices[0].delta.content);
  }
} else {
  try {
    for (const _ of process.argv.slice(2)) {
      console.log((await ask()).choices[0].message.content);
    }
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    console.log(error.constructor.name, error.status, error.code, error.requestID);
    console.log(error.error.message);
  }
}
