// States as objects: of a document, of this conversation, or mixed; a conversation may begin from one.
import {useEffect, useState} from 'preact/hooks';
import {signal} from '@preact/signals';
import {currentModel, get, messageOf, post, request} from '../lib/api';
import {Dialog, Problem, tell} from '../lib/dialog';
import {bytes, count, download, fileName, visible} from '../lib/text';
import {changed, current, path} from './session';

interface Kept { id: string; name: string | null; tokens: number; pending_tokens: number; bytes: number; created: number }
const states = signal<Kept[]>([]);
const problem = signal('');

async function load() {
  try {
    states.value = (await get<{data: Kept[]}>('v1/states')).data.reverse();
  } catch (error) { problem.value = messageOf(error); }
}
async function attempt(act: () => Promise<unknown>, done: string) {
  problem.value = '';
  try {
    await act();
    tell(done);
  } catch (error) { problem.value = messageOf(error); }
  await load();
}
const labelOf = (one: Kept) => visible(one.name ?? one.id.slice(0, 14));

function MakeState(props: {close: () => void}) {
  const [name, setName] = useState('');
  const [text, setText] = useState('');
  const [source, setSource] = useState(path.value.length ? 'conversation' : 'document');
  const make = (event: Event) => {
    event.preventDefault();
    const c = current.value;
    const messages = [...(c.system ? [{role: 'system', content: c.system}] : []),
      ...path.value.map((node) => ({role: node.role, content: node.content}))];
    const body: Record<string, unknown> = {model: currentModel()?.name};
    if (name) body.name = name;
    const from = source === 'document' ? {input: text} : {messages};
    Object.assign(body, c.state && source === 'conversation' ? {from: {state: c.state, messages}} : from);
    attempt(() => post('v1/states', body), 'The state is kept').then(props.close);
  };
  return (
    <form onSubmit={make} class="column-form">
      <fieldset><legend>State after</legend>
        <label><input type="radio" name="source" checked={source === 'conversation'} disabled={!path.value.length}
          onChange={() => setSource('conversation')} /> this conversation</label>
        <label><input type="radio" name="source" checked={source === 'document'} onChange={() => setSource('document')} /> a document</label>
      </fieldset>
      {source === 'document' && <>
        <label class="field"><span>Document</span>
          <textarea rows={8} value={text} onInput={(event) => setText(event.currentTarget.value)} /></label>
        <label class="field"><span>or a text file</span>
          <input type="file" accept="text/*,.txt,.md" onChange={async (event) => {
            const file = event.currentTarget.files?.[0];
            if (file) { setText(await file.text()); if (!name) setName(file.name.replace(/\.[^.]*$/, '')); }
          }} /></label></>}
      <label class="field"><span>Name</span><input value={name} maxLength={200} onInput={(event) => setName(event.currentTarget.value)} /></label>
      <Problem text={problem.value} />
      <button class="main" type="submit" disabled={source === 'document' && !text}>Keep the state</button>
    </form>
  );
}

function Mix(props: {close: () => void}) {
  const [weights, setWeights] = useState<Record<string, number>>({});
  const [name, setName] = useState('');
  const parts = states.value.filter((one) => weights[one.id]).map((one) => ({id: one.id, weight: weights[one.id]!}));
  const mix = (event: Event) => {
    event.preventDefault();
    attempt(() => post('v1/states/mix', {parts, method: 'sum', ...(name && {name})}), 'The mix is kept').then(props.close);
  };
  return (
    <form onSubmit={mix} class="column-form">
      <p class="soft">The weighted sum of their memories; the last words are those of the last state.</p>
      {states.value.map((one) => (
        <Slider0 key={one.id} label={labelOf(one)} value={weights[one.id] ?? 0} set={(value) => setWeights((now) => ({...now, [one.id]: value}))} />))}
      <label class="field"><span>Name</span><input value={name} maxLength={200} onInput={(event) => setName(event.currentTarget.value)} /></label>
      <Problem text={problem.value} />
      <button class="main" type="submit" disabled={parts.length === 0}>Mix {parts.length} states</button>
    </form>
  );
}
function Slider0(props: {label: string, value: number, set: (value: number) => void}) {
  return (
    <label class="slider"><span>{props.label}</span><output>{props.value.toFixed(2)}</output>
      <input type="range" min={0} max={1} step={0.05} value={props.value} onInput={(event) => props.set(Number(event.currentTarget.value))} /></label>
  );
}

export function States() {
  const [making, setMaking] = useState(false);
  const [mixing, setMixing] = useState(false);
  useEffect(() => { load(); }, [currentModel()?.name]);
  const c = current.value;
  const begin = (state: string) => { c.state = state; changed(c); };
  const save = (one: Kept) => attempt(async () => {
    const response = await request('GET', `v1/states/${encodeURIComponent(one.id)}/content`);
    download(fileName(one.name ?? one.id) + '.state', await response.blob(), 'application/octet-stream');
  }, 'Saved');
  return (
    <section class="states" aria-label="States">
      <h2>States</h2>
      <p class="soft">All that the model keeps of a text, of constant size. A conversation can begin after one.</p>
      <Problem text={problem.value} close={() => { problem.value = ''; }} />
      <ul>
        <li><label><input type="radio" name="state" checked={!c.state} onChange={() => begin('')} /> <span>an empty memory</span></label></li>
        {states.value.map((one) => (
          <li key={one.id}>
            <label><input type="radio" name="state" checked={c.state === one.id || (!!one.name && c.state === one.name)} onChange={() => begin(one.id)} />
              <span>{labelOf(one)} <small class="soft">{count(one.tokens)} tokens · {bytes(one.bytes)}</small></span></label>
            <button class="plain" onClick={() => save(one)} aria-label={'Download ' + labelOf(one)}>↓</button>
            <button class="plain" aria-label={'Delete ' + labelOf(one)}
              onClick={() => attempt(() => request('DELETE', 'v1/states/' + encodeURIComponent(one.id)), 'Deleted').then(() => { if (c.state === one.id) begin(''); })}>✕</button>
          </li>))}
      </ul>
      <div class="row">
        <button onClick={() => { problem.value = ''; setMaking(true); }}>Keep a state…</button>
        <button disabled={states.value.length < 2} onClick={() => { problem.value = ''; setMixing(true); }}>Mix…</button>
      </div>
      <Dialog title="Keep a state" open={making} close={() => setMaking(false)}><MakeState close={() => !problem.value && setMaking(false)} /></Dialog>
      <Dialog title="Mix states" open={mixing} close={() => setMixing(false)}><Mix close={() => !problem.value && setMixing(false)} /></Dialog>
    </section>
  );
}
