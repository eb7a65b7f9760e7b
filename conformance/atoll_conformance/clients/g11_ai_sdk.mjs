// G11: `ollama-ai-provider-v2` with the AI SDK (`ai`).
import assert from "node:assert/strict";
import { createOllama } from "ollama-ai-provider-v2";
import { generateText, streamText } from "ai";
import { told } from "./common.mjs";

const it = told();
const ollama = createOllama({ baseURL: `${it.url}/api` });
const asked = { model: ollama(it.model), prompt: it.plain };
assert.ok((await generateText(asked)).text);
let text = "";
for await (const part of streamText(asked).textStream) {
  text += part;
}
assert.ok(text);
