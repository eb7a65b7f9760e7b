// G2: the `ollama` package of npm.
import assert from "node:assert/strict";
import { Ollama } from "ollama";
import { PERSON, UNKNOWN, WEATHER, isPerson, same, told } from "./common.mjs";

const it = told();
const client = new Ollama({ host: it.url });
const messages = (content) => [{ role: "user", content }];

assert.match((await client.version()).version, /^\d+\.\d+\.\d+/);
const { models } = await client.list();
assert.ok(models.some((model) => same(model.model, it.model)), JSON.stringify(models));
assert.ok((await client.show({ model: it.model })).capabilities.length);
const said = await client.chat({ model: it.model, messages: messages(it.plain) });
assert.ok(said.message.content);
let text = "";
for await (const part of await client.chat({
  model: it.model,
  messages: messages(it.plain),
  stream: true,
})) {
  text += part.message.content;
}
assert.ok(text);
assert.ok((await client.generate({ model: it.model, prompt: it.plain })).response);
assert.ok((await client.ps()).models.some((model) => same(model.model, it.model)));
const person = await client.chat({
  model: it.model,
  messages: messages(it.schema),
  format: PERSON,
});
assert.ok(isPerson(person.message.content), person.message.content);
if (it.tool) {
  const called = await client.chat({
    model: it.model,
    messages: messages(it.tool),
    tools: [WEATHER],
  });
  assert.equal(called.message.tool_calls[0].function.name, "get_weather");
  assert.equal(typeof called.message.tool_calls[0].function.arguments, "object");
}
if (it.embeds) {
  const made = await client.embed({ model: it.model, input: ["a", "b"] });
  assert.equal(made.embeddings.length, 2);
}
assert.equal((await client.pull({ model: it.model })).status, "success");
await assert.rejects(
  client.chat({ model: UNKNOWN, messages: messages(it.plain) }),
  (error) => error.status_code === 404 && error.message.includes(UNKNOWN),
);
