// Comparisons and sweeps: their tables, and the curves of their runs.
import {signal} from '@preact/signals';
import {get} from '../lib/api';
import {bytes, count, digits, duration, short, significant, visible} from '../lib/text';
import {chosen, colorOf, studyRuns, type Run} from './data';
import {PositionLoss} from './positions';

interface Listed { id: number; name: string; kind: 'comparison' | 'sweep' }
type Member = Record<string, number | string | boolean | null> & {member: string, run: number | null, running: boolean};
interface Comparison { kind: 'comparison'; name: string; running: boolean; text: string; steps: number; members: Member[] }
interface Figure { mean: number | null; half: number | null; count: number; more: number | null; more_half: number | null }
interface Variant { settings: string; validation: Figure; average: Figure; test: Figure; training_loss: Figure; seconds_per_step: Figure;
  steps?: number; tokens?: number; parameters?: number }
interface Sweep { kind: 'sweep'; name: string; running: boolean; seeds: number[]; variants: Variant[]; runs: {run: number, settings: string, seed: string}[] }
type Study = Comparison | Sweep;

const studies = signal<Listed[]>([]);
export const study = signal<Study | null>(null);
let current: number | null = null;
let before: number[] = [];

export function studyInAddress(): number | null {
  const parts = location.hash.split('/');
  return parts[2] === 'study' && /^\d+$/.test(parts[3] ?? '') ? Number(parts[3]) : null;
}

const asRun = (id: number, name: string, running: boolean): Run => ({id, name, running, config: null, stopping: false, problem: '', checkpoint: true});

function runsOf(one: Study): Run[] {
  return one.kind === 'comparison'
    ? one.members.flatMap((member) => (member.run === null ? [] : [asRun(member.run, member.member, member.running)]))
    : one.runs.map((run) => asRun(run.run, `${run.settings}, seed ${run.seed}`, false));
}

// At first all members, or the runs of the first seed.
function firstChoice(one: Study): number[] {
  const most = 12;
  if (one.kind === 'comparison') return runsOf(one).map((run) => run.id).slice(0, most);
  const seed = one.runs.map((run) => run.seed).sort()[0];
  return one.runs.filter((run) => run.seed === seed).map((run) => run.run).slice(0, most);
}

// The list, and the study that the address names.
export async function loadStudies() {
  studies.value = (await get<{studies: Listed[]}>('v1/aviary/studies')).studies;
  const id = studyInAddress();
  if (id === null) {
    if (current !== null) chosen.value = before;
    current = null;
    studyRuns.value = study.value = null;
    return;
  }
  const loaded = await get<Study>('v1/aviary/studies/' + id);
  const list = runsOf(loaded);
  if (current === null) before = chosen.value;
  if (current !== id) chosen.value = firstChoice(loaded);
  current = id;
  study.value = loaded;
  studyRuns.value = list;
}

export function StudyList() {
  if (studies.value.length === 0) return null;
  return (
    <nav class="studies" aria-label="Comparisons and sweeps"><h2>Comparisons and sweeps</h2><ul>
      {studies.value.map((one) => (
        <li key={one.id}><a href={'#/training/study/' + one.id} aria-current={studyInAddress() === one.id ? 'page' : undefined}>{visible(one.name)}</a> <span class="soft">{one.kind}</span></li>))}
      {studyInAddress() !== null && <li><a href="#/training">All runs</a></li>}
    </ul></nav>
  );
}

function Choice(props: {run: number | null, name: string, toggle: (id: number) => void}) {
  if (props.run === null) return <span>{visible(props.name)} <span class="soft">not begun</span></span>;
  const id = props.run, on = chosen.value.includes(id);
  return (
    <label><input type="checkbox" checked={on} onChange={() => props.toggle(id)} style={{accentColor: `var(--${colorOf(id)})`}} />
      <span style={on ? {color: `var(--${colorOf(id)})`} : undefined}>{visible(props.name)}</span></label>
  );
}

