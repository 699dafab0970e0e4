// Every view in both themes, wide and narrow: no error, no request elsewhere, no violation of WCAG 2.2 AA, nothing sticks out.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import {createRequire} from 'node:module';

const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
export const views = ['chat', 'write', 'sampler', 'inside/surprise', 'inside/atlas', 'inside/flow', 'inside/trace', 'inside/horizon', 'training', 'models'];

// What a view shows when it is ready.
export const ready = {
  chat: '#composer', write: '.sheet textarea, .page', sampler: '.sampler tbody tr', 'inside/surprise': '.sums b', 'inside/atlas': '.ridge',
  'inside/flow': '.one-head canvas', 'inside/trace': '.effect', 'inside/horizon': '.horizon tbody tr', training: '.u-over', models: '.lane i',
};

export async function violations(page) {
  await page.evaluate(axe);
  const result = await page.evaluate(() => axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']}));
  return result.violations.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160) + ' | ' + node.failureSummary.split('\n').slice(1, 2)).join(' ; ')}`);
}

async function lookAt({open, folder}, theme, width) {
  const {page} = await open({theme, width, height: width === 400 ? 800 : 860});
  for (const view of views) {
    await page.goto(page.url().split('#')[0] + '#/' + view);
    await page.waitForSelector(ready[view], {timeout: 120_000});
    await page.waitForTimeout(150);
    if (folder) {
      fs.mkdirSync(folder, {recursive: true});
      await page.screenshot({path: `${folder}/${view.replace('/', '-')}-${theme}-${width}.png`});
    }
    assert.deepEqual(await violations(page), [], `${view}, ${theme}, ${width} px`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${view} at ${width} px sticks out by ${wide} px`);
    assert.equal(await page.locator('h1').count(), 1);
    assert.equal(await page.locator('main').count(), 1);
  }
}
export const EveryViewIsReadableInLightAndWide = (about) => lookAt(about, 'light', 1280);
export const EveryViewIsReadableInDarkAndWide = (about) => lookAt(about, 'dark', 1280);
export const EveryViewIsReadableInLightAndNarrow = (about) => lookAt(about, 'light', 400);
export const EveryViewIsReadableInDarkAndNarrow = (about) => lookAt(about, 'dark', 400);

export async function ThePageIsSmallAndStrict({address}) {
  const front = await fetch(address, {headers: {accept: 'text/html', 'accept-encoding': 'gzip'}});
  assert.match(front.headers.get('content-security-policy'), /default-src 'none'; script-src 'self'; style-src 'self'/);
  const size = async (name) => Number((await fetch(`${address}/${name}`, {headers: {'accept-encoding': 'gzip'}})).headers.get('content-length'));
  const text = await front.text();
  const script = text.match(/src="(page\/app-[^"]+)"/)[1], style = text.match(/href="(page\/style-[^"]+)"/)[1];
  assert.doesNotMatch(text, /<script(?! type="module" src)|<style|https?:(?!\/\/www\.w3\.org)/);
  const code = await (await fetch(`${address}/${script}`)).text();
  const parts = [...new Set([...code.matchAll(/from ?"\.\/([\w-]+\.js)"/g)].map((found) => found[1]))];
  let first = Number(front.headers.get('content-length')) + await size(script) + await size(style);
  for (const part of parts) first += await size('page/' + part);
  assert.ok(first <= 80_000, `the first view is ${first} bytes`);
  return `first view ${first} bytes compressed`;
}

// Told, not judged: the median of a few loads, each in a browser that has nothing of the page yet.
export async function TheFirstPaintIsSoon({open}) {
  const times = [];
  for (let i = 0; i < 5; ++i) {
    const {page} = await open();
    await page.waitForFunction(() => performance.getEntriesByName('first-contentful-paint').length);
    times.push(await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0].startTime));
  }
  return `after ${Math.round(times.sort((a, b) => a - b)[2])} ms`;
}

export async function AKeyIsAskedForWhereOneIsNeeded({open, program}) {
  const address = await program.serve('serve', 'run', '--api-key', 'secret');
  const {page, seen} = await open({address});
  await page.waitForSelector('dialog input[type=password]');
  await page.keyboard.type('secret');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#composer');
  seen.console.splice(0);  // the browser reports the 401
}

export async function TheThemeIsChosenAndKept({open}) {
  const {page} = await open({theme: 'light'});
  await page.waitForSelector('#composer');
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.click('button[aria-label^="Colors: system"]');
  await page.click('button[aria-label^="Colors: light"]');
  const dark = await ground();
  assert.notEqual(light, dark);
  await page.reload();
  await page.waitForSelector('#composer');
  assert.equal(await ground(), dark);
}
