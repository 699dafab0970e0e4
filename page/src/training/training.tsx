// The view of training runs: curves, samples, settings that differ, time left.
import {useEffect, useMemo, useState} from 'preact/hooks';
import {signal} from '@preact/signals';
import {get, messageOf} from '../lib/api';
import {Problem} from '../lib/dialog';
import {count, digits, duration, short, visible} from '../lib/text';
import {Chart, setRange, type Line} from './chart';
import {NewRunButton, NewRunDialog, Output, RunControl, mayControl, takeDrop} from './control';
import {LayerNorms} from './layers';
import {StudyList, StudyPositions, StudyTable, loadStudies, study} from './studies';
import {axis, chosen, colorOf, flat, follow, loadLogs, loadRuns, logs, logX, logY, range, runs, shownRuns, smoothing, stepsOf, timeLeft, type Axis} from './data';

const problem = signal('');
const refreshSeconds = 2;

async function refresh(list: boolean) {
  try {
    if (list) { await loadStudies(); await loadRuns(); }
    await loadLogs();
    problem.value = '';
  } catch (error) { problem.value = messageOf(error); }
}

function toggle(id: number) {
  chosen.value = chosen.value.includes(id) ? chosen.value.filter((one) => one !== id) : [...chosen.value, id];
  refresh(false);
}

function RunList() {
  return (
    <ul class="runs">
      {runs.value.map((run) => {
        const log = logs.value[run.id], steps = stepsOf(run), left = timeLeft(run, log);
        const on = chosen.value.includes(run.id);
        return (
          <li key={run.id}>
            <label><input type="checkbox" checked={on} onChange={() => toggle(run.id)} style={{accentColor: `var(--${colorOf(run.id)})`}} />
              <span class="name" style={on ? {color: `var(--${colorOf(run.id)})`} : undefined}>{visible(run.name)}</span></label>
            {on && log && <div class="soft figures facts">
              {steps ? <progress value={Math.min(log.step, steps)} max={steps} aria-label={'Progress of ' + run.name} /> : null}
              <span>step {count(log.step)}{steps ? ' of ' + count(steps) : ''}</span>
              <span>{short(log.tokens)} tokens · {duration(log.seconds)}</span>
              {log.tokens_per_second ? <span>{short(log.tokens_per_second)} tokens/s{left !== null ? ` · ${duration(left)} left` : ''}</span> : null}
              {log.known < 1 && <span>reading the log: {Math.round(100 * log.known)} %</span>}
              {log.broken_lines > 0 && <span class="warn">{count(log.broken_lines)} broken {log.broken_lines === 1 ? 'line' : 'lines'} left out</span>}
            </div>}
            <RunControl run={run} changed={() => refresh(true)} fail={(sentence) => { problem.value = sentence; }} />
          </li>);
      })}
    </ul>
  );
}

function Controls() {
  const choose = (next: Axis) => { axis.value = next; setRange(null); refresh(false); };
  return (
    <div class="controls">
      <fieldset class="choice"><legend class="unseen">Horizontal axis</legend>
        {(['step', 'tokens', 'time'] as Axis[]).map((one) => (
          <label key={one}><input type="radio" name="axis" checked={axis.value === one} onChange={() => choose(one)} /><span>{one}</span></label>))}
      </fieldset>
      <label><input type="checkbox" checked={logX.value} onChange={() => { logX.value = !logX.value; setRange(null); refresh(false); }} /> log x</label>
      <label><input type="checkbox" checked={logY.value} onChange={() => { logY.value = !logY.value; }} /> log y</label>
      <label class="smooth">smoothing <input type="range" min={0} max={100} value={Math.round(20 * Math.log10(smoothing.value + 1))}
        onInput={(event) => { smoothing.value = Math.round(10 ** (Number(event.currentTarget.value) / 20) - 1); refresh(false); }} />
        <output>{smoothing.value ? count(smoothing.value) + ' steps' : 'none'}</output></label>
      <button class="plain" disabled={range.value === null} onClick={() => setRange(null)}>Show all</button>
    </div>
  );
}

