// Stopping runs, going on with them, and beginning one from a file of rows; only where the program was started with --control.
import {useEffect, useState} from 'preact/hooks';
import {signal} from '@preact/signals';
import {about, get, messageOf, post} from '../lib/api';
import {Dialog, Problem, tell} from '../lib/dialog';
import {bytes, count, visible} from '../lib/text';
import {chosen, logs, stepsOf, type Run} from './data';

interface Base { name: string; model?: string; run?: number }
interface Choices { bases: Base[]; methods: string[]; most_bytes: number; folder: string }
interface Draft { draft: number; state: 'planning' | 'ready' | 'refused'; folder: string; text: string }
interface Rows { name: string; text: string; count: number; first: {number: number, keys: [string, string][] | null, text: string}[] }

const newRun = signal(false);
const dropped = signal<File | null>(null);
const shownRows = 5, shownText = 400;

export const mayControl = () => !!about.value?.control;

const isFinished = (run: Run) => {
  const steps = stepsOf(run), step = logs.value[run.id]?.step ?? 0;
  return steps !== null && step >= steps;
};

// A finished run goes on with more steps.
function Longer(props: {name: string, done: number, go: (steps: number) => void}) {
  const [steps, setSteps] = useState<string | null>(null);
  if (steps === null) return <button aria-label={'Train longer: ' + props.name} onClick={() => setSteps(String(Math.ceil(1.5 * props.done)))}>Train longer</button>;
  return (
    <form class="longer" aria-label={'Train longer: ' + props.name} onSubmit={(event) => { event.preventDefault(); setSteps(null); props.go(Number(steps)); }}
      onKeyDown={(event) => { if (event.key === 'Escape') setSteps(null); }}>
      <label class="field"><span>Steps of the whole run, of which {count(props.done)} are done</span>
        <input type="number" required min={props.done + 1} max={2 ** 40} step={1} value={steps} ref={(one) => { if (one && !one.dataset.seen) one.dataset.seen = '1', one.focus(); }}
          onInput={(event) => setSteps(event.currentTarget.value)} /></label>
      <p class="soft">All of them become one schedule: the learning rate goes on as if the run had been planned so.</p>
      <div class="row"><button type="submit">Go on</button><button type="button" class="plain" onClick={() => setSteps(null)}>Cancel</button></div>
    </form>
  );
}

export function RunControl(props: {run: Run, changed: () => void, fail: (sentence: string) => void}) {
  const {run} = props;
  const name = visible(run.name);
  const act = async (what: 'stop' | 'resume', steps?: number) => {
    try {
      await post(`v1/aviary/runs/${run.id}/${what}`, {steps});
      tell(what === 'stop' ? `${run.name} saves itself and ends` : `${run.name} goes on`);
    } catch (error) { props.fail(messageOf(error)); }
    props.changed();
  };
  return (
    <div class="run-control">
      {run.running && <span class="now">{run.stopping ? 'saves itself …' : 'is being trained'}</span>}
      {mayControl() && run.running && !run.stopping && <button onClick={() => act('stop')} aria-label={'Pause ' + name} title="It saves itself and ends; it can go on at any time, bit for bit">Pause</button>}
      {mayControl() && !run.running && run.checkpoint && !isFinished(run) && <button onClick={() => act('resume')} aria-label={'Go on with ' + name}>Go on</button>}
      {mayControl() && !run.running && run.checkpoint && isFinished(run) && <Longer name={name} done={logs.value[run.id]!.step} go={(steps) => act('resume', steps)} />}
      {run.problem && <span class="warn">{visible(run.problem)}</span>}
    </div>
  );
}

// What the processes that were started here have printed.
export function Output(props: {run: Run}) {
  const [open, setOpen] = useState(false);
  const [text, setText] = useState('');
  const step = logs.value[props.run.id]?.step;
  useEffect(() => {
    if (open) get<{text: string}>(`v1/aviary/runs/${props.run.id}/output`).then((one) => setText(one.text), (error) => setText(messageOf(error)));
  }, [open, step, props.run.running, props.run.problem]);
  return (
    <details class="printed" onToggle={(event) => setOpen(event.currentTarget.open)}><summary>What {visible(props.run.name)} printed</summary>
      {open && <pre tabIndex={0} role="region" aria-label="Output">{visible(text) || 'Nothing was started from this page.'}</pre>}</details>
  );
}

