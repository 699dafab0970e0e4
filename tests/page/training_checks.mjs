// Runs as they are logged: the usual, the hostile, and the very long.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import {settles} from './browser.mjs';
import {violations} from './frame_checks.mjs';
import {line, makeLongRun} from './runs.mjs';

// The charts are there before the list of runs is.
async function chooseAll(page) {
  await page.waitForSelector('.runs input');
  while (await page.locator('.runs input:not(:checked)').count() > 0) await page.locator('.runs input:not(:checked)').first().check();
}

export async function RunsAreOverlaidAndMovedByKeyboard({open}) {
  const {page} = await open({path: '/#/training'});
  await page.waitForSelector('.u-over');
  await chooseAll(page);
  await page.waitForFunction(() => document.querySelectorAll('.chart')[0].querySelectorAll('.readout span').length >= 3);
  await page.focus('.plot');
  const label = () => page.locator('.u-axis').count();
  await page.keyboard.press('+');
  await page.keyboard.press('ArrowLeft');
  await page.waitForSelector('button:has-text("Show all"):not([disabled])');
  await page.keyboard.press('Shift+ArrowRight');
  await page.waitForSelector('.readout .soft');
  await page.keyboard.press('0');
  await page.waitForSelector('button:has-text("Show all")[disabled]');
  for (const name of ['tokens', 'time', 'step']) {
    await page.locator(`.choice label:has-text("${name}") input`).check();
    await page.waitForTimeout(100);
  }
  await page.check('text=log x');
  await page.waitForTimeout(200);
  assert.ok(await label() > 0);
  assert.deepEqual(await violations(page), []);
}

// The picture is read by keyboard, with 4 and with 48 blocks, and tells the numbers of the log.
export async function NormsOfLayersAreThoseOfTheLog({open, work, folder}) {
  for (const [name, blocks, theme, width] of [['usual', 4, 'light', 1280], ['deep', 48, 'dark', 1280], ['deep', 48, 'light', 400]]) {
    const {page} = await open({path: '/#/training', theme, width});
    await page.waitForSelector('.runs input');
    for (const box of await page.locator('.runs input:checked').all()) await box.uncheck();
    await page.check(`.runs label:has-text("${name}") input`);
    await page.waitForSelector('.layer-norms canvas');
    await page.focus('.layer-norms .heat-box');
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('ArrowUp');
    const last = fs.readFileSync(path.join(work, `runs/${name}/log.jsonl`), 'utf8').trim().split('\n').map((one) => JSON.parse(one)).findLast((one) => one.layer_norms);
    const told = () => page.locator('.layer-ends').innerText();
    const tells = (line) => settles(told, (text) => assert.match(text, new RegExp(line)));
    await tells(`block 0, step ${last.step}: ${Number(last.layer_norms[1].toPrecision(3))}`);
    for (let i = 0; i < blocks + 5; ++i) await page.keyboard.press('ArrowUp');
    await tells(`head, step ${last.step}: ${Number(last.layer_norms[blocks + 1].toPrecision(3))}`);
    const names = await page.locator('.row-names span').evaluateAll((all) => all.map((one) => [one.textContent, one.getBoundingClientRect().top]));
    assert.equal(names[0][0], 'emb');
    assert.equal(names.at(-1)[0], 'head');
    names.slice(1).forEach(([, top], i) => assert.ok(names[i][1] - top >= 11, 'names lie over each other'));
    assert.deepEqual(await violations(page), []);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth) <= 0);
    await page.locator('.layer-norms').scrollIntoViewIfNeeded();
    if (folder) await page.screenshot({path: `${folder}/layers-${name}-${theme}-${width}.png`});
  }
}

export async function ALogWithoutNormsOfLayersSaysSo({open}) {
  const {page} = await open({path: '/#/training'});
  await page.waitForSelector('.runs input');
  for (const box of await page.locator('.runs input:checked').all()) await box.uncheck();
  await page.check('.runs label:has-text("old") input');
  await page.waitForSelector('.u-over');
  await page.waitForTimeout(300);
  assert.equal(await page.locator('.layer-norms').count(), 0);
  await page.check('.runs label:has-text("usual") input');
  await page.selectOption('select[aria-label="Run of the norms by layer"]', {label: 'old'});
  await page.waitForSelector('text=There are none in the log of this run');
  await page.selectOption('select[aria-label="Run of the norms by layer"]', {label: 'usual'});
  await page.waitForSelector('.layer-norms canvas');
  assert.deepEqual(await violations(page), []);
}

export async function BrokenLogsNeitherInjectNorFreeze({open}) {
  const {page} = await open({path: '/#/training'});
  await page.waitForSelector('.runs li');
  await chooseAll(page);
  await page.waitForSelector('text=broken lines left out');
  await page.waitForTimeout(500);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator('main img, main script, main b:has-text("hostile")').count(), 0);
  assert.match(await page.locator('.runs').innerText(), /<b>hostile/);
}

export async function ARunIsFollowedWhileItGrows({open, program, work}) {
  const folder = path.join(work, 'growing');
  fs.mkdirSync(folder);
  fs.writeFileSync(path.join(folder, 'log.jsonl'), line(1) + line(2));
  const address = await program.serve('watch', 'growing');
  const {page} = await open({address});
  await page.waitForSelector('text=step 2');
  assert.equal(await page.locator('.head nav a').count(), 1);
  fs.appendFileSync(path.join(folder, 'log.jsonl'), line(3) + line(4));
  await page.waitForSelector('text=step 4');
}

// Told, not judged: the frames per second while a million steps are moved.
export async function AMillionStepsAreMoved({open, program, work}) {
  makeLongRun(path.join(work, 'million'), 1_000_000);
  const address = await program.serve('watch', 'million');
  const {page} = await open({address});
  await page.waitForSelector('text=step 1,000,000', {timeout: 120000});
  await page.waitForFunction(() => !document.querySelector('.facts').innerText.includes('reading'), null, {timeout: 120000});
  const box = await page.locator('.u-over').first().boundingBox();
  await page.focus('.plot');
  for (let i = 0; i < 6; ++i) await page.keyboard.press('+');
  await page.waitForTimeout(1500);
  await page.evaluate(() => {
    window.frames = [];
    const count = (time) => { window.frames.push(time); requestAnimationFrame(count); };
    requestAnimationFrame(count);
  });
  await page.mouse.move(box.x + box.width / 2, box.y + 100);
  await page.mouse.down();
  for (let i = 0; i < 90; ++i) await page.mouse.move(box.x + box.width / 2 + 300 * Math.sin(i / 12), box.y + 100);
  await page.mouse.up();
  const rate = await page.evaluate(() => 1000 * (window.frames.length - 1) / (window.frames.at(-1) - window.frames[0]));
  return `${rate.toFixed(0)} frames per second`;
}
