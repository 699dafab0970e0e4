// What the sampler does with the next token. All numbers are those of the program's own sampler.
import {useEffect, useState} from 'preact/hooks';
import {signal} from '@preact/signals';
import {currentModel, messageOf, modelName, post, wasStopped} from '../lib/api';
import {Problem, Slider} from '../lib/dialog';
import {count, percent, tokenLabel} from '../lib/text';

interface Candidate {
  token: number; text: string; model: number; penalized: number; drawn: number;
  grammar: boolean; top_k: boolean; top_p: boolean; top_a: boolean; min_p: boolean;
}
interface Reply {
  tokens: number; kept: number; candidates: Candidate[];
  kept_by: {grammar: number, top_k: number, top_p: number, top_a: number, min_p: number};
}
const usual = {temperature: 1, top_p: 0.85, top_k: 0, top_a: 0, min_p: 0, top_p_x: 0, repeat_penalty: 1, presence_penalty: 0.2, frequency_penalty: 0.2,
  penalty_decay: 0.996, counted: 0};
const settings = signal({...usual});
const text = signal('It was a delightful visit; perfect, in being much too');
const grammar = signal('');
const grammarKind = signal('regex');
const reply = signal<Reply | null>(null);
const problem = signal('');

let running: AbortController | null = null;
async function ask() {
  running?.abort();
  const stop = running = new AbortController();
  try {
    const s = settings.value;
    const body: Record<string, unknown> = {model: currentModel()?.name, text: text.value, most: 50, ...s};
    if (grammar.value) body.response_format = {type: grammarKind.value, [grammarKind.value]: grammar.value};
    reply.value = await post<Reply>('v1/aviary/next', body, stop.signal);
    problem.value = '';
  } catch (error) { if (!wasStopped(error)) problem.value = messageOf(error); }
}

function Row(props: {one: Candidate, scale: number, at: number, take: () => void}) {
  const {one} = props;
  const gone = [!one.grammar && 'grammar', !one.top_k && 'top-k', !one.top_p && 'top-p', !one.top_a && 'top-a', !one.min_p && 'min-p'].filter(Boolean);
  return (
    <tr class={one.drawn > 0 ? '' : 'gone'}>
      <td class="soft">{props.at + 1}</td>
      <th scope="row"><button class="plain" onClick={props.take} title={`token ${one.token}; go on with it`}><code>{tokenLabel(one.text)}</code></button></th>
      <td class="bars"><span class="was" style={{width: 100 * one.model / props.scale + '%'}} />{one.drawn > 0 && <span class="is" style={{width: 100 * one.drawn / props.scale + '%'}} />}</td>
      <td>{percent(one.model)}</td>
      <td>{Math.abs(one.penalized - one.model) > 1e-9 ? percent(one.penalized) : ''}</td>
      <td><b>{one.drawn > 0 ? percent(one.drawn) : ''}</b><span class="soft">{gone.length ? 'not by ' + gone.join(', ') : ''}</span></td>
    </tr>
  );
}

export default function Sampler() {
  const [timer] = useState({id: 0});
  const soon = () => { clearTimeout(timer.id); timer.id = window.setTimeout(ask, 30); };
  useEffect(() => { ask(); }, [modelName.value]);
  const set = (name: keyof typeof usual) => (value: number) => { settings.value = {...settings.value, [name]: value}; soon(); };
  const s = settings.value, r = reply.value;
  const scale = Math.max(1e-9, ...(r?.candidates.map((one) => Math.max(one.model, one.drawn)) ?? [1]));
  const dial = (name: keyof typeof usual, label: string, min: number, max: number, step: number, off?: number, hint?: string) =>
    <Slider label={label} value={s[name]} min={min} max={max} step={step} off={off} hint={hint} set={set(name)} />;
  return (
    <main class="sampler" tabIndex={-1}>
      <aside aria-label="Settings of the sampler">
        <label class="field"><span>Text</span>
          <textarea rows={5} value={text.value} onInput={(event) => { text.value = event.currentTarget.value; soon(); }} /></label>
        {dial('temperature', 'Temperature', 0, 2, 0.01)}
        {dial('top_k', 'Top-k', 0, 100, 1, 0, 'Keep so many of the most probable tokens')}
        {dial('top_p', 'Top-p', 0.01, 1, 0.01, 1, 'Keep the most probable tokens until they have this share')}
        {dial('top_p_x', 'Top-p-x', 0, 0.2, 0.001, 0, 'Beside top-p, keep every token with at least this probability')}
        {dial('top_a', 'Top-a', 0, 1, 0.01, 0, 'Keep a token with at least this times the square of the largest probability')}
        {dial('min_p', 'Min-p', 0, 1, 0.01, 0, 'Keep a token with at least this times the largest probability')}
        {dial('counted', 'Penalize the last tokens', 0, 200, 1, 0, 'So many tokens at the end of the text count as written by the model')}
        {dial('presence_penalty', 'Presence penalty', 0, 3, 0.05, 0)}
        {dial('frequency_penalty', 'Frequency penalty', 0, 3, 0.05, 0)}
        {dial('repeat_penalty', 'Repeat penalty', 1, 2, 0.01, 1)}
        <div class="field"><span>Grammar of what follows</span>
          <div class="row tight"><select aria-label="Kind of grammar" value={grammarKind.value} onChange={(event) => { grammarKind.value = event.currentTarget.value; soon(); }}>
            <option value="regex">regular expression</option><option value="grammar">GBNF</option></select></div>
          <textarea rows={2} aria-label="Grammar" placeholder="(short|long)\." value={grammar.value} onInput={(event) => { grammar.value = event.currentTarget.value; soon(); }} /></div>
        <div class="row"><button onClick={() => { settings.value = {...usual}; grammar.value = ''; soon(); }}>As usual</button>
          <button onClick={() => { settings.value = {...usual, temperature: 1, top_p: 1, presence_penalty: 0, frequency_penalty: 0}; grammar.value = ''; soon(); }}>The model alone</button></div>
      </aside>
      <section aria-label="The next token">
        <Problem text={problem.value} />
        {r && <>
          <p class="kept figures">After {count(r.tokens)} tokens, <b>{count(r.kept)}</b> {r.kept === 1 ? 'token' : 'tokens'} can be drawn.
            <span class="soft"> Alone, the grammar keeps {count(r.kept_by.grammar)}, top-k {count(r.kept_by.top_k)}, top-p {count(r.kept_by.top_p)}, top-a {count(r.kept_by.top_a)}, min-p {count(r.kept_by.min_p)}.</span></p>
          <div class="scroll" tabIndex={0} role="region" aria-label="The 50 most probable tokens">
            <table><thead><tr><th scope="col"><span class="unseen">rank</span></th><th scope="col">token</th>
              <th scope="col"><span class="key was" /> model <span class="key is" /> drawn</th><th scope="col">model</th><th scope="col">penalized</th><th scope="col">drawn</th></tr></thead>
              <tbody>{r.candidates.map((one, i) => <Row key={one.token} one={one} at={i} scale={scale}
                take={() => { text.value += one.text; ask(); }} />)}</tbody></table>
          </div></>}
      </section>
    </main>
  );
}
