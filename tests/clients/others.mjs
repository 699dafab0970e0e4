// npm @anthropic-ai/sdk, ollama and @langchain/openai.
import Anthropic from "@anthropic-ai/sdk";
import {ChatOpenAI, OpenAIEmbeddings} from "@langchain/openai";
import assert from "node:assert/strict";
import {Ollama} from "ollama";
import {endless, idle, isColor, isText, isVector, limit, model, question, rejected, schema, tool} from "./checks.mjs";

const messages = [{role: "user", content: question}];

function anthropic(base) {
  const client = new Anthropic({baseURL: base, apiKey: "none", maxRetries: 0});
  const basics = {model, messages, max_tokens: limit};
  const tools = [{name: tool.name, description: tool.description, input_schema: tool.parameters, strict: true}];
  return {
    async plain() {
      const reply = await client.messages.create({...basics, system: "Sing."});
      isText(reply.content[0].text);
      assert.ok(["end_turn", "max_tokens"].includes(reply.stop_reason) && reply.usage.output_tokens > 0);
      assert.ok((await client.messages.countTokens({model, messages})).input_tokens > 0);
      assert.equal((await client.models.list()).data[0].id, model);
    },
    async stream() {
      const reply = await client.messages.stream(basics).finalMessage();
      isText(reply.content[0].text);
    },
    async tools() {
      for (const reply of [
        await client.messages.create({...basics, max_tokens: 200, tools, tool_choice: {type: "any"}}),
        await client.messages.stream({...basics, max_tokens: 200, tools, tool_choice: {type: "tool", name: "paint"}}).finalMessage(),
      ]) {
        const use = reply.content.find((block) => block.type === "tool_use");
        assert.equal(reply.stop_reason, "tool_use");
        isColor(use.input);
      }
    },
    async structured() {
      const output_config = {format: {type: "json_schema", schema}};
      const reply = await client.messages.create({...basics, max_tokens: 200, output_config});
      isColor(JSON.parse(reply.content[0].text));
    },
    async errors() {
      await rejected(client.messages.create({...basics, messages: []}), (e) => e instanceof Anthropic.BadRequestError);
      await rejected(client.messages.create({...basics, max_tokens: 0}), (e) => e.status === 400);
    },
    async abort() {
      const stream = client.messages.stream({...basics, max_tokens: endless});
      for await (const event of stream) if (event.type === "content_block_delta") break;
      stream.abort();
      await idle(base);
    },
  };
}

function ollama(base) {
  const client = new Ollama({host: base});
  const basics = {model, messages, options: {num_predict: limit, seed: 1}};
  return {
    async plain() {
      assert.equal((await client.list()).models[0].name, model);
      assert.ok((await client.show({model})).capabilities.includes("completion"));
      const reply = await client.chat(basics);
      isText(reply.message.content);
      assert.ok(reply.done && reply.eval_count > 0);
      isText((await client.generate({model, prompt: question, options: basics.options})).response);
    },
    async stream() {
      const whole = (await client.chat(basics)).message.content;
      let text = "", last;
      for await (const part of await client.chat({...basics, stream: true})) {
        text += part.message.content;
        last = part;
      }
      assert.equal(text, whole);
      assert.ok(last.done);
    },
    async tools() {
      // The interface cannot demand a call, so the reply may be a text.
      const tools = [{type: "function", function: tool}];
      const reply = await client.chat({...basics, tools});
      assert.ok(reply.done);
      const call = {function: {name: "paint", arguments: {color: "red"}}};
      const again = [...messages, {role: "assistant", content: "", tool_calls: [call]}, {role: "tool", content: "done", tool_name: "paint"}];
      isText((await client.chat({...basics, messages: again, tools})).message.content);
    },
    async structured() {
      const reply = await client.chat({...basics, format: schema, options: {num_predict: 200}});
      isColor(JSON.parse(reply.message.content));
    },
    async embeddings() {
      const found = await client.embed({model, input: ["a bird", "the sea"]});
      assert.equal(found.embeddings.length, 2);
      found.embeddings.forEach(isVector);
    },
    async logprobs() {
      const reply = await client.chat({...basics, logprobs: true, top_logprobs: 2});
      assert.ok(reply.logprobs.length > 0 && reply.logprobs[0].top_logprobs.length === 2);
    },
    async errors() {
      await rejected(client.chat({...basics, options: {temperature: -1}}), (e) => e.status_code === 400 && e.message.length > 0);
    },
    async abort() {
      const stream = await client.chat({...basics, stream: true, options: {num_predict: endless}});
      await rejected((async () => {
        for await (const part of stream) if (part.message.content) stream.abort();
      })(), (e) => e.name === "AbortError");
      await idle(base);
    },
  };
}

function langchain(base) {
  const configuration = {baseURL: `${base}/v1`};
  const settings = {model, apiKey: "none", maxRetries: 0, configuration};
  const chat = (more) => new ChatOpenAI({...settings, maxTokens: limit, ...more});
  return {
    async plain() {
      const reply = await chat().invoke(question);
      isText(reply.content);
      assert.ok(reply.usage_metadata.output_tokens > 0);
    },
    async stream() {
      let text = "", usage;
      for await (const chunk of await chat().stream(question)) {
        text += chunk.content;
        usage = chunk.usage_metadata ?? usage;
      }
      isText(text);
      assert.ok(usage.output_tokens > 0);
    },
    async tools() {
      const bound = chat({maxTokens: 200}).bindTools([{type: "function", function: {...tool, strict: true}}], {tool_choice: "required"});
      const [call] = (await bound.invoke(question)).tool_calls;
      assert.equal(call.name, "paint");
      isColor(call.args);
    },
    async structured() {
      const bound = chat({maxTokens: 200}).withStructuredOutput({title: "color", ...schema}, {method: "jsonSchema"});
      isColor(await bound.invoke(question));
    },
    async embeddings() {
      const vectors = await new OpenAIEmbeddings(settings).embedDocuments(["a bird", "the sea"]);
      assert.equal(vectors.length, 2);
      vectors.forEach(isVector);
    },
    async logprobs() {
      const reply = await chat({logprobs: true, topLogprobs: 2}).invoke(question);
      assert.equal(reply.response_metadata.logprobs.content[0].top_logprobs.length, 2);
    },
    async errors() {
      await rejected(chat({temperature: -1}).invoke(question), (e) => e.status === 400);
    },
    async abort() {
      for await (const chunk of await chat({maxTokens: endless, modelKwargs: {ignore_eos: true}}).stream(question)) if (chunk.content) break;
      await idle(base);
    },
  };
}

export const rows = {"@anthropic-ai/sdk 1": anthropic, "ollama 0.6": ollama, "@langchain/openai 1": langchain};