function Curves() {
  const all = logs.value, ids = chosen.value;
  const of = (pick: (id: number) => Omit<Line, 'name' | 'color'>) =>
    shownRuns().map((run) => ({name: run.name, color: colorOf(run.id), ...pick(run.id)}));
  const lines = useMemo(() => ({
    loss: of((id) => {
      const p = all[id]!.points;
      return smoothing.value > 0 ? {x: p.x, y: p.smooth, low: p.least, high: p.most} : {x: p.x, y: p.loss, low: p.least, high: p.most};
    }),
    validation: of((id) => ({x: all[id]!.validations.map((v) => v.x), y: all[id]!.validations.map((v) => v.bits_per_byte), dots: true})),
    rate: of((id) => ({x: all[id]!.points.x, y: all[id]!.points.learning_rate})),
    speed: of((id) => ({x: all[id]!.points.x, y: all[id]!.points.tokens_per_second})),
    norm: of((id) => ({x: all[id]!.points.x, y: all[id]!.points.gradient_norm})),
  }), [all, ids, smoothing.value]);
  return (
    <div class="curves">
      <Chart title="Loss, nats per token" lines={lines.loss} log={logY.value} height={300} format={(v) => digits(v, 4)} />
      <div class="small">
        <Chart title="Validation, bits per byte" lines={lines.validation} log={logY.value} height={150} format={(v) => digits(v, 4)} />
        <Chart title="Learning rate" lines={lines.rate} log={logY.value} height={150} />
        <Chart title="Tokens per second" lines={lines.speed} height={150} format={short} />
        <Chart title="Gradient norm" lines={lines.norm} log={logY.value} height={150} />
      </div>
      <LayerNorms />
    </div>
  );
}

interface Sample { step: number; text: string }

function Samples() {
  const [samples, setSamples] = useState<Record<number, Sample[]>>({});
  const key = chosen.value.map((id) => id + ':' + Math.floor((logs.value[id]?.step ?? 0) / 20)).join();
  useEffect(() => {
    Promise.all(chosen.value.map(async (id) => [id, (await get<{samples: Sample[]}>(`v1/aviary/runs/${id}/samples`)).samples] as const))
        .then((all) => setSamples(Object.fromEntries(all)), () => {});
  }, [key]);
  const some = shownRuns().filter((run) => samples[run.id]?.length);
  if (some.length === 0) return null;
  return (
    <section class="samples" aria-label="Samples"><h2>What it wrote</h2>
      {some.map((run) => (
        <div key={run.id}>{some.length > 1 && <h3 style={{color: `var(--${colorOf(run.id)})`}}>{visible(run.name)}</h3>}
          <ol>{samples[run.id]!.slice(-12).map((one) => (
            <li key={one.step}><span class="soft figures">step {count(one.step)}</span><p dir="auto">{visible(one.text.slice(0, 2000))}</p></li>))}</ol>
        </div>))}
    </section>
  );
}

function Differences() {
  const [all, setAll] = useState(false);
  const shown = shownRuns();
  const tables = shown.map((run) => flat(run.config));
  const names = [...new Set(tables.flatMap((one) => Object.keys(one)))];
  const differing = names.filter((name) => new Set(tables.map((one) => one[name])).size > 1);
  const rows = all || shown.length < 2 ? names : differing;
  if (shown.length === 0) return null;
  return (
    <section class="differences" aria-label="Settings">
      <div class="row"><h2>{shown.length > 1 && !all ? 'Settings that differ' : 'Settings'}</h2>
        {shown.length > 1 && <label><input type="checkbox" checked={all} onChange={() => setAll(!all)} /> all</label>}</div>
      <div class="table" tabIndex={0} role="region" aria-label="Table of settings"><table>
        <thead><tr><th scope="col">setting</th>{shown.map((run) => <th scope="col" key={run.id} style={{color: `var(--${colorOf(run.id)})`}}>{visible(run.name)}</th>)}</tr></thead>
        <tbody>{rows.map((name) => (
          <tr key={name}><th scope="row">{visible(name)}</th>{tables.map((one, i) => <td key={i}>{visible(one[name] ?? '')}</td>)}</tr>))}</tbody>
      </table></div>
    </section>
  );
}

export default function Training() {
  useEffect(() => {
    refresh(true);
    const timer = setInterval(() => { if (!document.hidden && follow.value) refresh(true); }, refreshSeconds * 1000);
    const onHash = () => { setRange(null); refresh(true); };
    addEventListener('hashchange', onHash);
    return () => { clearInterval(timer); removeEventListener('hashchange', onHash); };
  }, []);
  const one = study.value;
  return (
    <main class="training" tabIndex={-1} onDragOver={(event) => event.preventDefault()} onDrop={takeDrop}>
      <aside aria-label="Runs">
        {!one && <><div class="row between"><h2>Runs</h2><NewRunButton /></div><RunList /></>}
        {!one && runs.value.length === 0 && <p class="soft">No run is there. <code>aviary train book.txt</code> makes one in the folder <code>runs</code>.</p>}
        <StudyList /></aside>
      <div class="board">
        <Problem text={problem.value} />
        {one && <StudyTable one={one} toggle={toggle} />}
        <Controls />
        <Curves />
        {one && <StudyPositions one={one} />}
        <div class="below">{!one && <Samples />}{!one && <Differences />}</div>
        {!one && mayControl() && shownRuns().map((run) => <Output key={run.id} run={run} />)}
      </div>
      <NewRunDialog begun={() => refresh(true)} />
    </main>
  );
}
