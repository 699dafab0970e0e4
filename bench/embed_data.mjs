// Called by embed_data.sh, in its folder.
import fs from 'node:fs';

// A shuffle that is the same every time (a linear congruential generator).
let seed = 1;
const random = n => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
function shuffled(items) {
  for (let i = items.length - 1; i > 0; --i) {
    const j = random(i + 1);
    [items[i], items[j]] = [items[j], items[i]];
  }
  return items;
}
function write(name, rows) {
  fs.writeFileSync(name + '.jsonl', shuffled(rows).map(row => JSON.stringify(row) + '\n').join(''));
  console.log(`${name}.jsonl: ${rows.length} rows, ${new Set(rows.map(row => row.label)).size} labels`);
}
// `count` rows of each label, in random order.
function sample(rows, count) {
  const taken = {};
  return shuffled(rows).filter(row => (taken[row.label] = (taken[row.label] ?? 0) + 1) <= count);
}
const paragraphs = text => text.split(/\n\s*\n/).map(p => p.replace(/\s+/g, ' ').trim());
// For a text in one paragraph: an empty line after each third sentence.
const divided = text => text.replace(/((?:[^.]+\. ){3})/g, '$1\n\n');
const isLong = text => text.length >= 150 && text.length <= 500;

for (const name of ['amazon', 'imdb', 'yelp']) {
  const rows = JSON.parse(fs.readFileSync(`npm/sentiment/package/test/fixtures/${name}.json`));
  write(name, rows.filter(row => row.text?.trim())
                  .map((row, i) => ({text: row.text.trim(), label: String(row.class), group: String(i)})));
}

// The short description of a package -> its section. Packages of one source are one group.
const sections = ['games', 'science', 'sound', 'fonts', 'mail', 'graphics', 'web', 'editors', 'math', 'database', 'java', 'haskell'];
const seen = new Set();
const descriptions = [];
for (const entry of fs.readFileSync('packages.txt', 'utf8').split('\n\n')) {
  const field = name => entry.match(new RegExp(`^${name}: (.*)$`, 'm'))?.[1];
  const text = field('Description'), label = field('Section');
  if (!text || !sections.includes(label) || seen.has(text)) continue;
  seen.add(text);
  descriptions.push({text, label, group: (field('Source') ?? field('Package')).split(' ')[0]});
}
write('sections', sample(descriptions, 120));

// Paragraphs; a group is a chapter, a speech, or fifty paragraphs in a row.
const books = {};
const train = fs.readFileSync('austen/train.txt', 'utf8'), last = fs.readFileSync('austen/persuasion.txt', 'utf8');
const titles = ['SENSE AND SENSIBILITY', 'PRIDE AND PREJUDICE', 'MANSFIELD PARK', 'EMMA', 'NORTHANGER ABBEY'];
const places = titles.map(title => [train.indexOf(title + '\n'), title]).sort((a, b) => a[0] - b[0]);
places.forEach(([at, title], i) => { books[title] = train.slice(at, places[i + 1]?.[0]); });
books.PERSUASION = last;
const rowsOf = (text, label, group) =>
    paragraphs(text).map((p, i) => ({text: p, label, group: group ?? `${label} ${Math.floor(i / 50)}`})).filter(row => isLong(row.text));

// Names give a book away: a word with a capital that does not begin a sentence becomes "Name".
const masked = text => text.replace(/[‘’]/g, "'").replace(/[“”]/g, '"').replace(/—/g, '--').replace(/(?<=[a-z,;:] )(?!I\b)[A-Z][a-z]+/g, 'Name').replace(/\b(Mr|Mrs|Miss|Sir|Lady|Captain|Colonel)\b\.? [A-Z][a-z]+/g, '$1 Name');
write('books', sample(Object.entries(books).flatMap(([title, text]) => rowsOf(text, title)), 100)
                   .map(row => ({...row, text: masked(row.text)})));

const files = folder => fs.readdirSync(folder).filter(file => file.endsWith('.txt'));
const moby = 'npm/datasets-moby-dick/package/data', sotu = 'npm/datasets-sotu/package/data';
const kjv = fs.readFileSync('kjv.txt', 'utf8').split('\n').map(line => line.replace(/^.*?(?=[A-Z][a-z]+\d+:\d+ )/, ''))
                .filter(line => /^\w+\d+:\d+ /.test(line)).map(line => line.replace(/^\w+\d+:\d+ /, ''));
const verses = [];
for (let i = 0; i + 2 < kjv.length; i += 3) verses.push(kjv.slice(i, i + 3).join(' '));
write('authors', sample([
  ...Object.entries(books).flatMap(([title, text]) => rowsOf(text, 'Austen').map(row => ({...row, group: title + row.group}))),
  ...files(moby).filter(file => file.startsWith('chapter')).flatMap(file => rowsOf(fs.readFileSync(`${moby}/${file}`, 'utf8'), 'Melville', file)),
  ...files(sotu).filter(file => file < '1861').flatMap(file => rowsOf(divided(fs.readFileSync(`${sotu}/${file}`, 'utf8')), 'presidents', file)),
  ...rowsOf(verses.join('\n\n'), 'Bible')
], 150).map(row => ({...row, text: masked(row.text)})));

// The short description of a package -> the first paragraph of its long one. None of the sections above, and of packages with
// the same paragraph one. What is left over is a text to train a model on.
const known = new Set(), pairs = [];
for (const entry of fs.readFileSync('descriptions.txt', 'utf8').split('\n\n')) {
  const lines = entry.slice(entry.indexOf('Description-en: ') + 16).split('\n'), short = lines.shift();
  const text = lines.join('\n').split('\n .\n')[0].replace(/\s+/g, ' ').trim();
  if (text.length < 150 || text.length > 600 || seen.has(short) || known.has(text)) continue;
  known.add(text);
  pairs.push({query: short, text});
}
shuffled(pairs);
fs.writeFileSync('pairs.jsonl', pairs.slice(0, 2000).map(pair => JSON.stringify(pair) + '\n').join(''));
fs.writeFileSync('descriptions-train.txt', pairs.slice(2000).map(pair => `${pair.query}. ${pair.text}\n\n`).join(''));
console.log(`pairs.jsonl: 2000 of ${pairs.length}; the others: descriptions-train.txt`);
