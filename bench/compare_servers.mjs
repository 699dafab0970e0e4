// Servers that know llama.cpp's /completion, side by side with one client: requests per second and the time to
// the first token, with and without a shared beginning; a chat of 20 turns, and what people do in one: answer
// again, change a question, go back to what was before.
//   node bench/compare_servers.mjs aviary=http://127.0.0.1:8080 llama=http://127.0.0.1:8081
// --clients=1,8: only these numbers of clients and no chat; --chat: only the chat; --rounds=3: so many chats.
// The servers take turns, so that what else the machine does meets both.

const flags = process.argv.slice(2).filter((a) => a.startsWith('--'));
const chosen = flags.find((f) => f.startsWith('--clients='))?.slice(10);
const rounds = Number(flags.find((f) => f.startsWith('--rounds='))?.slice(9) ?? 3);
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

// Milliseconds to the first token, and to the end; the text; how many tokens of the prompt were read.
async function complete(url, prompt, tokens) {
  const ask = () => fetch(url + '/completion', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt, n_predict: tokens, stream: true, cache_prompt: true, ignore_eos: true, temperature: 0 }),
  });
  let start, answer;
  do {  // again where a server has closed the idle connection at this moment
    start = performance.now();
    answer = await ask().catch((error) => { if (error.cause?.code !== 'UND_ERR_SOCKET') throw error; });
  } while (!answer);
  if (!answer.ok) throw new Error(`${url} answers ${answer.status}: ${await answer.text()}`);
  let first = 0, written = '', rest = '', read = 0;
  const decoder = new TextDecoder();
  for await (const bytes of answer.body) {
    rest += decoder.decode(bytes, { stream: true });
    for (let end; (end = rest.indexOf('\n')) >= 0; rest = rest.slice(end + 1)) {
      const line = rest.slice(0, end);
      if (!line.startsWith('data: {')) continue;
      first ||= performance.now() - start;
      const event = JSON.parse(line.slice(6));
      written += event.content ?? '';
      read = event.timings?.prompt_n ?? read;
    }
  }
  return { first, whole: performance.now() - start, written, read };
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

const question = (words) => `User: ${words}\n\nAssistant:`;

// A conversation about a long text: questions and replies in turn. `turn` is told the figures of each question.
async function converse(url, { document, said }, turn) {
  const parts = [];
  for (const words of said) {
    parts.push((parts.length ? '' : document + '\n\n') + question(words));
    const answer = await complete(url, parts.join(''), 24);
    turn(answer);
    parts.push(answer.written + '\n\n');
  }
  return parts;
}

// What people do after 20 turns: each is a prompt, made of the parts of the conversation.
const actions = {
  'the last question again': (parts) => parts.slice(0, 39),
  'the second half of the last question changed': (parts, { said, other }) =>
    [...parts.slice(0, 38), question(said[19].split(' ').slice(0, 10).join(' ') + ' ' + other[0])],
  'the question before the last written anew': (parts, { other }) => [...parts.slice(0, 36), question(other[1])],
  'question 10 written anew': (parts, { other }) => [...parts.slice(0, 18), question(other[2])],
  'back to the end of the conversation': (parts) => parts.slice(0, 39),
  'the long text cut in its middle': (parts, { document, other }) =>
    [document.slice(0, document.length >> 1) + '\n\n' + question(other[3])],
  'a word in the middle of the long text changed': (parts, { document }) => {
    const words = document.split(' ');
    words[words.length >> 1] = 'tree';
    return [words.join(' ') + parts[0].slice(document.length), ...parts.slice(1, 39)];
  },
  'back to the end again': (parts) => parts.slice(0, 39),
};

async function chat() {
  const figures = new Map();
  const note = (name, server, { first, read }) => {
    if (!figures.has(name)) figures.set(name, servers.map(() => ({ first: [], read: [] })));
    figures.get(name)[server].first.push(first);
    figures.get(name)[server].read.push(read);
  };
  for (let round = 0; round < rounds; ++round) {
    const texts = {
      document: text(400),
      said: Array.from({ length: 20 }, () => text(20)),
      other: Array.from({ length: 4 }, () => text(10)),
    };
    for (const [server, { url }] of servers.entries()) {
      const parts = await converse(url, texts, (answer) => note('a turn', server, answer));
      for (const [name, prompt] of Object.entries(actions))
        note(name, server, await complete(url, prompt(parts, texts).join(''), 1));
    }
  }
  row('', ...servers.flatMap(({ name }) => [`${name}: tokens read`, 'first token, ms']));
  row('---', ...servers.flatMap(() => ['---', '---']));
  for (const [name, of] of figures)
    row(name, ...of.flatMap(({ first, read }) => [median(read), median(first).toFixed(0)]));
}

if (!flags.includes('--chat')) await throughput();
console.log();
if (!chosen) await chat();
