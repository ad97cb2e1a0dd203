// The official OpenAI client for Node: in one piece, streamed, with a tool, six at once. Usage: node node_agent.mjs BASE_URL
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "sk-not-a-real-key-0123456789" });
const lookup = { type: "function", function: { name: "lookup", parameters: { type: "object", properties: {} } } };
const ask = (content, more = {}) => client.chat.completions.create({ model: "m", messages: [{ role: "user", content }], ...more });

const results = { once: (await ask("one two")).choices[0].message.content };
results.stream = [];
for await (const part of await ask("three four five", { stream: true })) {
  if (part.choices.length) results.stream.push(part.choices[0].delta.content ?? null);
}
const call = (await ask('call lookup {"city": "Oslo"}', { tools: [lookup] })).choices[0].message.tool_calls[0];
results.tools = [call.function.name, JSON.parse(call.function.arguments)];
const replies = await Promise.all([0, 1, 2, 3, 4, 5].map((number) => ask(`q${number}`)));
results.together = replies.map((reply) => reply.choices[0].message.content);
console.log(JSON.stringify({ results }));
