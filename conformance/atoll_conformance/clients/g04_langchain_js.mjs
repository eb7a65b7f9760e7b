// G4: the `@langchain/ollama` package of npm.
import assert from "node:assert/strict";
import { ChatOllama } from "@langchain/ollama";
import { told } from "./common.mjs";

const it = told();
const chat = new ChatOllama({ model: it.model, baseUrl: it.url, checkOrPullModel: true });
assert.ok((await chat.invoke(it.plain)).content);
let text = "";
for await (const part of await chat.stream(it.plain)) {
  text += part.content;
}
assert.ok(text);
