// What the scripts of npm packages are told; see common.py.
export const WEATHER = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather in a city.",
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
    },
  },
};
export const PERSON = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer" } },
  required: ["name", "age"],
};
export const UNKNOWN = "no-such-model";

export function told() {
  const { url, model, prompts, abilities } = JSON.parse(process.argv[2]);
  return {
    url,
    model,
    plain: prompts.plain ?? "Say hello in one short sentence.",
    tool: abilities.includes("tools")
      ? (prompts.tool ?? "What is the weather in Rome? Use the tool.")
      : null,
    schema: prompts.schema ?? "Invent a person: name and age.",
    embeds: abilities.includes("embedding"),
  };
}

export function isPerson(text) {
  const { name, age } = JSON.parse(text);
  return typeof name === "string" && Number.isInteger(age);
}

export function same(listed, asked) {
  const bare = (name) => name.toLowerCase().replace(/:latest$/, "");
  return bare(listed) === bare(asked);
}
