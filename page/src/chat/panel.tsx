// Settings of a conversation, and the states that it may begin from.
import {currentModel} from '../lib/api';
import {Slider} from '../lib/dialog';
import {changed, changes, current} from './session';
import {States} from './states';
import type {Settings} from './tree';

const templates = ['', 'world', 'g1', 'flower', 'raven', 'qa', 'plain'];

export function Panel(props: {close: () => void}) {
  void changes.value;
  const c = current.value;
  const s = c.settings;
  const set = <K extends keyof Settings>(name: K) => (value: Settings[K]) => { s[name] = value; changed(c); };
  return (
    <aside class="panel" aria-label="Settings and states">
      <header class="row"><h2>Settings</h2><button class="plain only-narrow" onClick={props.close}>Close</button></header>
      <label class="field"><span>System prompt</span>
        <textarea rows={3} value={c.system} onInput={(event) => { c.system = event.currentTarget.value; changed(c); }} /></label>
      <label class="field"><span>Template</span>
        <select value={c.template} onChange={(event) => { c.template = event.currentTarget.value; changed(c); }}>
          {templates.map((name) => <option value={name} key={name}>{name || `of the model (${currentModel()?.chat_template ?? ''})`}</option>)}
        </select></label>
      <label class="field"><span>Thinking</span>
        <select value={s.reasoning_effort} onChange={(event) => set('reasoning_effort')(event.currentTarget.value)}>
          {['', 'none', 'low', 'medium', 'high'].map((name) => <option value={name} key={name}>{name || 'as usual'}</option>)}
        </select></label>
      <Slider label="Temperature" value={s.temperature} min={0} max={2} step={0.05} set={set('temperature')} />
      <Slider label="Top-p" value={s.top_p} min={0.05} max={1} step={0.01} off={1} set={set('top_p')} />
      <Slider label="Top-k" value={s.top_k} min={0} max={200} step={1} off={0} set={set('top_k')} />
      <Slider label="Top-a" value={s.top_a} min={0} max={1} step={0.01} off={0} set={set('top_a')} />
      <Slider label="Presence penalty" value={s.presence_penalty} min={0} max={2} step={0.05} off={0} set={set('presence_penalty')} />
      <Slider label="Frequency penalty" value={s.frequency_penalty} min={0} max={2} step={0.05} off={0} set={set('frequency_penalty')} />
      <div class="pair">
        <label class="field"><span>Most tokens</span>
          <input type="number" min={1} max={100000} value={s.max_tokens}
            onChange={(event) => set('max_tokens')(Math.max(1, Math.round(Number(event.currentTarget.value) || 1)))} /></label>
        <label class="field"><span>Seed</span>
          <input inputMode="numeric" pattern="[0-9]*" placeholder="drawn" value={s.seed}
            onChange={(event) => set('seed')(event.currentTarget.value.replace(/\D/g, ''))} /></label>
      </div>
      <States />
    </aside>
  );
}
