// Conversations, by keyboard alone; what a model writes does no harm.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import {violations} from './frame_checks.mjs';
import {hostileText} from './runs.mjs';

const shown = (page) => page.locator('.message').count();
const idle = (page) => page.waitForFunction(() => document.querySelector('.transcript').getAttribute('aria-busy') === 'false');

// Presses Tab until the element with this name has the focus.
async function tabTo(page, name, limit = 80) {
  for (let i = 0; i < limit; ++i) {
    const now = await page.evaluate(() => (document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent ?? '').trim());
    if (now === name || now.startsWith(name)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`Tab does not reach ${name}`);
}

async function say(page, text) {
  await page.focus('#composer');
  await page.keyboard.type(text);
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('.message.assistant').length > 0);
  await idle(page);
}

export async function AConversationBranchesByKeyboardAlone({open, folder}) {
  const {page} = await open();
  await page.waitForSelector('#composer');
  await tabTo(page, 'Message');
  await page.keyboard.type('Good morning');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('.message').length === 2);
  await idle(page);
  assert.notEqual((await page.locator('.message.assistant .prose').innerText()).trim(), '');
  await page.focus('.message.assistant footer button');
  await tabTo(page, 'Again');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.message.assistant .branches');
  await idle(page);
  assert.match(await page.locator('.message.assistant .branches').innerText(), /2 of 2/);
  const second = await page.locator('.message.assistant .prose').innerText();
  await page.focus('.message.assistant .branches button');
  await page.keyboard.press('Enter');
  assert.match(await page.locator('.message.assistant .branches').innerText(), /1 of 2/);
  assert.notEqual(await page.locator('.message.assistant .prose').innerText(), second);
  await tabTo(page, 'Side by side');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.beside section');
  assert.equal(await page.locator('.beside section').count(), 2);
  assert.deepEqual(await violations(page), []);
  if (folder) await page.screenshot({path: `${folder}/chat-beside.png`});
  await page.keyboard.press('Escape');
  await page.focus('.message.user footer button');
  await page.keyboard.press('Enter');  // Edit
  await page.waitForSelector('.editor textarea');
  await page.keyboard.press('Control+a');
  await page.keyboard.type('Good evening');
  await page.keyboard.press('Control+Enter');
  await page.waitForFunction(() => document.querySelector('.message.user .branches')?.innerText.includes('2 of 2'));
  await idle(page);
  assert.equal(await shown(page), 2);
  await page.reload();  // it is kept
  await page.waitForSelector('.list li');
  await tabTo(page, 'Good morning');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.message');
  assert.equal(await shown(page), 2);
}

export async function EscapeStopsAReply({open}) {
  const {page} = await open();
  await page.waitForSelector('#composer');
  await page.click('text=Settings and states');
  await page.fill('input[type=number]', '100000');
  await page.keyboard.press('Tab');
  await page.focus('#composer');
  await page.keyboard.type('Tell me everything');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => (document.querySelector('.message.assistant .prose')?.textContent.length ?? 0) > 20);
  assert.equal(await page.locator('.transcript').getAttribute('aria-busy'), 'true');
  await page.keyboard.press('Escape');
  await idle(page);
  assert.match(await page.locator('.message.assistant footer').innerText(), /stopped/);
}

export async function TheTemplateIsShownAsTheModelSeesIt({open, folder}) {
  const {page} = await open();
  await page.waitForSelector('#composer');
  await page.click('text=Settings and states');
  await page.fill('.panel textarea', 'Be brief.');
  await say(page, 'What is a finch?');
  await page.click('text=As the model sees it');
  await page.waitForSelector('.tokens span');
  const text = (await page.locator('.tokens').innerText()).replace(/[␣⏎]/g, ' ');
  assert.match(text, /Be brief\./);
  assert.match(text, /User:.*What is a finch\?/s);
  if (folder) await page.screenshot({path: `${folder}/chat-rendered.png`});
  assert.deepEqual(await violations(page), []);
}