export function NewRunButton() {
  return mayControl() ? <button class="new-run" onClick={() => { newRun.value = true; }}>Tune a model …</button> : null;
}

// A file that is dropped anywhere in the view.
export function takeDrop(event: DragEvent) {
  const file = event.dataTransfer?.files[0];
  if (!file || !mayControl()) return;
  event.preventDefault();
  dropped.value = file;
  newRun.value = true;
}

function readRows(name: string, text: string): Rows {
  const lines = text.split('\n'), first: Rows['first'] = [];
  let number = 0;
  for (const line of lines) {
    if (!line.trim()) continue;
    number++;
    if (first.length === shownRows) continue;
    let keys: [string, string][] | null = null;
    try {
      const row = JSON.parse(line);
      if (row && typeof row === 'object' && !Array.isArray(row))
        keys = Object.entries(row).slice(0, 20).map(([key, value]) => [key, (typeof value === 'string' ? value : JSON.stringify(value)).slice(0, shownText)]);
    } catch { /* shown as it is */ }
    first.push({number, keys, text: line.slice(0, shownText)});
  }
  return {name, text, count: number, first};
}

function Preview(props: {rows: Rows}) {
  return (
    <section class="preview" aria-label="Rows"><h3>{visible(props.rows.name)}: {count(props.rows.count)} {props.rows.count === 1 ? 'row' : 'rows'}</h3>
      <ol class="rows" tabIndex={0} aria-label="The first rows">{props.rows.first.map((row) => (
        <li key={row.number}>{row.keys
          ? <dl>{row.keys.map(([key, value]) => <div key={key}><dt>{visible(key)}</dt><dd dir="auto">{visible(value)}</dd></div>)}</dl>
          : <p class="warn">row {row.number} is no JSON object: {visible(row.text)}</p>}</li>))}</ol>
    </section>
  );
}

function Settings(props: {choices: Choices, wish: Wish, set: (wish: Wish) => void}) {
  const {choices, wish} = props;
  const put = (part: Partial<Wish>) => props.set({...wish, ...part});
  return (
    <fieldset class="settings-of-run"><legend class="unseen">Settings</legend>
      <label class="field"><span>Base model</span><select value={wish.base} onChange={(event) => put({base: Number(event.currentTarget.value)})}>
        {choices.bases.map((one, i) => <option key={i} value={i}>{visible(one.name)}{one.run !== undefined ? ' (run)' : ''}</option>)}</select></label>
      <label class="field"><span>What is trained</span><select value={wish.method} onChange={(event) => put({method: event.currentTarget.value})}>
        <option value="">by memory and data</option>{choices.methods.map((one) => <option key={one} value={one}>{one}</option>)}</select></label>
      <label class="field"><span>Times that the data is read</span>
        <input type="number" min="0.001" step="any" placeholder="3" value={wish.epochs} onInput={(event) => put({epochs: event.currentTarget.value})} /></label>
      <label class="field"><span>Learning rate</span>
        <input type="number" min="0" step="any" placeholder="by method and width" value={wish.rate} onInput={(event) => put({rate: event.currentTarget.value})} /></label>
    </fieldset>
  );
}

interface Wish { base: number; method: string; epochs: string; rate: string }

function bodyOf(choices: Choices, wish: Wish, rows: Rows) {
  const {model, run} = choices.bases[wish.base]!;
  return {model, run, name: rows.name, rows: rows.text, method: wish.method || undefined,
    epochs: wish.epochs ? Number(wish.epochs) : undefined, learning_rate: wish.rate ? Number(wish.rate) : undefined};
}

