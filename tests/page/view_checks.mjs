// Writing, the sampler and the inside, by keyboard.
import assert from 'node:assert/strict';
import {violations} from './frame_checks.mjs';

const go = async (page, view) => { await page.goto(page.url().split('#')[0] + '#/' + view); };
const idle = (page) => page.waitForSelector('text=Go on', {state: 'visible'});

export async function ADocumentGrowsAsATreeByKeyboardAlone({open, folder}) {
  const {page} = await open();
  await go(page, 'write');
  await page.focus('.sheet textarea');
  await page.keyboard.type('the sea ');
  await page.keyboard.press('Control+Enter');
  await page.waitForSelector('.page [data-token]');
  await idle(page);
  const first = await page.locator('.page').innerText();
  assert.match(first, /^the sea /);
  await page.focus('.page [data-token]');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.alternatives button');
  await page.waitForFunction(() => [...document.querySelectorAll('.ahead')].some((one) => one.textContent));
  assert.deepEqual(await violations(page), []);
  if (folder) await page.screenshot({path: `${folder}/write-alternatives.png`});
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('.loom li').length >= 3);
  await idle(page);
  assert.notEqual(await page.locator('.page').innerText(), first);
  await page.keyboard.press('Control+Shift+Enter');
  await page.waitForFunction(() => document.querySelectorAll('.loom li').length >= 6);
  await idle(page);
  if (folder) await page.screenshot({path: `${folder}/write-loom.png`});
  assert.deepEqual(await violations(page), []);
  await page.focus('.loom li button');
  await page.keyboard.press('Enter');
  assert.equal((await page.locator('.page').innerText()).trim(), 'the sea');
  await page.reload();
  await page.waitForFunction(() => document.querySelectorAll('.loom li').length >= 6);
}

export async function TheSamplerFollowsItsSlidersAndAGrammar({open}) {
  const {page, seen} = await open();
  await go(page, 'sampler');
  await page.waitForSelector('.sampler tbody tr');
  const kept = async () => Number((await page.locator('.kept b').innerText()).replace(/\D/g, ''));
  await page.click('text=The model alone');
  await page.waitForFunction(() => document.querySelector('.kept b').innerText === '256' || Number(document.querySelector('.kept b').innerText) > 100);
  await page.locator('.slider:has-text("Top-k") input').focus();
  for (let i = 0; i < 3; ++i) await page.keyboard.press('ArrowRight');
  await page.waitForFunction(() => document.querySelector('.kept b').innerText === '3');
  assert.equal(await kept(), 3);
  await page.fill('textarea[aria-label="Grammar"]', '(x|y)z');
  await page.waitForFunction(() => document.querySelector('.kept b').innerText === '2');
  await page.fill('textarea[aria-label="Grammar"]', '(');
  await page.waitForSelector('.problem');
  seen.console.splice(0);  // the browser reports the 400
}

export async function APictureIsReadByKeyboard({open}) {
  const {page} = await open();
  await go(page, 'inside/flow');
  await page.waitForSelector('.one-head canvas');
  await page.focus('.heat-box');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowDown');
  assert.match(await page.locator('.told').first().innerText(), /layer \d+, head \d+, after/);
  await page.focus('.flowing [tabindex="0"]');
  await page.keyboard.press('ArrowLeft');
  await page.waitForSelector('.flowing .on');
}

export async function TwoBeginningsAreComparedOnOneText({open}) {
  const {page} = await open();
  await go(page, 'inside/surprise');
  await page.waitForSelector('.sums b');
  await page.check('text=beside another');
  await page.fill('textarea[aria-label="Text that is read before"]', 'the rain and the sea. ');
  await page.click('text=Compare');
  await page.waitForSelector('text=The second saves');
  assert.equal(await page.locator('.sums').count(), 2);
}

export async function HostileTextsInsideDoNothing({open}) {
  const {page} = await open();
  await go(page, 'inside/surprise');
  await page.fill('textarea[aria-label="Text to look at"]', '<img src=x onerror=window.hacked=1>\u202eabc');
  await page.click('.sample button');
  await page.waitForFunction(() => document.querySelectorAll('.flowing [role=option]').length > 30);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator('main img').count(), 0);
}