interface Column { name: string; title: string; unit: string; better: -1 | 0 | 1; text: (value: number) => string }
const milliseconds = (value: number) => significant(1000 * value, 3);
const columns: Column[] = [
  {name: 'validation_bits_per_byte', title: 'validation', unit: 'bits per byte', better: -1, text: (v) => digits(v, 4)},
  {name: 'training_loss', title: 'training loss', unit: 'nats/token', better: -1, text: (v) => digits(v, 4)},
  {name: 'parameters', title: 'parameters', unit: '', better: 0, text: count},
  {name: 'steps', title: 'steps', unit: '', better: 0, text: count},
  {name: 'tokens_per_second', title: 'training speed', unit: 'tokens/s', better: 1, text: short},
  {name: 'training_seconds', title: 'training time', unit: '', better: -1, text: duration},
  {name: 'training_bytes', title: 'memory', unit: 'training', better: -1, text: bytes},
  {name: 'state_bytes_1k', title: 'state', unit: 'at 1k tokens', better: -1, text: bytes},
  {name: 'state_bytes_8k', title: 'state', unit: 'at 8k tokens', better: -1, text: bytes},
  {name: 'generation_seconds_1k', title: 'generation', unit: 'ms/token at 1k', better: -1, text: milliseconds},
  {name: 'generation_seconds_8k', title: 'generation', unit: 'ms/token at 8k', better: -1, text: milliseconds},
];
const numberOf = (member: Member, name: string) => (typeof member[name] === 'number' ? member[name] as number : NaN);

function ComparisonTable(props: {one: Comparison, toggle: (id: number) => void}) {
  const members = props.one.members;
  const cell = (column: Column, member: Member) => {
    const value = numberOf(member, column.name);
    if (!Number.isFinite(value)) return <td key={column.name}>–</td>;
    const all = members.map((other) => numberOf(other, column.name)).filter(Number.isFinite), most = Math.max(...all);
    const best = column.better !== 0 && all.length > 1 && value === (column.better < 0 ? Math.min(...all) : most);
    return <td key={column.name} class={best ? 'best' : ''}>{column.text(value)}{most > 0 && <i class="share" style={{width: 100 * value / most + '%'}} />}</td>;
  };
  return (
    <table>
      <thead><tr><th scope="col">model</th>{columns.map((one) => <th scope="col" key={one.name}>{one.title}<small class="soft">{one.unit}</small></th>)}</tr></thead>
      <tbody>{members.map((member) => (
        <tr key={member.member}><th scope="row"><Choice run={member.run} name={member.member} toggle={props.toggle} />{member.running && <small class="soft">is being trained</small>}</th>
          {columns.map((column) => cell(column, member))}</tr>))}</tbody>
    </table>
  );
}

const interval = (mean: number | null, half: number | null, sign = false) =>
  (mean === null ? '–' : (sign && mean > 0 ? '+' : '') + digits(mean, 4) + (half === null ? '' : ' ± ' + digits(half, 4)));

// The intervals of all on one scale; the line is the mean of the first.
function Strip(props: {figure: Figure, first: Figure, low: number, high: number}) {
  const {mean, half} = props.figure;
  if (mean === null || !(props.high > props.low)) return null;
  const at = (value: number) => 100 * (value - props.low) / (props.high - props.low) + '%';
  return (
    <span class="strip" aria-hidden="true">
      {props.first.mean !== null && <i class="base" style={{left: at(props.first.mean)}} />}
      {half !== null && <i class="range" style={{left: at(mean - half), width: 100 * 2 * half / (props.high - props.low) + '%'}} />}
      <i class="dot" style={{left: at(mean)}} />
    </span>
  );
}