export async function StatesAreKeptMixedAndBegunFrom({open}) {
  const {page} = await open();
  await page.waitForSelector('#composer');
  await page.click('text=Settings and states');
  for (const name of ['rain', 'sun']) {
    await page.click('text=Keep a state');
    await page.fill('dialog[open] textarea', `the ${name} and the sea by night. `.repeat(5));
    await page.fill('dialog[open] input:not([type])', name);
    await page.click('dialog[open] button.main');
    await page.waitForSelector(`.states li:has-text("${name}")`);
  }
  await page.click('.states button:has-text("Mix")');
  await page.waitForSelector('dialog[open] input[type=range]');
  for (const slider of await page.locator('dialog[open] input[type=range]').all()) await slider.fill('0.5');
  await page.fill('dialog[open] input:not([type])', 'both');
  await page.click('dialog[open] button.main');
  await page.waitForSelector('.states li:has-text("both")');
  await page.click('.states li:has-text("both") input');
  await say(page, 'Go on');
  assert.equal(await page.locator('.problem').count(), 0);
  await page.click('button[aria-label="Delete rain"]');
  await page.waitForFunction(() => document.querySelectorAll('.states li').length === 3);
}

function conversation(nodes) {
  return {format: 'aviary conversation 1', title: hostileText, system: '', template: '', nodes: Object.fromEntries(nodes.map((node) => [node.id, node])), chosen: {}};
}

async function take(page, work, value) {
  const file = path.join(work, 'import.json');
  fs.writeFileSync(file, typeof value === 'string' ? value : JSON.stringify(value));
  await page.setInputFiles('.list input[type=file]', file);
}

export async function HostileRepliesDoNothing({open, work}) {
  const {page} = await open();
  await page.waitForSelector('#composer');
  const attacks = [hostileText, '# <svg onload=window.hacked=1>\n\n![x](http://example.com/a.png)\n\n<iframe src="http://example.com"></iframe>',
    '[link](data:text/html,<script>window.hacked=1</script>) [b](vbscript:x) <a href="javascript:window.hacked=1">c</a>\n\n<style>body{display:none}</style>',
    '```html\n</code></pre><img src=x onerror=window.hacked=1>\n```', '<form action=http://example.com><input name=a></form><math><mtext><img src=x onerror=window.hacked=1>',
    'a\u202eb\u2066c \u0007\u001b[2J', '| a |\n|---|\n| <img src=x onerror=window.hacked=1> |', '[x]: http://example.com "<img src=x onerror=window.hacked=1>"\n[x]'];
  await take(page, work, conversation(attacks.flatMap((text, i) => [
    {id: `u${i}`, parent: i ? `a${i - 1}` : '', role: 'user', content: text, created: 2 * i}, {id: `a${i}`, parent: `u${i}`, role: 'assistant', content: text, reasoning: text, created: 2 * i + 1}])));
  await page.waitForFunction((n) => document.querySelectorAll('.message').length === n, 2 * attacks.length);
  for (const one of await page.locator('.thought summary').all()) await one.click();
  await page.waitForTimeout(300);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator('main img, main iframe, main form[action], main style, main script, main svg[onload]').count(), 0);
  for (const link of await page.locator('.prose a').all()) {
    assert.match(await link.getAttribute('href') ?? 'http:', /^(https?|mailto):/);
    assert.match(await link.getAttribute('rel') ?? '', /noopener/);
  }
  assert.doesNotMatch(await page.locator('main').innerText(), /[\u202e\u2066]/);
}

export async function VeryLongLinesDoNotFreezeThePage({open, work}) {
  const {page} = await open();
  await page.waitForSelector('#composer');
  const long = 'x'.repeat(10_000_000), deep = '>'.repeat(20_000) + '*a '.repeat(20_000) + '['.repeat(20_000);
  await take(page, work, conversation([{id: 'u', parent: '', role: 'user', content: 'Hi', created: 1}, {id: 'a', parent: 'u', role: 'assistant', content: long, created: 2},
    {id: 'v', parent: 'a', role: 'user', content: 'Hi', created: 3}, {id: 'b', parent: 'v', role: 'assistant', content: deep, created: 4}]));
  await page.waitForFunction(() => document.querySelectorAll('.message').length === 4, null);
  await page.focus('#composer');
  await page.keyboard.type('still here');
  assert.equal(await page.inputValue('#composer'), 'still here');
}

export async function ABrokenImportIsRefusedWithASentence({open, work}) {
  const {page} = await open();
  await page.waitForSelector('#composer');
  for (const text of ['{', '[]', '{"nodes":{"a":{"id":"a","parent":"a","role":"user","content":"x"}}}', '{"nodes":{"a":{"id":"a","parent":"z","role":"user"}}}']) {
    await take(page, work, text);
    await page.waitForSelector('.problem');
    await page.click('.problem button');
    await page.waitForSelector('.problem', {state: 'detached'});
  }
}

