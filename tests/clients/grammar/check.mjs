// usage: node check.mjs HELPER TEXTS: makes random schemas, lets the helper write texts that their grammars allow, and
// validates each text with ajv, until there are so many texts.
import { spawnSync } from "node:child_process";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const [helper, wanted] = [process.argv[2], Number(process.argv[3])];
const seed = Number(process.argv[4] ?? 1);

// A small generator of random numbers (mulberry32), so that a failure can be repeated.
let state = seed;
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];
const maybe = (share) => random() < share;

const names = ["a", "b", "name", "x1", "key \"q\"", "größe"];
const patterns = ["^[a-z]{2,5}$", "x", "^(ab|cd)+$", "\\d{2}", "^[^\"]*$", "[a-c]$", "^\\w+ \\w+$", "^.{0,3}$", "é|ü"];
const formats = ["date", "time", "date-time", "duration", "uuid", "email", "ipv4", "ipv6", "hostname", "uri",
  "uri-reference", "json-pointer", "relative-json-pointer", "uri-template"];
const literals = [1, 0, -3, 2.5, "a", "", "line\nbreak", "\"", true, false, null, [1, "a"], {}, { a: 1 }];

function text() {
  const schema = { type: "string" };
  if (maybe(0.3)) schema.minLength = below(4);
  if (maybe(0.3)) schema.maxLength = 3 + below(10);
  if (maybe(0.3)) schema.pattern = pick(patterns);
  else if (maybe(0.3)) schema.format = pick(formats);
  return schema;
}

function number() {
  const schema = { type: pick(["integer", "number"]) };
  const low = below(200) - 100 + pick([0, 0.5, 0.25]);
  if (maybe(0.5)) schema[pick(["minimum", "exclusiveMinimum"])] = low;
  if (maybe(0.5)) schema[pick(["maximum", "exclusiveMaximum"])] = low + below(50);
  if (maybe(0.3)) schema.multipleOf = pick([1, 2, 3, 7, 10, 0.5, 0.01, 0.25, 100]);
  return schema;
}

function array(depth) {
  const schema = { type: "array" };
  if (maybe(0.8)) schema.items = any(depth - 1);
  if (maybe(0.3)) schema.prefixItems = Array.from({ length: 1 + below(2) }, () => any(depth - 1));
  if (maybe(0.4)) schema.minItems = below(3);
  if (maybe(0.4)) schema.maxItems = 2 + below(3);
  if (maybe(0.15)) schema.contains = any(depth - 1);
  return schema;
}

function object(depth) {
  const schema = { type: "object", properties: {} };
  for (const name of names) if (maybe(0.4)) schema.properties[name] = any(depth - 1);
  const declared = Object.keys(schema.properties);
  schema.required = names.filter((name) => maybe(declared.includes(name) ? 0.5 : 0.1));
  if (maybe(0.5)) schema.additionalProperties = maybe(0.6) ? false : any(depth - 1);
  if (maybe(0.2)) schema.patternProperties = { [pick(["^x", "[0-9]$", "e"])]: any(depth - 1) };
  if (maybe(0.1)) schema.propertyNames = { pattern: pick(["^[a-z]", "^.{1,8}$"]) };
  if (maybe(0.2)) schema.minProperties = below(3);
  if (maybe(0.2)) schema.maxProperties = 1 + below(4);
  if (maybe(0.15)) schema.dependentRequired = { [pick(names)]: [pick(names)] };
  if (maybe(0.1)) schema.dependentSchemas = { [pick(names)]: { required: [pick(names)] } };
  return schema;
}

let references = true;  // a definition that refers to itself in place would mean nothing

function any(depth) {
  const roll = below(depth > 0 ? 16 : 7);
  if (roll < 2) return text();
  if (roll < 4) return number();
  if (roll === 4) return { type: pick(["boolean", "null", ["string", "null"], ["integer", "boolean"]]) };
  if (roll === 5) return { enum: Array.from({ length: 1 + below(4) }, () => pick(literals)) };
  if (roll === 6) return maybe(0.7) ? { const: pick(literals) } : true;
  if (roll < 9) return array(depth);
  if (roll < 12) return object(depth);
  const parts = Array.from({ length: 2 + below(2) }, () => any(depth - 1));
  if (roll === 12) return { anyOf: parts };
  if (roll === 13) return { oneOf: parts };
  if (roll === 14) return maybe(0.5) ? { allOf: parts } : { ...any(depth - 1), not: any(0) };
  return maybe(0.5) && references ? { $ref: pick(["#/$defs/one", "#/$defs/list"]) } : { if: any(0), then: any(depth - 1), else: any(depth - 1) };
}

function root() {
  const schema = maybe(0.7) ? object(3) : any(3);
  if (typeof schema !== "object") return { type: "object" };
  references = false;
  schema.$defs = { one: any(2), list: { type: ["array", "integer"], items: { $ref: "#/$defs/list" }, maxItems: 3 } };
  references = true;
  return schema;
}

const counts = { schemas: 0, refused: 0, texts: 0, invalid: 0 };
while (counts.texts < wanted) {
  const schemas = Array.from({ length: 100 }, root);
  const run = spawnSync(helper, ["3", String(seed + counts.schemas)], {
    input: schemas.map((schema) => JSON.stringify(schema)).join("\n") + "\n", maxBuffer: 1 << 28, encoding: "utf8" });
  if (run.status !== 0) throw new Error(`the helper ended with ${run.status} ${run.signal}: ${run.stderr}`);
  const answers = run.stdout.trim().split("\n").map((line) => JSON.parse(line));
  for (const [i, answer] of answers.entries()) {
    ++counts.schemas;
    if (answer.refused !== undefined) {
      ++counts.refused;
      if (process.env.VERBOSE) console.log(answer.refused);
      continue;
    }
    const ajv = new Ajv2020({ strict: false, multipleOfPrecision: 9 });
    addFormats(ajv);
    const validate = ajv.compile(schemas[i]);
    for (const text of answer.texts) {
      ++counts.texts;
      let valid = false;
      try {
        valid = validate(JSON.parse(text));
      } catch (error) {
        console.log(error.message);
      }
      if (valid) continue;
      ++counts.invalid;
      console.log(`invalid: ${text}\n  of ${JSON.stringify(schemas[i])}\n  ${JSON.stringify(validate.errors)}`);
    }
  }
}
console.log(JSON.stringify(counts));
if (counts.invalid > 0 || counts.refused > counts.schemas / 2) process.exit(1);