function SweepTable(props: {one: Sweep}) {
  const {variants} = props.one;
  const first = variants[0];
  if (!first) return <p class="soft">No run is finished yet.</p>;
  const ends = variants.flatMap(({validation: {mean, half}}) => (mean === null ? [] : [mean - (half ?? 0), mean + (half ?? 0)]));
  const low = Math.min(...ends), high = Math.max(...ends);
  const best = Math.min(...variants.map((one) => one.validation.mean ?? Infinity));
  const extra = ([['average', 'average of weights'], ['test', 'test']] as const).filter(([name]) => variants.some((one) => one[name].mean !== null));
  const sure = ({more, more_half}: Figure) => more !== null && more_half !== null && Math.abs(more) > more_half;
  return (
    <table>
      <thead><tr><th scope="col">settings</th><th scope="col">validation<small class="soft">bits per byte, 95 %</small></th><th scope="col"><span class="unseen">intervals</span></th>
        <th scope="col">difference<small class="soft">to the first, paired by seed</small></th>{extra.map(([name, title]) => <th scope="col" key={name}>{title}<small class="soft">bits per byte</small></th>)}
        <th scope="col">training loss</th><th scope="col">step<small class="soft">seconds</small></th><th scope="col">tokens</th><th scope="col">parameters</th></tr></thead>
      <tbody>{variants.map((one, i) => (
        <tr key={one.settings}><th scope="row">{visible(one.settings) || '(as all)'}<small class="soft">{one.validation.count === 1 ? 'one seed' : one.validation.count + ' seeds'}</small></th>
          <td class={one.validation.mean === best ? 'best' : ''}>{interval(one.validation.mean, one.validation.half)}</td>
          <td class="wide-cell"><Strip figure={one.validation} first={first.validation} low={low} high={high} /></td>
          <td class={i > 0 && sure(one.validation) ? 'best' : ''}>{i > 0 ? interval(one.validation.more, one.validation.more_half, true) : ''}</td>
          {extra.map(([name]) => <td key={name}>{interval(one[name].mean, one[name].half)}</td>)}
          <td>{interval(one.training_loss.mean, null)}</td><td>{one.seconds_per_step.mean === null ? '–' : significant(one.seconds_per_step.mean, 3)}</td>
          <td>{one.tokens === undefined ? '–' : short(one.tokens)}</td><td>{one.parameters === undefined ? '–' : count(one.parameters)}</td></tr>))}</tbody>
    </table>
  );
}

export function StudyPositions(props: {one: Study}) {
  const {one} = props;
  if (one.kind !== 'comparison' || current === null) return null;
  const runs = new Map(one.members.flatMap((member) => (member.run === null ? [] : [[member.member, member.run] as const])));
  return <PositionLoss study={current} runs={runs} finished={one.members.filter((member) => typeof member.generation_seconds_1k === 'number').length} />;
}

export function StudyTable(props: {one: Study, toggle: (id: number) => void}) {
  const {one} = props;
  return (
    <section class="study" aria-label="Results">
      <h2 class="big">{visible(one.name)}</h2>
      {one.kind === 'comparison'
        ? <p class="soft">{visible(one.text)}{one.steps > 0 && `; ${count(one.steps)} steps for each`}{one.running && '; is being trained'}. The best of a column is bold; what a member has not reached yet is missing.</p>
        : <p class="soft">{one.seeds.length === 1 ? 'One seed' : one.seeds.length + ' seeds'}{one.running && '; is being trained'}. Intervals hold 95 % by Student's t over the seeds; a difference that is beyond chance is bold.</p>}
      <div class="table" tabIndex={0} role="region" aria-label="Table of results">
        {one.kind === 'comparison' ? <ComparisonTable one={one} toggle={props.toggle} /> : <SweepTable one={one} />}</div>
      {one.kind === 'sweep' && <fieldset class="of-sweep"><legend class="soft">Curves of</legend>
        {one.runs.map((run) => <Choice key={run.run} run={run.run} name={`${run.settings}, seed ${run.seed}`} toggle={props.toggle} />)}</fieldset>}
    </section>
  );
}
