// usage: node llama.mjs AVIARY HELPER SOURCE WORK: files that we write, loaded by llama.cpp, and the other way.
// AVIARY_SHARED, where set, holds the published World vocabulary and its golden tokens.
import {spawnSync} from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import {getLlama, LlamaLogLevel, readGgufFileInfo} from "node-llama-cpp";

const [aviary, helper, source, work] = process.argv.slice(2);
const shared = process.env.AVIARY_SHARED;
const llama = await getLlama({gpu: false, build: "never", skipDownload: true, logLevel: LlamaLogLevel.error, maxThreads: 2});
let failures = 0;

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

function softmax(logits) {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const powers = Float64Array.from(logits, (x) => Math.exp(x - largest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((x) => x / sum);
}

// adapter: {file, scale}
function ourProbabilities(model, tokens, adapter) {
  const raw = inWork("logits");
  const more = adapter ? ["--adapter", `${adapter.file},weight=${adapter.scale}`, "--force"] : [];
  run(aviary, ["logits", model, "--tokens", tokens.join(","), "--raw", raw, "--top", "0", ...more]);
  return softmax(new Float32Array(new Uint8Array(fs.readFileSync(raw)).buffer));
}

async function theirProbabilities(model, tokens, adapter) {
  const lora = adapter ? {adapters: [{filePath: adapter.file, scale: adapter.scale}]} : undefined;
  const context = await model.createContext({contextSize: 512, batchSize: 512, threads: 2, lora});
  const input = [...tokens];
  input.push([input.pop(), {generateNext: {probabilities: true}}]);
  const output = await context.getSequence().controlledEvaluate(input);
  const probabilities = new Float64Array(model.fileInfo.metadata.tokenizer.ggml.tokens.length);
  for (const [token, probability] of output[tokens.length - 1].next.probabilities) probabilities[token] = probability;
  await context.dispose();
  return probabilities;
}

// The largest difference of a probability, and the mean divergence from the expected ones to theirs in nats.
async function compare(file, prompts, expected = prompts.map((prompt) => ourProbabilities(file, prompt)), adapter) {
  const model = await llama.loadModel({modelPath: file, gpuLayers: 0});
  let largest = 0, divergence = 0;
  for (const [i, prompt] of prompts.entries()) {
    const theirs = await theirProbabilities(model, prompt, adapter);
    const sum = theirs.reduce((a, b) => a + b);  // 1 but for the rounding of hundreds of floats
    expected[i].forEach((p, token) => {
      largest = Math.max(largest, Math.abs(p - theirs[token]));
      if (p > 0) divergence += p * Math.log((p * sum) / Math.max(theirs[token], 1e-30)) / prompts.length;
    });
  }
  await model.dispose();
  return {largest, divergence};
}

function report(name, {largest, divergence}, limit) {
  const number = (x) => x.toExponential(1);
  console.log(`${name.padEnd(22)} largest difference ${number(largest)} (limit ${number(limit.largest)}), ` +
              `divergence ${number(divergence)} (limit ${number(limit.divergence)})`);
  check(largest <= limit.largest && divergence <= limit.divergence, `${name}: llama.cpp predicts otherwise`);
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
    check(sameList(theirs, expected[i]),
          `tokens of ${JSON.stringify(text.slice(0, 60))}: llama.cpp ${theirs}, we ${expected[i]}`);
  });
  await model.dispose();
  console.log(`${texts.length} texts have the same tokens`);
}

// ---- A small model with a vocabulary of its own

const license = fs.readFileSync(path.join(source, "LICENSE"), "utf8");
const texts = [
  license, "", "a", " ", "\n\n", "User: hi\n\nAssistant:", "<s>", "x<s>[PAD690][PAD700]\\x00<s>", "\\n\\t'\"\\",
  "\u00e9t\u00e9 \u4f60\u597d \ud83d\ude00 \u0080\u00a0\ufeff", "\t\r\n\r\n  \u0001\u007f", "0123456789",
  "The License  the\nlicense",
];
const base = inWork("model.safetensors");
run(helper, ["make", "256", "3", base, "-"], license);
const tokens = ourTokens(base, texts);
const long = tokens[0];
// Of one to 300 tokens.
const prompts = [[0, 0], ...[1, 2, 5, 9, 20, 50, 150, 300].map((length, i) => long.slice(40 * i, 40 * i + length))];

// Both compute with the same stored numbers, but llama.cpp rounds what they are multiplied with: to f16 (11 bits) or bf16 (8
// bits) for matrices of these types, and to 8 bits with a scale for 32 or 256 numbers for the block types. In a block the
// largest number is 2 to 3 times the typical one, so its step of 1/127 costs a product about 0.5 % to 0.7 % of its size; the
// products of three layers and the head that follow each other come to 1 % to 1.5 % of the logits. These are spread about 2
// wide: 0.02 to 0.03, whose half square is the divergence, 2e-4 to 5e-4 nats. After very few tokens the group norm can enlarge
// this; hence four times that is allowed. Two exchanged tensors cost 0.03 nats.
const blocks = {largest: 3e-2, divergence: 2e-3};
const types = [
  {type: "f32", id: 0, largest: 1e-5, divergence: 1e-9},
  {type: "f16", id: 1, largest: 1e-3, divergence: 2e-6},
  {type: "bf16", id: 30, largest: 1e-2, divergence: 2e-4},
  {type: "q8_0", id: 8, ...blocks},
  {type: "q5_1", id: 7, ...blocks},
  {type: "q4_0", id: 2, ...blocks},
  {type: "q4_k", id: 12, ...blocks},
];

