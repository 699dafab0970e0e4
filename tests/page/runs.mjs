// Run folders for the training view: a usual one, a hostile one, and one of a million steps.
import fs from 'node:fs';
import path from 'node:path';

export const hostileText = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\u202egnp.exe\u2066 [a](javascript:window.hacked=1)';

function write(folder, lines, config, samples = []) {
  fs.mkdirSync(folder, {recursive: true});
  fs.writeFileSync(path.join(folder, 'log.jsonl'), lines);
  if (config !== undefined) fs.writeFileSync(path.join(folder, 'config.json'), config);
  fs.writeFileSync(path.join(folder, 'samples.jsonl'), samples.map((text, i) => JSON.stringify({step: 10 * (i + 1), text}) + '\n').join(''));
}

// Norms of the layers of a model of so many blocks, after every tenth step; in deep layers they rise and fall.
const norms = (step, blocks) => Array.from({length: blocks + 2}, (_, i) => Number((0.01 * (i + 1) * (1.2 + Math.sin(step / 40 + i / 3)) + 1 / step).toPrecision(4)));
export const line = (step, blocks = 4) => JSON.stringify({step, tokens: 2048 * step, loss: 3 + 4 * Math.exp(-step / 50) + 0.1 * Math.sin(step), learning_rate: 0.001,
  gradient_norm: 1 + 1 / step, ...(blocks && (step === 1 || step % 10 === 0) && {layer_norms: norms(step, blocks)}), seconds: 0.25,
  ...(step % 50 === 0 && {validation_bits_per_byte: 1.5 + 1 / step})}) + '\n';

export function makeRuns(folder) {
  const lines = (n, blocks) => { const all = []; for (let step = 1; step <= n; ++step) all.push(line(step, blocks)); return all.join(''); };
  write(path.join(folder, 'deep'), lines(400, 48), JSON.stringify({schedule: {steps: 400}}));
  write(path.join(folder, 'old'), lines(40, 0), JSON.stringify({schedule: {steps: 40}}));
  write(path.join(folder, 'usual'), lines(300), JSON.stringify({schedule: {steps: 600}, batch: 16}), ['It was', 'It was a delightful']);
  write(path.join(folder, '<b>hostile'), line(1) + 'no json\n{"step":"<img src=x onerror=window.hacked=1>"}\n' + '['.repeat(500000) + '\n' + line(2)
    + '{"step":3,"loss":"<script>","layer_norms":["<img src=x onerror=window.hacked=1>",-1,1e999,{}]}\n{"step":3,"layer_norms":[-1,0,1e300,null]}\n{"step":1e308}\n\u0000\u0001\n' + 'x'.repeat(10_000_000) + '\n' + line(4),
    JSON.stringify({['<img src=x onerror="window.hacked=1">']: hostileText, schedule: {steps: hostileText}}), [hostileText, 'x'.repeat(1_000_000)]);
  write(path.join(folder, 'no-config'), line(1), '{broken');
}

export function makeLongRun(folder, steps) {
  fs.mkdirSync(folder, {recursive: true});
  const file = fs.openSync(path.join(folder, 'log.jsonl'), 'w');
  for (let step = 1; step <= steps;) {
    let text = '';
    for (const end = Math.min(steps, step + 9999); step <= end; ++step) text += line(step);
    fs.writeSync(file, text);
  }
  fs.closeSync(file);
}

// A comparison and a sweep with hostile names, and one of each that is damaged.
export function makeStudies(folder) {
  const quoted = (text) => '"' + text.replace(/"/g, '""') + '"';
  const put = (name, text) => { fs.mkdirSync(path.dirname(path.join(folder, name)), {recursive: true}); fs.writeFileSync(path.join(folder, name), text); };
  const hostile = '<img src=x onerror="window.hacked=1">';
  put('compare-hostile/compare.json', JSON.stringify({asked: {text: hostileText}, steps: 3, members: {[hostile]: {parameters: 1, training_bytes: 2, tokens_per_second: 3}}}));
  put('compare-hostile/members.csv', `member,${quoted(hostile)},validation_bits_per_byte\n${quoted(hostileText.replace(/\//g, ''))},${quoted(hostile)},${quoted(hostile)}\n`);
  put('compare-damaged/compare.json', '{"asked": [');
  put('sweep-hostile/sweep.csv', `settings,seed,validation_bits_per_byte\n${quoted(hostileText)},1,2\n${quoted(hostile)},9,1e999\n`);
  put('sweep-damaged/sweep.csv', '"never closed\n' + 'x'.repeat(100000));
}
