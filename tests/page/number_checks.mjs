// What the page shows is what the command line says.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';

const post = async (address, name, body) => {
  const reply = await fetch(`${address}/v1/aviary/${name}`, {method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify(body)});
  assert.equal(reply.status, 200, await reply.clone().text());
  return reply.json();
};
const near = (a, b, share, what) => assert.ok(Math.abs(a - b) <= share * Math.max(Math.abs(b), 1e-9), `${what}: ${a}, expected ${b}`);
const shown = (text) => Number(text.replace(/[^\d.e-]/g, ''));

export async function SurpriseIsWhatEvaluateSays({open, program, work}) {
  const said = program.run('evaluate', 'run', 'short.txt');
  const expected = Number(said.match(/([\d.]+) bits per byte/)[1]);
  const {page} = await open({path: '/#/inside/surprise'});
  await page.fill('textarea[aria-label="Text to look at"]', fs.readFileSync(path.join(work, 'short.txt'), 'utf8'));
  await page.click('.sample button');
  await page.waitForFunction(() => document.querySelector('.sums')?.innerText.includes('399 tokens'));
  near(shown(await page.locator('.sums b').innerText()), expected, 1e-3, 'bits per byte');
}

export async function SamplerBarsAreTheDistributionOfLogits({open, program}) {
  const text = 'the sea ';
  const top = program.run('logits', 'run', '--prompt', text, '--top', '5').trim().split('\n').slice(1).map((one) => Number(one.trim().split(/\s+/)[2]));
  const {page} = await open({path: '/#/sampler'});
  await page.fill('.sampler aside textarea', text);
  await page.click('text=The model alone');
  await page.waitForFunction((n) => document.querySelector('.kept')?.innerText.startsWith(`After ${n} tokens`), text.length);
  await page.waitForTimeout(300);
  const rows = await page.locator('.sampler tbody tr').all();
  for (let i = 0; i < top.length; ++i) {
    const cells = await rows[i].locator('td').allInnerTexts();
    near(shown(cells[2]) / 100, top[i], 0.01, `token ${i}`);
    near(shown(cells[4]) / 100, top[i], 0.01, `token ${i}, drawn`);
  }
}

export async function DecaysAreThoseOfTheTensors({address, program}) {
  const file = JSON.parse(program.run('inspect', 'run', '--json'));
  const atlas = await post(address, 'decay', {});
  for (const layer of atlas.layers) {
    const tensor = file.tensors.find((one) => one.name === layer.tensor);
    const half = (x) => Math.LN2 / (Math.exp(-0.5) / (1 + Math.exp(-x)));
    assert.equal(layer.half_lives.length, tensor.shape.reduce((a, b) => a * b));
    near(Math.min(...layer.half_lives), half(tensor.max), 1e-3, layer.tensor);
    near(Math.max(...layer.half_lives), half(tensor.min), 1e-3, layer.tensor);
  }
  assert.equal(atlas.layers.length, file.layers);
}

export async function TensorsAreThoseOfInspect({address, program}) {
  const file = JSON.parse(program.run('inspect', 'run', '--json'));
  const told = await post(address, 'tensors', {});
  assert.deepEqual(told.tensors.map((one) => [one.name, one.shape]), file.tensors.map((one) => [one.name, one.shape]));
  told.tensors.forEach((one, i) => near(one.deviation, file.tensors[i].deviation, 1e-3, one.name));
}

export async function CurvesAreThoseOfTheLog({address, work}) {
  const runs = await (await fetch(`${address}/v1/aviary/runs`)).json();
  const run = runs.runs.find((one) => one.name === 'usual');
  const log = await (await fetch(`${address}/v1/aviary/runs/${run.id}/log?points=4000`)).json();
  const lines = fs.readFileSync(path.join(work, 'runs/usual/log.jsonl'), 'utf8').trim().split('\n').map((one) => JSON.parse(one));
  assert.deepEqual(log.points.step, lines.map((one) => one.step));
  lines.forEach((one, i) => { near(log.points.loss[i], one.loss, 1e-6, `loss ${i}`); near(log.points.learning_rate[i], one.learning_rate, 1e-6, `rate ${i}`); });
  assert.deepEqual(log.validations.map((one) => one.bits_per_byte), lines.filter((one) => one.validation_bits_per_byte).map((one) => one.validation_bits_per_byte));
}
