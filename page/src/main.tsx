// The frame: views, models, theme, key.
import './lib/theme';
import type {ComponentType} from 'preact';
import {render} from 'preact';
import {useEffect, useState} from 'preact/hooks';
import {signal} from '@preact/signals';
import {about, currentModel, keyWanted, loadAbout, messageOf, modelName, setKey} from './lib/api';
import {Dialog, Problem, Told} from './lib/dialog';
import {applyTheme, theme, type Theme} from './lib/theme';
import Chat from './chat/chat';

interface View { name: string; title: string; needsModel: boolean; load: () => Promise<{default: ComponentType}> }
const views: View[] = [
  {name: 'chat', title: 'Chat', needsModel: true, load: async () => ({default: Chat})},
  {name: 'write', title: 'Write', needsModel: true, load: () => import('./write/write')},
  {name: 'sampler', title: 'Sampler', needsModel: true, load: () => import('./inside/sampler')},
  {name: 'inside', title: 'Inside', needsModel: true, load: () => import('./inside/inside')},
  {name: 'training', title: 'Training', needsModel: false, load: () => import('./training/training')},
  {name: 'models', title: 'Models', needsModel: true, load: () => import('./models/models')},
];

const problem = signal('');
const view = signal('');
const loaded = signal<Record<string, ComponentType>>({chat: Chat});

function shownViews(): View[] {
  const a = about.value;
  return a ? views.filter((one) => (one.needsModel ? a.models.length > 0 : one.name !== 'training' || a.runs)) : [];
}

async function show() {
  const wanted = location.hash.replace(/^#\/?/, '').split(/[/?]/)[0];
  const found = shownViews().find((one) => one.name === wanted) ?? shownViews()[0];
  if (!found) return;
  if (!loaded.value[found.name]) {
    try {
      const module = await found.load();
      loaded.value = {...loaded.value, [found.name]: module.default};
    } catch (error) { problem.value = messageOf(error); return; }
  }
  view.value = found.name;
  document.title = found.title + ' · Aviary';
}

async function begin() {
  try {
    await loadAbout();
    await show();
  } catch (error) { problem.value = messageOf(error); }
}

function KeyDialog() {
  const [text, setText] = useState('');
  return (
    <Dialog title="This server wants a key" open={keyWanted.value} close={() => { keyWanted.value = false; }}>
      <form class="column-form" onSubmit={(event) => { event.preventDefault(); setKey(text); problem.value = ''; begin(); }}>
        <p class="soft">One of those given to it with <code>--api-key</code>. It is kept until this tab is closed.</p>
        <label class="field"><span>API key</span>
          <input type="password" autocomplete="off" value={text} onInput={(event) => setText(event.currentTarget.value)} /></label>
        <button class="main" type="submit" disabled={!text}>Go on</button>
      </form>
    </Dialog>
  );
}

const themes: Theme[] = ['system', 'light', 'dark'];
const themeSigns = {system: '◐', light: '○', dark: '●'};

function Head() {
  const models = about.value?.models ?? [];
  const next = themes[(themes.indexOf(theme.value) + 1) % themes.length]!;
  return (
    <header class="head">
      <a class="skip" href="#content" onClick={(event) => { event.preventDefault(); document.querySelector<HTMLElement>('main')?.focus(); }}>To the content</a>
      <h1><svg aria-hidden="true"><use href="#sign" /></svg>Aviary</h1>
      <nav aria-label="Views">
        {shownViews().map((one) => (
          <a key={one.name} href={'#/' + one.name} aria-current={view.value === one.name ? 'page' : undefined}>{one.title}</a>))}
      </nav>
      <div class="head-end">
        {models.length > 0 && (models.length > 1
          ? <select aria-label="Model" value={currentModel()?.name}
              onChange={(event) => { modelName.value = event.currentTarget.value; localStorage.setItem('model', modelName.value); }}>
              {models.map((one) => <option key={one.name} value={one.name}>{one.name}</option>)}</select>
          : <span class="model" title={models[0]!.path}>{models[0]!.name}</span>)}
        <button class="plain" onClick={() => applyTheme(next)} aria-label={`Colors: ${theme.value}; change to ${next}`}
          title={`Colors: ${theme.value}`}>{themeSigns[theme.value]}</button>
      </div>
    </header>
  );
}

function App() {
  useEffect(() => {
    applyTheme(theme.value);
    begin();
    const onHash = () => { show(); };
    addEventListener('hashchange', onHash);
    return () => removeEventListener('hashchange', onHash);
  }, []);
  const Current = loaded.value[view.value];
  return (
    <>
      <Head />
      <Problem text={problem.value} close={() => { problem.value = ''; }} />
      {Current ? <Current /> : <main tabIndex={-1} class="empty">{about.value && shownViews().length === 0 && <p>There is nothing to look at.</p>}</main>}
      <Told />
      <KeyDialog />
    </>
  );
}

render(<App />, document.getElementById('app')!);
