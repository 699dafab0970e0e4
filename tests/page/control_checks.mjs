// Runs that are stopped, gone on with and begun from the page; comparisons and sweeps.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import {settles} from './browser.mjs';
import {violations} from './frame_checks.mjs';
import {hostileText, makeStudies} from './runs.mjs';

const size = '--layers 2 --width 32 --context 32 --batch 2 --precision f32 --threads 1'.split(' ');
const tiny = [...size, '--tokenizer', 'bytes', '--seed', '1'];

// A folder of runs of its own, with one that has been stopped.
async function serveControl(program, work, name) {
  await program.interrupted(path.join(work, name, 'bird/log.jsonl'), 'train', 'text.txt', '--out', path.join(name, 'bird'), '--steps', '1000000', '--sample-every', '0', ...tiny);
  return program.serve('watch', name, '--control');
}
const rowsFile = (work, name, rows) => {
  const file = path.join(work, name);
  fs.writeFileSync(file, rows.map((row) => (typeof row === 'string' ? row : JSON.stringify(row)) + '\n').join(''));
  return file;
};
const rows = Array.from({length: 30}, (_, i) => ({prompt: `the sea ${i} `, completion: 'sings of rain'}));
async function noneSticksOut(page) {
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth) <= 0);
}

export async function ARunGoesOnAndIsPausedByKeyboard({open, program, work, folder}) {
  const address = await serveControl(program, work, 'controlled');
  const {page} = await open({address});
  await page.focus('button[aria-label="Go on with bird"]');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.run-control:has-text("is being trained")');
  await page.waitForFunction(() => Number((document.querySelector('.facts')?.innerText.match(/step ([\d,]+)/)?.[1] ?? '0').replace(/,/g, '')) > 10);
  assert.deepEqual(await violations(page), []);
  if (folder) await page.screenshot({path: `${folder}/training-controlled.png`});
  await page.focus('button[aria-label="Pause bird"]');
  await page.keyboard.press('Enter');
  await page.waitForSelector('button[aria-label="Go on with bird"]');
  await page.focus('.printed summary');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.printed pre:has-text("everything is saved")');
  const last = fs.readFileSync(path.join(work, 'controlled/bird/log.jsonl'), 'utf8').trim().split('\n').map((one) => JSON.parse(one).step);
  assert.deepEqual(last, Array.from(last, (_, i) => i + 1));  // nothing is missing, nothing is there twice
}

export async function AFinishedRunIsTrainedLongerByKeyboard({open, program, work, folder}) {
  program.run('train', 'text.txt', '--out', 'longer/bird', '--steps', '4', '--sample-every', '0', ...tiny);
  const address = await program.serve('watch', 'longer', '--control');
  for (const [width, steps] of [[1280, 9], [400, 12]]) {
    const {page} = await open({address, width, theme: width === 400 ? 'dark' : 'light'});
    await page.waitForSelector('button[aria-label="Train longer: bird"]');
    assert.equal(await page.locator('button[aria-label="Go on with bird"]').count(), 0);
    await page.focus('button[aria-label="Train longer: bird"]');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.activeElement.type === 'number');
    assert.deepEqual(await violations(page), []);
    await noneSticksOut(page);
    if (folder) await page.screenshot({path: `${folder}/training-longer-${width}.png`});
    await page.keyboard.press('Control+a');
    await page.keyboard.type(String(steps));
    await page.keyboard.press('Enter');
    await page.waitForSelector(`text=step ${steps} of ${steps}`);
    await page.waitForSelector('button[aria-label="Train longer: bird"]');
    assert.equal(await page.locator('.run-control .warn').count(), 0);
  }
  const steps = fs.readFileSync(path.join(work, 'longer/bird/log.jsonl'), 'utf8').trim().split('\n').map((one) => JSON.parse(one).step);
  assert.deepEqual(steps, Array.from({length: 12}, (_, i) => i + 1));
}

