// usage: node page_test.mjs AVIARY WORK [TEXT]: prints a line for each check; see page_test.sh.
import fs from 'node:fs';
import path from 'node:path';
import * as chat from './chat_checks.mjs';
import * as control from './control_checks.mjs';
import * as frame from './frame_checks.mjs';
import * as numbers from './number_checks.mjs';
import * as training from './training_checks.mjs';
import * as views from './view_checks.mjs';
import {open} from './browser.mjs';
import {Program} from './program.mjs';
import {makeRuns} from './runs.mjs';
import {trainModel} from './server.mjs';

const [aviary, work, only = ''] = process.argv.slice(2);
const program = new Program(aviary, work);
trainModel(aviary, work);
makeRuns(path.join(work, 'runs'));
fs.copyFileSync(path.join(work, 'text.txt'), path.join(work, 'short.txt'));
fs.truncateSync(path.join(work, 'short.txt'), 400);

const address = await program.serve('serve', 'run', '--alias', 'bird', '--chat-template', 'world', '--max-tokens', '64');
const front = await (await fetch(address, {headers: {accept: 'text/html'}})).text();
if (front.includes('its page is missing')) {
  console.log('skipped: the program was built without the page');
  program.end();
  process.exit(77);
}

const failures = [];
for (const [name, check] of Object.entries({...frame, ...chat, ...views, ...training, ...control, ...numbers})) {
  if (!/^[A-Z]/.test(name)) continue;
  const sentence = name.replace(/([A-Z])/g, (letter) => ' ' + letter.toLowerCase());
  if (!sentence.includes(only)) continue;
  const opened = [];
  const started = Date.now();
  try {
    const told = await check({address, program, work, folder: process.env.AVIARY_PAGE_SHOTS,
      open: async (options) => { const one = await open(options?.address ?? address, options); opened.push(one); return one; }});
    for (const {seen} of opened) {
      if (seen.console.length) throw new Error('the console says: ' + seen.console.join('; '));
      if (seen.foreign.length) throw new Error('it asks others: ' + seen.foreign.join(', '));
    }
    console.log(`ok      ${((Date.now() - started) / 1000).toFixed(1).padStart(5)} s  ${sentence}${told ? ': ' + told : ''}`);
  } catch (error) {
    failures.push(`FAILED  ${((Date.now() - started) / 1000).toFixed(1).padStart(5)} s  ${sentence}\n        ${String(error.stack ?? error).split('\n').slice(0, 6).join('\n        ')}`);
    console.log(failures.at(-1));
  }
  for (const {browser} of opened) await browser.close();
}
program.end();
console.log(failures.length ? `${failures.length} failed:\n${failures.join('\n')}` : 'all checks passed');
process.exit(failures.length ? 1 : 0);
