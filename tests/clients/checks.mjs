// What all clients are asked for, and the checks of what they got.
import assert from "node:assert/strict";

export const columns = ["plain", "stream", "tools", "structured", "embeddings", "logprobs", "errors", "abort"];

export const model = "bird";
export const question = "the small bird?";
export const limit = 16;
// So many tokens take minutes: what is not canceled is still running when the test looks.
export const endless = 100_000_000;

const color = {type: "object", properties: {color: {enum: ["red", "blue"]}}, required: ["color"], additionalProperties: false};
export const schema = color;
export const tool = {name: "paint", description: "Paints the bird.", parameters: color};

export function isColor(value) {
  assert.ok(value && ["red", "blue"].includes(value.color), `expected a color, got ${JSON.stringify(value)}`);
}

export function isText(text) {
  assert.equal(typeof text, "string");
  assert.ok(text.length > 0, "the text is empty");
}

export function isVector(vector) {
  assert.ok(vector.length > 0 && vector.every(Number.isFinite), "not a vector");
  const norm = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
  assert.ok(Math.abs(norm - 1) < 1e-3, `the norm is ${norm}`);
}

// The text of logprobs.content, and that alternatives are sorted.
export function isLogprobs(content, alternatives) {
  assert.ok(content.length > 0, "no log-probabilities");
  for (const token of content) {
    assert.ok(token.logprob <= 0 && token.bytes.length > 0);
    assert.equal(token.top_logprobs.length, alternatives);
    for (let i = 1; i < alternatives; ++i) assert.ok(token.top_logprobs[i - 1].logprob >= token.top_logprobs[i].logprob);
  }
}

// Whether the promise is rejected with an error that `matches`; returns the error.
export async function rejected(promise, matches) {
  let error;
  try {
    await promise;
  } catch (caught) {
    error = caught;
  }
  assert.ok(error, "expected an error");
  assert.ok(matches(error), `another error than expected: ${error?.name} ${error?.status ?? error?.statusCode} ${error?.message}`);
  return error;
}

async function wait(base, state, complaint) {
  for (let i = 0; i < 200; ++i) {
    const text = await (await fetch(`${base}/metrics`)).text();
    if (/^llamacpp:requests_processing 0$/m.test(text) === (state === "idle")) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(complaint);
}

// Waits until the server writes a text, or none any longer.
export const running = (base) => wait(base, "running", "the server does not write");
export const idle = (base) => wait(base, "idle", "the server goes on writing for a client that has left");