// Converting and measuring, by keyboard; the numbers are those of the program.
export async function AModelIsConvertedAndMeasured({open, program, work, folder}) {
  fs.mkdirSync(path.join(work, 'workshop'), {recursive: true});
  fs.copyFileSync(path.join(work, 'run/model.safetensors'), path.join(work, 'workshop/bird.safetensors'));
  const address = await program.serve('serve', 'workshop/bird.safetensors', '--control');
  for (const [width, theme] of [[1280, 'light'], [400, 'dark']]) {
    const {page, seen} = await open({address, width, theme, path: '/#/models'});
    await page.waitForSelector('.work select option >> nth=3', {state: 'attached'});
    await page.selectOption('.work select', 'q8_0');
    await page.focus('.work button:has-text("Convert")');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.work .plan:has-text("tensors")');
    const file = (await page.locator('.work p code').first().innerText()).trim();
    assert.equal(path.basename(file), width === 400 ? 'bird-q8_0-2.gguf' : 'bird-q8_0.gguf');
    assert.equal(JSON.parse(program.run('inspect', file, '--json')).layers, 2);
    assert.deepEqual(await violations(page), []);
    await noneSticksOut(page);
    if (folder) await page.screenshot({path: `${folder}/models-converted-${theme}-${width}.png`});
    await page.focus('.work button:has-text("Measure")');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.work progress');
    await page.waitForSelector('.work button:has-text("Convert")[disabled]');
    if (width === 400) {
      await page.focus('.work button:has-text("Stop")');
      await page.keyboard.press('Enter');
      await page.waitForSelector('.work .warn:has-text("stopped")');
      continue;
    }
    await page.waitForSelector('.speeds tbody tr');
    const task = (await (await fetch(`${address}/v1/aviary/model-work`)).json()).task, decode = task.measured.decode[0];
    const row = await page.locator('.speeds tbody tr:has-text("decode")').first().locator('td').allInnerTexts();
    assert.equal(Number(row[0].replace(/,/g, '')), Math.round(Number(decode.tokens_per_second.toPrecision(3))));
    assert.ok(Math.abs(parseFloat(row[1]) / 100 - decode.share_of_limit) < 0.01);
    assert.deepEqual(await violations(page), []);
    if (folder) await page.screenshot({path: `${folder}/models-measured-${theme}-${width}.png`});
    fs.rmSync(path.join(work, 'workshop/bird.safetensors'));
    await page.focus('.work button:has-text("Convert")');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.work .warn:has-text("was not converted")');
    fs.copyFileSync(path.join(work, 'run/model.safetensors'), path.join(work, 'workshop/bird.safetensors'));
    seen.console.splice(0);
  }
}

