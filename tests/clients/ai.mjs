// npm ai 6 with its providers for OpenAI (chats and responses), servers like it, and Anthropic.
import {createAnthropic} from "@ai-sdk/anthropic";
import {createOpenAI} from "@ai-sdk/openai";
import {createOpenAICompatible} from "@ai-sdk/openai-compatible";
import {APICallError, embedMany, generateText, jsonSchema, Output, streamText, tool as defineTool} from "ai";
import assert from "node:assert/strict";
import {endless, idle, isColor, isText, isVector, limit, model, question, rejected, schema, tool} from "./checks.mjs";

function cases(base, language, embedding, logprobs) {
  const basics = {model: language, prompt: question, maxOutputTokens: limit, maxRetries: 0};
  const tools = {paint: defineTool({description: tool.description, inputSchema: jsonSchema(tool.parameters), strict: true})};
  const all = {
    async plain() {
      const reply = await generateText({...basics, system: "Sing."});
      isText(reply.text);
      assert.ok(reply.usage.outputTokens > 0);
    },
    async stream() {
      let text = "";
      const reply = streamText({...basics, onError() {}});
      for await (const piece of reply.textStream) text += piece;
      isText(text);
      assert.ok((await reply.usage).outputTokens > 0);
    },
    async tools() {
      const reply = await generateText({...basics, tools, toolChoice: "required", maxOutputTokens: 200});
      assert.equal(reply.toolCalls[0].toolName, "paint");
      isColor(reply.toolCalls[0].input);
      const streamed = streamText({...basics, tools, toolChoice: "required", maxOutputTokens: 200, onError() {}});
      isColor((await streamed.toolCalls)[0].input);
    },
    async structured() {
      const output = Output.object({schema: jsonSchema(schema)});
      isColor((await generateText({...basics, output, maxOutputTokens: 200, providerOptions: {anthropic: {structuredOutputMode: "outputFormat"}}})).output);
    },
    async errors() {
      await rejected(generateText({...basics, temperature: -1, stopSequences: [5]}), (e) => APICallError.isInstance(e) && e.statusCode === 400);
    },
    async abort() {
      const stop = new AbortController();
      const reply = streamText({...basics, maxOutputTokens: endless, abortSignal: stop.signal, onError() {}});
      for await (const piece of reply.textStream) if (piece) break;
      stop.abort();
      await idle(base);
    },
  };
  if (embedding)
    all.embeddings = async () => {
      const {embeddings} = await embedMany({model: embedding, values: ["a bird", "the sea"]});
      assert.equal(embeddings.length, 2);
      embeddings.forEach(isVector);
    };
  if (logprobs)
    all.logprobs = async () => {
      const reply = await generateText({...basics, providerOptions: {openai: {logprobs: 2}}});
      assert.ok(reply.providerMetadata.openai.logprobs.length > 0);
    };
  return all;
}

const openai = (base) => createOpenAI({baseURL: `${base}/v1`, apiKey: "none"});
const like = (base) => createOpenAICompatible({name: "aviary", baseURL: `${base}/v1`, supportsStructuredOutputs: true, includeUsage: true});
const anthropic = (base) => createAnthropic({baseURL: `${base}/v1`, apiKey: "none"});

export const rows = {
  "ai 6 openai chat": (base) => cases(base, openai(base).chat(model), openai(base).embedding(model), true),
  "ai 6 openai responses": (base) => cases(base, openai(base).responses(model)),
  "ai 6 openai-compatible": (base) => cases(base, like(base).chatModel(model), like(base).embeddingModel(model)),
  "ai 6 anthropic": (base) => cases(base, anthropic(base).messages(model)),
};
