// A small model, trained here, and `aviary serve` on it.
import {spawn, spawnSync} from "node:child_process";
import fs from "node:fs";
import path from "node:path";

// One endless sentence: what the model writes is nonsense, but never ends by itself, and is always the same.
function sentences() {
  const words = "the a small gray bird sees and sings of sun rain wind sea by day night".split(" ");
  let seed = 1;
  const word = () => words[(seed = (seed * 48271) % 2147483647) % words.length];
  return Array.from({length: 4000}, word).join(" ");
}

export function trainModel(aviary, work) {
  fs.writeFileSync(path.join(work, "text.txt"), sentences());
  const size = "--tokenizer bytes --layers 2 --width 32 --context 64 --batch 8 --precision f32 --sample-every 0";
  const result = spawnSync(aviary, `train text.txt --out run --steps 60 --threads 2 --seed 1 ${size}`.split(" "), {cwd: work});
  if (result.status !== 0) throw new Error(`aviary train: ${result.stderr}`);
  return path.join(work, "run");
}

// Resolves to {base, stop}: the address, and a function that ends the server and resolves to its exit code.
export async function startServer(aviary, model) {
  const flags = ["--port", "0", "--alias", "bird", "--chat-template", "world", "--max-tokens", "48"];
  const server = spawn(aviary, ["serve", model, ...flags], {stdio: ["ignore", "pipe", "pipe"]});
  const exit = new Promise((resolve) => server.on("exit", (code, signal) => resolve(code ?? signal)));
  let output = "", errors = "";
  server.stderr.on("data", (data) => (errors += data));
  const base = await new Promise((resolve, reject) => {
    server.stdout.on("data", (data) => {
      const found = (output += data).match(/Listening on (http:\S+)/);
      if (found) resolve(found[1]);
    });
    exit.then((code) => reject(new Error(`aviary serve ended with ${code}: ${errors}`)));
  });
  const stop = () => {
    server.kill("SIGTERM");
    return exit;
  };
  return {base, stop, errors: () => errors};
}