export async function AModelIsTunedFromAFile({open, program, work, folder}) {
  const address = await serveControl(program, work, 'tuned');
  for (const width of [1280, 400]) {
    const {page} = await open({address, width, theme: width === 400 ? 'dark' : 'light'});
    await page.focus('.new-run');
    await page.keyboard.press('Enter');
    await page.waitForSelector('dialog[open]');
    await page.setInputFiles('dialog input[type=file]', rowsFile(work, `songs ${width}.jsonl`, rows));
    await page.waitForSelector('.preview li:nth-child(5)');
    assert.match(await page.locator('.preview h3').innerText(), /30 rows/);
    await page.selectOption('.settings-of-run select >> nth=1', 'lora');
    await page.fill('.settings-of-run input >> nth=0', '1');
    await page.focus('dialog button:has-text("Plan")');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.plan:has-text("documents")');
    assert.match(await page.locator('.plan').innerText(), /\[\[/);  // the rows as the model reads them
    assert.deepEqual(await violations(page), []);
    await noneSticksOut(page);
    if (folder) await page.screenshot({path: `${folder}/training-tune-${width}.png`});
    await page.focus('dialog button:has-text("Begin")');
    await page.keyboard.press('Enter');
    await page.waitForSelector('dialog[open]', {state: 'detached'});
    await page.waitForSelector(`.runs li:has-text("songs-${width}") input:checked`);
    for (let i = 0; i < 300 && !fs.existsSync(path.join(work, `tuned/songs-${width}/adapter.safetensors`)); ++i) await page.waitForTimeout(100);
    assert.ok(fs.existsSync(path.join(work, `tuned/songs-${width}/adapter.safetensors`)));
  }
}

export async function AFileIsDroppedAndHostileRowsDoNothing({open, program, work}) {
  const address = await serveControl(program, work, 'dropped');
  const {page, seen} = await open({address});
  await page.waitForSelector('.new-run');
  const text = [JSON.stringify({prompt: hostileText, completion: hostileText}), '{"prompt": <b>', JSON.stringify({['<img src=x onerror=window.hacked=1>']: 1})].join('\n');
  await page.evaluate((content) => {
    const data = new DataTransfer();
    data.items.add(new File([content], '<img src=x onerror=window.hacked=1>.jsonl'));
    document.querySelector('main').dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
  }, text);
  await page.waitForSelector('.preview li:nth-child(3)');
  await page.waitForSelector('.preview .warn:has-text("row 2 is no JSON object")');
  await page.click('dialog button:has-text("Plan")');
  await page.waitForSelector('.plan');
  await page.waitForSelector('button:has-text("Begin")[disabled]');  // the plan is refused
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator('dialog img, dialog script').count(), 0);
  await page.keyboard.press('Escape');
  await page.waitForSelector('dialog[open]', {state: 'detached'});
  await page.waitForTimeout(500);
  assert.deepEqual(fs.readdirSync(path.join(work, 'dropped')), ['bird']);  // nothing is left of the draft
  seen.console.splice(0);
}

export async function WithoutControlThereIsNoButton({open, program, work}) {
  fs.mkdirSync(path.join(work, 'shown'), {recursive: true});
  program.run('train', 'text.txt', '--out', 'shown/bird', '--steps', '2', '--sample-every', '0', ...tiny);
  const address = await program.serve('watch', 'shown');
  const {page} = await open({address});
  await page.waitForSelector('text=step 2');
  assert.equal(await page.locator('.new-run, .run-control button').count(), 0);
  const served = await open({address: await program.serve('serve', 'run'), path: '/#/models'});
  await served.page.waitForSelector('.lane i');
  assert.equal(await served.page.locator('.work').count(), 0);
}

// What a comparison and a sweep have written is shown, with their own numbers.
export async function StudiesAreShownWithTheirNumbers({open, program, work, folder}) {
  program.run('compare', 'text.txt', '--out', 'studied/compare-bird', '--versions', 'rwkv4,rwkv7', '--steps', '12', ...tiny);
  program.run('sweep', 'text.txt', '--out', 'studied/sweep-bird', '--try', '--learning-rate 0.02', '--seeds', '2', '--steps', '10', '--vocabulary', '256', ...size);
  makeStudies(path.join(work, 'studied'));
  const address = await program.serve('watch', 'studied');
  for (const [theme, width] of [['light', 1280], ['dark', 1280], ['light', 400], ['dark', 400]]) {
    const {page} = await open({address, theme, width});
    await page.waitForSelector('.studies a');
    await page.focus('.studies a:has-text("compare-bird")');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.study tbody tr');
    await page.waitForFunction(() => document.querySelectorAll('.chart')[0].querySelectorAll('.readout span').length >= 2);
    const table = fs.readFileSync(path.join(work, 'studied/compare-bird/members.csv'), 'utf8').trim().split('\n').map((one) => one.split(','));
    const column = table[0].indexOf('validation_bits_per_byte');
    for (const [i, line] of table.slice(1).entries()) {
      const row = page.locator('.study tbody tr').nth(i);
      assert.match(await row.locator('th').innerText(), new RegExp(line[0]));
      assert.equal((await row.locator('td').first().innerText()).trim(), Number(line[column]).toFixed(4));
    }
    const positions = page.locator('.chart:has-text("Loss by tokens of context")');
    await positions.locator('.u-over').waitFor();
    const first = fs.readFileSync(path.join(work, 'studied/compare-bird/positions.csv'), 'utf8').trim().split('\n').slice(1).map((one) => one.split(',')).filter((one) => one[1] === '1');
    await positions.locator('.plot').focus();
    for (let i = 0; i < 90; ++i) await page.keyboard.press('ArrowLeft');
    await settles(() => positions.locator('.readout span:not(.soft)').allInnerTexts(), (told) => assert.deepEqual(told, first.map((one) => Number(one[2]).toFixed(4))));
    assert.deepEqual(await violations(page), [], `comparison, ${theme}, ${width} px`);
    await noneSticksOut(page);
    if (folder) await page.screenshot({path: `${folder}/comparison-${theme}-${width}.png`});
    await page.focus('.study tbody input');
    await page.keyboard.press('Space');
    await page.waitForFunction(() => document.querySelectorAll('.study tbody input:checked').length === 1);
    await page.focus('.studies a:has-text("sweep-bird")');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.strip .dot');
    const mean = await page.locator('.study tbody tr').first().locator('td').first().innerText();
    const page2 = fs.readFileSync(path.join(work, 'studied/sweep-bird/sweep.html'), 'utf8');
    const [, expected, half] = page2.match(/<td[^>]*>([\d.]+)<small>± ([\d.]+), 2 seeds/);
    assert.equal(mean.trim(), `${expected} ± ${half}`);
    assert.deepEqual(await violations(page), [], `sweep, ${theme}, ${width} px`);
    await noneSticksOut(page);
    if (folder) await page.screenshot({path: `${folder}/sweep-${theme}-${width}.png`});
    await page.click('text=All runs');
    await page.waitForSelector('.study', {state: 'detached'});
  }
}

export async function HostileStudiesDoNothing({open, program, work}) {
  makeStudies(path.join(work, 'hostile-studies'));
  const address = await program.serve('watch', 'hostile-studies');
  const {page, seen} = await open({address});
  await page.waitForSelector('.studies a');
  for (const link of await page.locator('.studies a[href*=study]').all()) {
    await link.click();
    await page.waitForTimeout(400);
  }
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator('main img, main script').count(), 0);
  seen.console.splice(0);  // the browser reports the 400 of a damaged one
}
