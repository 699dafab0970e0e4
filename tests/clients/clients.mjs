// usage: node clients.mjs AVIARY WORK [CLIENT...]: the table of clients and what they can do with the server. A dash: the client has no
// such function, or its interface none.
import {columns} from "./checks.mjs";
import {rows as ai} from "./ai.mjs";
import {rows as openai} from "./openai.mjs";
import {rows as others} from "./others.mjs";
import {startServer, trainModel} from "./server.mjs";

const [aviary, work, ...wanted] = process.argv.slice(2);
process.env.OPENAI_LOG = "off";
globalThis.AI_SDK_LOG_WARNINGS = false;
const clients = Object.entries({...openai, ...others, ...ai}).filter(
  ([name]) => wanted.length === 0 || wanted.some((text) => name.includes(text)));
const server = await startServer(aviary, trainModel(aviary, work));
const failures = [];

async function result(name, column, check) {
  if (!check) return "-";
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error("no answer within a minute")), 60_000)));
  try {
    await Promise.race([check(), late]);
    return "ok";
  } catch (error) {
    failures.push(`${name}, ${column}: ${error?.message ?? error}${process.env.AVIARY_TRACE ? `\n${error?.stack}` : ""}`);
    return "FAIL";
  } finally {
    clearTimeout(timer);
  }
}

console.log(["client".padEnd(24), ...columns.map((column) => column.padEnd(10))].join(" "));
for (const [name, make] of clients) {
  const checks = make(server.base);
  const cells = [];
  for (const column of columns) cells.push(await result(name, column, checks[column]));
  console.log([name.padEnd(24), ...cells.map((cell) => cell.padEnd(10))].join(" "));
}
const exit = await server.stop();
if (exit !== 0) failures.push(`aviary serve ended with ${exit}: ${server.errors()}`);
for (const failure of failures) console.log(`FAILED: ${failure}`);
process.exit(failures.length === 0 ? 0 : 1);