for (const limit of types) {
  const file = inWork(`${limit.type}.gguf`);
  run(aviary, ["convert", base, file, "--type", limit.type, "--force"]);
  const stored = (await typesOf(file)).get("blk.1.time_mix_key.weight");
  check(stored === limit.id, `${limit.type}: matrices are stored as type ${stored}`);
  report(`we write ${limit.type}`, await compare(file, prompts), limit);
}
await compareTokens(inWork("f32.gguf"), texts, tokens);

// ---- Adapters that we write, beside our models

const positions = Array.from({length: 36}, (_, i) => long.slice(0, i + 1));

async function compareAdapted(name, file, adapter, limit) {
  const expected = positions.map((prompt) => ourProbabilities(file, prompt, adapter));
  const plain = positions.map((prompt) => ourProbabilities(file, prompt));
  const effect = Math.max(...expected.map((p, i) => Math.max(...p.map((x, token) => Math.abs(x - plain[i][token])))));
  check(effect > 0.02, `${name}: the adapter changes a probability by ${effect} at most`);
  report(name, await compare(file, positions, expected, adapter), limit);
}

// Hides the keys from readers, which then take all of B A.
function withoutAlpha(from, to) {
  const bytes = fs.readFileSync(from);
  for (const key of ["adapter.lora.alpha", "aviary.adapter"]) bytes.write("x", bytes.indexOf(key) + key.length - 1);
  fs.writeFileSync(to, bytes);
}

for (const method of ["lora", "miss"]) {
  run(helper, ["adapt", base, inWork(`${method}.safetensors`), method]);
  run(aviary, ["convert", inWork(`${method}.safetensors`), inWork(`${method}.gguf`)]);
  await compareAdapted(`adapter, ${method}`, inWork("f32.gguf"), {file: inWork(`${method}.gguf`), scale: 1}, types[0]);
}
await compareAdapted("adapter, scale 0.5", inWork("f32.gguf"), {file: inWork("lora.gguf"), scale: 0.5}, types[0]);
withoutAlpha(inWork("lora.gguf"), inWork("no-alpha.gguf"));
await compareAdapted("adapter without alpha", inWork("f32.gguf"), {file: inWork("no-alpha.gguf"), scale: 1}, types[0]);
await compareAdapted("adapter beside q8_0", inWork("q8_0.gguf"), {file: inWork("lora.gguf"), scale: 1}, blocks);

// ---- What llama.cpp quantizes, we read

const libraries = path.resolve("node_modules/@node-llama-cpp/linux-x64/bins/linux-x64");
const library = path.join(libraries, fs.readdirSync(libraries).find((name) => name.startsWith("libllama.")));
for (const [name, fileType] of [["Q8_0", 7], ["Q4_0", 2], ["Q5_1", 9], ["Q4_K_M", 15], ["Q5_K_M", 17], ["Q6_K", 18]]) {
  const file = inWork(`llama-${name}.gguf`);
  run(helper, ["quantize", library, inWork("f32.gguf"), file, String(fileType)]);
  report(`llama.cpp writes ${name}`, await compare(file, prompts), blocks);
}

// ---- The golden RWKV-6, without a vocabulary: the logits are those of the original code

function readSafetensors(file) {
  const bytes = fs.readFileSync(file), size = Number(bytes.readBigUInt64LE()), header = JSON.parse(bytes.subarray(8, 8 + size));
  return (name) => {
    const [begin, end] = header[name].data_offsets;
    return new Uint8Array(bytes.subarray(8 + size + begin, 8 + size + end)).buffer;
  };
}

{
  const folder = path.join(source, "tests/golden/rwkv-v6"), file = inWork("rwkv6.gguf");
  run(helper, ["rwkv6", path.join(folder, "model.safetensors"), file]);
  const golden = readSafetensors(path.join(folder, "golden.safetensors"));
  const idx = Array.from(new BigInt64Array(golden("idx")), Number), logits = new Float32Array(golden("logits.f64"));
  const length = idx.length / 2, vocabulary = logits.length / idx.length;  // [2, length], [2, length, vocabulary]
  const ends = [0, 4, length - 1, length, length + 4, idx.length - 1];
  const prefixes = ends.map((end) => idx.slice(end < length ? 0 : length, end + 1));
  const expected = ends.map((end) => softmax(logits.subarray(end * vocabulary, (end + 1) * vocabulary)));
  report("golden RWKV-6", await compare(file, prefixes, expected), types[0]);
}

// ---- The published World vocabulary

if (shared) {
  const world = inWork("world.safetensors"), file = inWork("world.gguf");
  run(helper, ["make", "64", "1", world, path.join(shared, "data/rwkv_vocab_v20230424.txt")]);
  run(aviary, ["convert", world, file]);
  const utf8 = new TextDecoder("utf-8", {fatal: true, ignoreBOM: true});
  const lines = fs.readFileSync(path.join(shared, "golden/tokenizer/world.jsonl"), "utf8").trim().split("\n");
  const cases = lines.map((line) => JSON.parse(line)).flatMap(({bytes_b64, ids}) => {
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
