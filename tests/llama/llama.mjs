// usage: node llama.mjs AVIARY HELPER SOURCE WORK: files that we write, loaded by llama.cpp, and the other way.
// AVIARY_SHARED, where set, holds the published World vocabulary and its golden tokens.
import {spawnSync} from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import {getLlama, LlamaLogLevel, readGgufFileInfo} from "node-llama-cpp";

const [aviary, helper, source, work] = process.argv.slice(2);
const shared = process.env.AVIARY_SHARED;
const llama = await getLlama({gpu: false, build: "never", skipDownload: true, logLevel: LlamaLogLevel.error, maxThreads: 2});
const library = fs.readdirSync(libraryFolder()).filter((name) => name.startsWith("libllama.")).map((name) => path.join(libraryFolder(), name))[0];
let failures = 0;

function libraryFolder() {
  return path.join(import.meta.dirname, "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64");
}

function check(condition, message) {
  if (condition) return;
  ++failures;
  console.log(`FAILED: ${message}`);
}

function run(program, args, input = "") {
  const result = spawnSync(program, args, {input, maxBuffer: 1 << 28});
  if (result.status !== 0) throw new Error(`${path.basename(program)} ${args.join(" ")}: ${result.stderr}`);
  return result.stdout.toString();
}

const inWork = (name) => path.join(work, name);
const ourTokens = (model, texts) => JSON.parse(run(helper, ["tokenize", model], JSON.stringify(texts)));
const sameList = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);

// ---- Probabilities of the token after each prompt