export async function AnExportCanBeImported({open, work}) {
  const {page} = await open();
  await page.waitForSelector('#composer');
  await say(page, 'A sea bird');
  const [file] = await Promise.all([page.waitForEvent('download'), page.click('text=Export')]);
  await file.saveAs(path.join(work, 'export.json'));
  const text = await page.locator('.message.assistant .prose').innerText();
  await page.click('button[aria-label="Delete A sea bird"]');
  await page.waitForSelector('.message', {state: 'detached'});
  await take(page, work, fs.readFileSync(path.join(work, 'export.json'), 'utf8'));
  await page.waitForSelector('.message.assistant .prose');
  assert.equal(await page.locator('.message.assistant .prose').innerText(), text);
}

// From now on the page is answered with this text, a few characters with each frame.
async function answerWith(page, text) {
  await page.evaluate((pieces) => {
    const ask = window.fetch;
    window.fetch = (path, how) => (path === 'v1/chat/completions' ? Promise.resolve(new Response(new ReadableStream({async start(to) {
      for (const content of pieces) {
        to.enqueue(new TextEncoder().encode(`data: ${JSON.stringify({choices: [{delta: {content}}]})}\n\n`));
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      }
      to.close();
    }}))) : ask(path, how));
  }, text.match(/[\s\S]{1,3}/g));
}

// The work of the page's own thread for a reply, in ms of its processor: it does not depend on what else the machine does.
async function workOfReplies(page) {
  const client = await page.context().newCDPSession(page);
  await client.send('Performance.enable', {timeDomain: 'threadTicks'});
  const script = async () => 1000 * (await client.send('Performance.getMetrics')).metrics.find((one) => one.name === 'ScriptDuration').value;
  const all = [];
  for (let i = 0; i < 3; ++i) {
    await page.focus('#composer');
    await page.keyboard.type('Go');
    const before = await script();
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelector('.transcript').getAttribute('aria-busy') === 'true');
    await idle(page);
    all.push(await script() - before);
  }
  return all.sort((a, b) => a - b)[1];
}

// Judged is the work, beside that of a conversation that has just begun. Told is how long the page was busy in one piece.
export async function AReplyAfterFiveHundredMessagesIsNoMoreWork({open, work}) {
  const {page} = await open();
  await page.waitForSelector('#composer');
  await answerWith(page, 'a bird sees the sea '.repeat(12));
  const few = await workOfReplies(page);
  const nodes = Array.from({length: 500}, (_, i) => ({id: `n${i}`, parent: i ? `n${i - 1}` : '', role: i % 2 ? 'assistant' : 'user', content: `Message **${i}**.\n\nwith two paragraphs`, created: i + 1}));
  await take(page, work, conversation(nodes));
  await page.waitForFunction(() => document.querySelectorAll('.message').length === 200);
  await page.evaluate(() => {
    window.longest = 0;
    new PerformanceObserver((list) => { for (const one of list.getEntries()) window.longest = Math.max(window.longest, one.duration); }).observe({type: 'longtask'});
  });
  const many = await workOfReplies(page);
  assert.ok(many <= 2 * few + 20, `a reply takes ${many.toFixed()} ms of script after 500 messages, ${few.toFixed()} ms without`);
  return `${many.toFixed()} ms of script, ${few.toFixed()} ms without them; longest task ${Math.round(await page.evaluate(() => window.longest))} ms`;
}

// What grows by pieces is at each time what the whole text is.
export async function AGrowingReplyIsTheMarkdownOfItsText({open, work}) {
  const text = 'A *list*:\n\n- one\n- two\n\n  and more\n\n1. first\n\n```js\nlet a = 1;\n\nlet b;\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nTitle\n=====\n\n> quote\nlazy\n\nend\r\n\r\nof <b>it</b>';
  const {page} = await open();
  await page.waitForSelector('#composer');
  await answerWith(page, text);
  await say(page, 'Go');
  const grown = await page.locator('.message.assistant .prose').innerHTML();
  await take(page, work, conversation([{id: 'u', parent: '', role: 'user', content: 'Go', created: 1}, {id: 'a', parent: 'u', role: 'assistant', content: text, created: 2}]));
  await page.waitForFunction(() => document.querySelectorAll('.list li').length === 2);
  assert.equal(await page.locator('.message.assistant .prose').innerHTML(), grown);
}
