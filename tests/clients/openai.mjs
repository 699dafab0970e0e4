// npm openai, both versions: chats, completions, embeddings, models, responses.
import assert from "node:assert/strict";
import OpenAI6 from "openai6";
import OpenAI7 from "openai7";
import {endless, idle, isColor, isLogprobs, isText, isVector, limit, model, question, rejected, running, schema, tool} from "./checks.mjs";

const messages = [{role: "user", content: question}];
const text_format = {type: "json_schema", name: "color", schema, strict: true};
const response_format = {type: "json_schema", json_schema: {name: "color", schema, strict: true}};

function chats(OpenAI, base) {
  const client = new OpenAI({baseURL: `${base}/v1`, apiKey: "none", maxRetries: 0});
  const ask = (more, options) => client.chat.completions.create({model, messages, max_tokens: limit, seed: 1, ...more}, options);
  const tools = [{type: "function", function: {...tool, strict: true}}];
  return {
    async plain() {
      assert.equal((await client.models.list()).data[0].id, model);
      assert.equal((await client.models.retrieve(model)).id, model);
      const reply = await ask();
      isText(reply.choices[0].message.content);
      assert.equal(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens);
      assert.equal((await ask()).choices[0].message.content, reply.choices[0].message.content);
      const several = await ask({n: 2, max_completion_tokens: 4});
      assert.deepEqual(several.choices.map((choice) => choice.index), [0, 1]);
      isText((await client.completions.create({model, prompt: "the ", max_tokens: 4})).choices[0].text);
    },
    async stream() {
      const whole = (await ask()).choices[0].message.content;
      let text = "", usage, finish;
      for await (const chunk of await ask({stream: true, stream_options: {include_usage: true}})) {
        text += chunk.choices[0]?.delta.content ?? "";
        finish = chunk.choices[0]?.finish_reason ?? finish;
        usage = chunk.usage ?? usage;
      }
      assert.equal(text, whole);
      assert.ok(finish && usage.completion_tokens > 0);
    },
    async tools() {
      const reply = await ask({tools, tool_choice: "required", max_tokens: 200});
      assert.equal(reply.choices[0].finish_reason, "tool_calls");
      const call = reply.choices[0].message.tool_calls[0];
      isColor(JSON.parse(call.function.arguments));
      const again = [...messages, reply.choices[0].message, {role: "tool", tool_call_id: call.id, content: "done"}];
      isText((await ask({messages: again, tools})).choices[0].message.content);
      const stream = client.chat.completions.stream({model, messages, tools, tool_choice: "required", max_tokens: 200, seed: 1});
      const streamed = (await stream.finalChatCompletion()).choices[0].message.tool_calls[0];
      assert.equal(streamed.function.name, "paint");
      isColor(JSON.parse(streamed.function.arguments));
    },
    async structured() {
      const reply = await client.chat.completions.parse({model, messages, response_format, max_tokens: 200});
      isColor(reply.choices[0].message.parsed);
    },
    async embeddings() {
      const found = await client.embeddings.create({model, input: ["a bird", "the sea"]});
      assert.equal(found.data.length, 2);
      for (const {embedding} of found.data) isVector(Array.from(embedding));
      const floats = await client.embeddings.create({model, input: "a bird", encoding_format: "float"});
      floats.data[0].embedding.forEach((x, i) => assert.ok(Math.abs(x - found.data[0].embedding[i]) < 1e-6));
    },
    async logprobs() {
      isLogprobs((await ask({logprobs: true, top_logprobs: 3})).choices[0].logprobs.content, 3);
      const echo = await client.completions.create({model, prompt: "the bird", max_tokens: 0, echo: true, logprobs: 1});
      const {tokens, token_logprobs} = echo.choices[0].logprobs;
      assert.equal(tokens.join(""), "the bird");
      assert.equal(token_logprobs[0], null);
      assert.ok(token_logprobs.slice(1).every((value) => value <= 0));
    },
    async errors() {
      const error = await rejected(ask({temperature: -1}), (e) => e.status === 400);
      assert.equal(error.param, "temperature");
      await rejected(client.models.retrieve("none"), (e) => e instanceof OpenAI.NotFoundError);
      await rejected(client.chat.completions.create({model, messages: []}), (e) => e instanceof OpenAI.BadRequestError);
    },
    async abort() {
      const stream = await ask({stream: true, max_tokens: endless, ignore_eos: true});
      await running(base);
      for await (const chunk of stream) if (chunk.choices[0].delta.content) break;
      await idle(base);
      const stop = new AbortController();
      const waiting = ask({max_tokens: endless, ignore_eos: true}, {signal: stop.signal});
      running(base).then(() => stop.abort());
      await rejected(waiting, (e) => e instanceof OpenAI.APIUserAbortError);
      await idle(base);
    },
  };
}

function responses(OpenAI, base) {
  const client = new OpenAI({baseURL: `${base}/v1`, apiKey: "none", maxRetries: 0});
  const ask = (more) => client.responses.create({model, input: question, max_output_tokens: limit, ...more});
  const tools = [{type: "function", ...tool, strict: true}];
  return {
    async plain() {
      const reply = await ask();
      isText(reply.output_text);
      const next = await ask({previous_response_id: reply.id, input: "and the sea?"});
      isText(next.output_text);
      assert.equal((await client.responses.retrieve(reply.id)).output_text, reply.output_text);
      await client.responses.delete(reply.id);
      await rejected(client.responses.retrieve(reply.id), (e) => e.status === 404);
    },
    async stream() {
      const stream = client.responses.stream({model, input: question, max_output_tokens: limit});
      isText((await stream.finalResponse()).output_text);
    },
    async tools() {
      const reply = await ask({tools, tool_choice: "required", max_output_tokens: 200});
      const call = reply.output.find((item) => item.type === "function_call");
      assert.equal(call.name, "paint");
      isColor(JSON.parse(call.arguments));
    },
    async structured() {
      const reply = await client.responses.parse({model, input: question, text: {format: text_format}, max_output_tokens: 200});
      isColor(reply.output_parsed);
    },
    async errors() {
      await rejected(ask({temperature: "hot"}), (e) => e instanceof OpenAI.BadRequestError);
    },
    async abort() {
      const stream = await ask({stream: true, max_output_tokens: endless, ignore_eos: true});
      for await (const event of stream) if (event.type === "response.output_text.delta") break;
      await idle(base);
    },
  };
}

export const rows = {
  "openai 6 chat": (base) => chats(OpenAI6, base),
  "openai 7 chat": (base) => chats(OpenAI7, base),
  "openai 6 responses": (base) => responses(OpenAI6, base),
  "openai 7 responses": (base) => responses(OpenAI7, base),
};