function ourProbabilities(model, tokens) {
  const raw = inWork("logits");
  run(aviary, ["logits", model, "--tokens", tokens.join(","), "--raw", raw, "--top", "0"]);
  const logits = new Float32Array(new Uint8Array(fs.readFileSync(raw)).buffer);
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const powers = Float64Array.from(logits, (x) => Math.exp(x - largest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((x) => x / sum);
}

async function theirProbabilities(model, tokens) {
  const context = await model.createContext({contextSize: 512, batchSize: 512, threads: 2});
  const input = [...tokens];
  input.push([input.pop(), {generateNext: {probabilities: true}}]);
  const output = await context.getSequence().controlledEvaluate(input);
  const probabilities = new Float64Array(model.fileInfo.metadata.tokenizer.ggml.tokens.length);
  for (const [token, probability] of output[tokens.length - 1].next.probabilities) probabilities[token] = probability;
  await context.dispose();
  return probabilities;
}

// The largest difference of a probability, and the divergence from ours to theirs in nats.
async function compare(file, prompts) {
  const model = await llama.loadModel({modelPath: file, gpuLayers: 0});
  let largest = 0, divergence = 0;
  for (const prompt of prompts) {
    const ours = ourProbabilities(file, prompt), theirs = await theirProbabilities(model, prompt);
    let sum = 0;
    ours.forEach((p, i) => {
      largest = Math.max(largest, Math.abs(p - theirs[i]));
      if (p > 0) sum += p * Math.log(p / Math.max(theirs[i], 1e-30));
    });
    divergence = Math.max(divergence, sum);
  }
  await model.dispose();
  return {largest, divergence};
}

async function typesOf(file) {
  const info = await readGgufFileInfo(file);
  return new Map(info.fullTensorInfo.map((tensor) => [tensor.name, tensor.ggmlType]));
}

// ---- Tokens

async function compareTokens(file, texts, expected) {
  const model = await llama.loadModel({modelPath: file, gpuLayers: 0});
  texts.forEach((text, i) => {
    const theirs = model.tokenize(text, false, "trimLeadingSpace").map(Number);
    check(sameList(theirs, expected[i]), `tokens of ${JSON.stringify(text.slice(0, 60))}: llama.cpp ${theirs}, we ${expected[i]}`);
  });
  await model.dispose();
  console.log(`${texts.length} texts have the same tokens`);
}

// ---- A small model with a vocabulary of its own

const license = fs.readFileSync(path.join(source, "LICENSE"), "utf8");
const texts = [license, "", "a", " ", "\n\n", "User: hi\n\nAssistant:", "<s>", "x<s>[PAD690][PAD700]\\x00<s>", "\\n\\t'\"\\",
               "\u00e9t\u00e9 \u4f60\u597d \ud83d\ude00 \u0080\u00a0\ufeff", "\t\r\n\r\n  \u0001\u007f", "0123456789", "The License  the\nlicense"];
const base = inWork("model.safetensors");
run(helper, ["make", "256", "3", base, "-"], license);
const tokens = ourTokens(base, texts);
const long = tokens[0];
const prompts = [long.slice(0, 1), long.slice(5, 7), long.slice(20, 57), long.slice(100, 400), [0, 0]];

// Both compute with the same stored numbers, but llama.cpp rounds what they are multiplied with: to half precision for F16
// (11 bits) and to 8 bits for the block types. A number of a block of 32, or 256, is then off by up to 1/254 of the block's
// largest one, about half a percent of what a typical product sums up. Three layers of it move the logits of this model, which
// are spread about 1 wide, by one or two hundredths: a divergence of some 1e-4 nats. Five times that is allowed; one wrong
// block or a wrong order of tensors costs whole nats.
const types = [
  {type: "f32", id: 0, largest: 1e-5, divergence: 1e-8},
  {type: "f16", id: 1, largest: 1e-4, divergence: 1e-6},
  {type: "bf16", id: 30, largest: 1e-3, divergence: 1e-4},
  {type: "q8_0", id: 8, largest: 2e-3, divergence: 1e-3},
  {type: "q5_1", id: 7, largest: 2e-3, divergence: 1e-3},
  {type: "q4_0", id: 2, largest: 2e-3, divergence: 1e-3},
  {type: "q4_k", id: 12, largest: 2e-3, divergence: 1e-3},
];
const row = (name, result, limit) =>
  console.log(`${name.padEnd(22)} largest difference ${result.largest.toExponential(1)} (limit ${limit.largest.toExponential(0)}), ` +
              `divergence ${result.divergence.toExponential(1)} (limit ${limit.divergence.toExponential(0)})`);

for (const limit of types) {
  const file = inWork(`${limit.type}.gguf`);
  run(aviary, ["convert", base, file, "--type", limit.type, "--force"]);
  const stored = (await typesOf(file)).get("blk.1.time_mix_key.weight");
  check(stored === limit.id, `${limit.type}: matrices are stored as type ${stored}`);
  const result = await compare(file, prompts);
  row(`we write ${limit.type}`, result, limit);
  check(result.largest <= limit.largest && result.divergence <= limit.divergence, `${limit.type} differs from llama.cpp`);
}
await compareTokens(inWork("f32.gguf"), texts, tokens);

// ---- What llama.cpp quantizes, we read

for (const [name, fileType] of [["Q8_0", 7], ["Q4_0", 2], ["Q5_1", 9], ["Q4_K_M", 15], ["Q5_K_M", 17], ["Q6_K", 18]]) {
  const file = inWork(`llama-${name}.gguf`);
  run(helper, ["quantize", library, inWork("f32.gguf"), file, String(fileType)]);
  const result = await compare(file, prompts), limit = types.at(-1);
  row(`llama.cpp writes ${name}`, result, limit);
  check(result.largest <= limit.largest && result.divergence <= limit.divergence, `${name} of llama.cpp is read otherwise`);
}

// ---- The published World vocabulary

if (shared) {
  const world = inWork("world.safetensors"), file = inWork("world.gguf");
  run(helper, ["make", "64", "1", world, path.join(shared, "data/rwkv_vocab_v20230424.txt")]);
  run(aviary, ["convert", world, file]);
  const utf8 = new TextDecoder("utf-8", {fatal: true, ignoreBOM: true});
  const cases = fs.readFileSync(path.join(shared, "golden/tokenizer/world.jsonl"), "utf8").trim().split("\n").map(JSON.parse).flatMap(({bytes_b64, ids}) => {
    try {
      return [{text: utf8.decode(Buffer.from(bytes_b64, "base64")), ids}];
    } catch {
      return [];  // node passes text, not bytes
    }
  });
  await compareTokens(file, cases.map(({text}) => text), cases.map(({ids}) => ids));
  const info = await readGgufFileInfo(file);
  check(info.metadata.tokenizer.chat_template === "rwkv-world", "the chat template is missing");
} else {
  console.log("AVIARY_SHARED is not set: the published World vocabulary is not tried");
}

await llama.dispose();
process.exit(failures === 0 ? 0 : 1);