function NewRun(props: {close: () => void, begun: () => void}) {
  const [choices, setChoices] = useState<Choices | null>(null);
  const [rows, setRows] = useState<Rows | null>(null);
  const [wish, setWish] = useState<Wish>({base: 0, method: '', epochs: '', rate: ''});
  const [draft, setDraft] = useState<Draft | null>(null);
  const [problem, setProblem] = useState('');
  const fail = (error: unknown) => setProblem(messageOf(error));
  const giveUp = (one: Draft | null) => { if (one) post(`v1/aviary/tune/${one.draft}/give-up`, {}).catch(() => {}); };
  const take = async (file: File | undefined | null) => {
    if (!file || !choices) return;
    giveUp(draft);
    setDraft(null);
    setProblem('');
    if (file.size > choices.most_bytes) return setProblem(`${visible(file.name)} has ${bytes(file.size)}, more than ${bytes(choices.most_bytes)}; start aviary tune on the command line.`);
    setRows(readRows(file.name, await file.text()));
  };
  useEffect(() => { get<Choices>('v1/aviary/tune').then(setChoices, fail); }, []);
  useEffect(() => { if (choices && dropped.value) { take(dropped.value); dropped.value = null; } }, [choices, dropped.value]);
  useEffect(() => {
    if (draft?.state !== 'planning') return;
    const timer = setTimeout(() => get<Draft>(`v1/aviary/tune/${draft.draft}`).then((next) => {
      if (next.state !== 'planning') tell(next.state === 'ready' ? 'The plan is there' : 'The plan was refused');
      setDraft({...next});
    }, (error) => { setDraft(null); fail(error); }), 400);
    return () => clearTimeout(timer);
  }, [draft]);
  const change = (next: Wish) => { giveUp(draft); setDraft(null); setWish(next); };
  const plan = async () => {
    setProblem('');
    try { setDraft(await post<Draft>('v1/aviary/tune/plan', bodyOf(choices!, wish, rows!))); } catch (error) { fail(error); }
  };
  const begin = async () => {
    try {
      const run = await post<{run: number, name: string}>(`v1/aviary/tune/${draft!.draft}/begin`, {});
      tell(`${run.name} has begun`);
      chosen.value = [run.run];
      setDraft(null);
      props.begun();
    } catch (error) { fail(error); }
  };
  const close = () => { giveUp(draft); props.close(); };
  return (
    <Dialog title="Tune a model" open={true} close={close} wide>
      <div class="column-form new-run-form" onDragOver={(event) => event.preventDefault()} onDrop={(event) => { event.preventDefault(); take(event.dataTransfer?.files[0]); }}>
        <p class="soft">Rows of JSON lines, as <code>{'{"prompt": "…", "completion": "…"}'}</code> or conversations. They are kept in a new folder in <code>{visible(choices?.folder ?? '')}</code>.</p>
        <div class="row"><label class="button">{rows ? 'Another file' : 'Choose a file'} or drop one here<input class="unseen" type="file" accept=".jsonl,.json,.ndjson" aria-label="File of rows"
          onChange={(event) => { take(event.currentTarget.files?.[0]); event.currentTarget.value = ''; }} /></label></div>
        {rows && <Preview rows={rows} />}
        {choices && choices.bases.length === 0 && <p class="warn">There is no model to tune: none is served, and no run has one.</p>}
        {choices && choices.bases.length > 0 && rows && <Settings choices={choices} wish={wish} set={change} />}
        <Problem text={visible(problem)} />
        {draft && <section aria-label="Plan" aria-busy={draft.state === 'planning'}>
          {draft.state === 'planning' ? <p>The program reads the rows and tries a step …</p> : <pre class="plan" tabIndex={0} role="region" aria-label="What aviary tune --plan says">{visible(draft.text)}</pre>}</section>}
        <div class="row">
          <button class={draft ? '' : 'main'} disabled={!rows || !choices?.bases.length || draft?.state === 'planning'} onClick={plan}>{draft ? 'Plan again' : 'Plan'}</button>
          <button class="main" disabled={draft?.state !== 'ready'} onClick={begin}>Begin</button></div>
      </div>
    </Dialog>
  );
}

export function NewRunDialog(props: {begun: () => void}) {
  const close = () => { newRun.value = false; dropped.value = null; };
  return newRun.value ? <NewRun close={close} begun={() => { close(); props.begun(); }} /> : null;
}
