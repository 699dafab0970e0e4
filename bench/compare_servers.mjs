// Servers that know llama.cpp's /completion, side by side with one client: requests per second and the time to
// the first token, with and without a shared beginning, a chat of 20 turns, and an edit in the middle of it.
//   node bench/compare_servers.mjs aviary=http://127.0.0.1:8080 llama=http://127.0.0.1:8081
// --clients=1,8: only these numbers of clients and no chat; --chat: only the chat.
// The servers take turns, so that what else the machine does meets both.

const flags = process.argv.slice(2).filter((a) => a.startsWith('--'));
const chosen = flags.find((f) => f.startsWith('--clients='))?.slice(10);
const servers = process.argv.slice(2).filter((a) => !a.startsWith('--')).map((argument) => {
  const at = argument.indexOf('=');
  return { name: argument.slice(0, at), url: argument.slice(at + 1) };
});
if (servers.length < 1 || servers.some(({ name, url }) => !name || !url.startsWith('http'))) {
  console.error('usage: node compare_servers.mjs NAME=URL NAME=URL');
  process.exit(2);
}

const words = ['house', 'river', 'letter', 'morning', 'garden', 'sister', 'window', 'ship', 'winter', 'music'];
let seed = 1;
const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
const text = (count) => Array.from({ length: count }, () => words[random(words.length)] + random(100)).join(' ');

// Milliseconds to the first token, and to the end; the text.
async function complete(url, prompt, tokens) {
  const start = performance.now();
  const answer = await fetch(url + '/completion', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt, n_predict: tokens, stream: true, cache_prompt: true, ignore_eos: true, temperature: 0 }),
  });
  if (!answer.ok) throw new Error(`${url} answers ${answer.status}: ${await answer.text()}`);
  let first = 0, written = '', rest = '';
  const decoder = new TextDecoder();
  for await (const bytes of answer.body) {
    rest += decoder.decode(bytes, { stream: true });
    for (let end; (end = rest.indexOf('\n')) >= 0; rest = rest.slice(end + 1)) {
      const line = rest.slice(0, end);
      if (!line.startsWith('data: {')) continue;
      first ||= performance.now() - start;
      written += JSON.parse(line.slice(6)).content ?? '';
    }
  }
  return { first, whole: performance.now() - start, written };
}

const median = (values) => values.slice().sort((a, b) => a - b)[values.length >> 1];
const row = (...cells) => console.log('| ' + cells.join(' | ') + ' |');

// `clients` at a time, each with `each` prompts one after another.
async function load(url, clients, each, prompt) {
  const firsts = [];
  const start = performance.now();
  await Promise.all(Array.from({ length: clients }, async () => {
    for (let i = 0; i < each; ++i) firsts.push((await complete(url, prompt(), 32)).first);
  }));
  return { rate: (clients * each * 1000) / (performance.now() - start), first: median(firsts) };
}

async function throughput() {
  row('clients', 'prompts', ...servers.flatMap(({ name }) => [`${name}: requests/s`, 'first token, ms']));
  row('---', '---', ...servers.flatMap(() => ['---', '---']));
  for (const clients of (chosen ?? '1,8,32').split(',').map(Number))
    for (const shared of [true, false]) {
      const beginning = text(100);
      const cells = [];
      for (const { url } of servers) {
        const prompt = () => (shared ? beginning + '\n' + text(5) : text(105));
        if (shared) await complete(url, prompt(), 1);
        const { rate, first } = await load(url, clients, clients === 1 ? 4 : 2, prompt);
        cells.push(rate.toFixed(2), first.toFixed(0));
      }
      row(clients, shared ? 'shared beginning' : 'different', ...cells);
    }
}

async function chat() {
  row('', ...servers.map(({ name }) => `${name}: first token, ms`));
  row('---', ...servers.map(() => '---'));
  const turns = [], edits = [];
  const said = Array.from({ length: 20 }, () => text(20)), edited = text(20);
  for (const { url } of servers) {
    const firsts = [], parts = [];
    for (const message of said) {
      parts.push(`User: ${message}\n\nAssistant:`);
      const { first, written } = await complete(url, parts.join(''), 24);
      firsts.push(first);
      parts.push(written + '\n\n');
    }
    turns.push(median(firsts.slice(1)).toFixed(0));
    // The question of turn 15 is written anew.
    const { first } = await complete(url, parts.slice(0, 28).join('') + `User: ${edited}\n\nAssistant:`, 1);
    edits.push(first.toFixed(0));
  }
  row('a turn of a chat of 20 turns', ...turns);
  row('after an edit of turn 15', ...edits);
}

if (!flags.includes('--chat')) await throughput();
console.log();
if (!chosen) await chat();
