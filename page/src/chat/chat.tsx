// The view in which people talk with a model.
import {useEffect, useLayoutEffect, useRef, useState} from 'preact/hooks';
import {effect, signal} from '@preact/signals';
import {currentModel, messageOf, modelName} from '../lib/api';
import {Dialog, Problem} from '../lib/dialog';
import {ago, download, fileName, visible} from '../lib/text';
import {Messages, Prose} from './message';
import {changed, changes, conversations, current, drop, loadConversations, path, pulses, reply, select, send, writing} from './session';
import {Panel} from './panel';
import {AsTheModelSeesIt} from './rendered';
import {childrenOf, newConversation, readConversation} from './tree';

const problem = signal('');
const draft = signal('');
export const panelOpen = signal(localStorage.getItem('panel') === '1');
const listOpen = signal(false);
const mostShown = 200;  // messages at the end; earlier ones on request

function togglePanel() {
  panelOpen.value = !panelOpen.value;
  localStorage.setItem('panel', panelOpen.value ? '1' : '0');
}

function fresh() {
  const c = newConversation();
  c.settings = {...current.value.settings};
  c.system = current.value.system;
  c.template = current.value.template;
  select(c);
  listOpen.value = false;
  document.getElementById('composer')?.focus();
}

function exportCurrent() {
  const c = current.value;
  download(fileName(c.title || 'conversation') + '.json', JSON.stringify({format: 'aviary conversation 1', ...c}, null, 1),
    'application/json');
}

async function importFile(file: File) {
  try {
    if (file.size > 64e6) throw new Error('This file has more than 64 MB.');
    const c = readConversation(JSON.parse(await file.text()));
    select(c);
    changed(c);
  } catch (error) {
    problem.value = error instanceof SyntaxError ? 'This file is not JSON.' : messageOf(error);
  }
}

function List() {
  return (
    <nav class={'list' + (listOpen.value ? ' open' : '')} aria-label="Conversations">
      <div class="row">
        <button onClick={fresh} title="Ctrl+Shift+O">New conversation</button>
      </div>
      <ul>
        {conversations.value.map((c) => (
          <li key={c.id} class={c.id === current.value.id ? 'on' : ''}>
            <button class="plain title" aria-current={c.id === current.value.id ? 'true' : undefined}
              onClick={() => { select(c); listOpen.value = false; }}>
              {visible(c.title) || 'Untitled'}<span class="soft"> {ago(c.updated)}</span></button>
            <button class="plain" aria-label={'Delete ' + (c.title || 'Untitled')} onClick={() => drop(c)}>✕</button>
          </li>))}
      </ul>
      <div class="row foot">
        <button class="plain" onClick={exportCurrent} disabled={path.value.length === 0}>Export</button>
        <label class="plain button" tabIndex={-1}>Import
          <input type="file" accept="application/json,.json" class="unseen"
            onChange={(event) => { const f = event.currentTarget.files?.[0]; if (f) importFile(f); event.currentTarget.value = ''; }} />
        </label>
      </div>
    </nav>
  );
}

function submit() {
  const text = draft.value;
  if (!text.trim() || writing.value) return;
  const last = path.value.at(-1);
  draft.value = '';
  send(current.value, last?.id ?? '', text);
}

function Composer() {
  const area = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    const one = area.current!;
    one.style.height = 'auto';
    one.style.height = Math.min(one.scrollHeight, innerHeight * 0.4) + 'px';
  }, [draft.value]);
  const last = path.value.at(-1);
  return (
    <form class="composer" onSubmit={(event) => { event.preventDefault(); submit(); }}>
      <textarea id="composer" ref={area} rows={1} placeholder="Write a message" aria-label="Message" value={draft.value}
        onInput={(event) => { draft.value = event.currentTarget.value; }}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) { event.preventDefault(); submit(); }
        }} />
      {writing.value
        ? <button type="button" onClick={() => writing.value?.stop.abort()}>Stop <kbd>Esc</kbd></button>
        : last?.role === 'user' && !draft.value
          ? <button type="button" onClick={() => reply(current.value, last.id)}>Reply</button>
          : <button type="submit" class="main" disabled={!draft.value.trim()}>Send</button>}
    </form>
  );
}

function Transcript(props: {compare: (parent: string) => void}) {
  const box = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const [away, setAway] = useState(false);
  const [shown, setShown] = useState(mostShown);
  const messages = path.value;
  useEffect(() => { setShown(mostShown); atEnd.current = true; }, [current.value]);
  useLayoutEffect(() => {
    if (atEnd.current) box.current!.scrollTop = box.current!.scrollHeight;
  });
  useEffect(() => effect(() => {
    void pulses.value;
    if (atEnd.current) requestAnimationFrame(() => { if (box.current) box.current.scrollTop = box.current.scrollHeight; });
  }), []);
  const toEnd = () => { atEnd.current = true; box.current!.scrollTop = box.current!.scrollHeight; setAway(false); };
  const first = Math.max(0, messages.length - shown);
  return (
    <div class="transcript" ref={box} tabIndex={0} role="log" aria-label="Conversation" aria-live="off"
      aria-busy={writing.value ? 'true' : 'false'}
      onScroll={() => {
        const one = box.current!;
        atEnd.current = one.scrollHeight - one.scrollTop - one.clientHeight < 40;
        if (away === atEnd.current) setAway(!atEnd.current);
      }}>
      <div class="column">
        {messages.length === 0 && <Welcome />}
        {first > 0 && <button class="plain" onClick={() => setShown(shown + mostShown)}>Show {Math.min(first, mostShown)} earlier messages</button>}
        <Messages c={current.value} nodes={messages.slice(first)} compare={props.compare} />
      </div>
      {away && <button class="to-end" onClick={toEnd}>To the end ↓</button>}
    </div>
  );
}

function Welcome() {
  const model = currentModel();
  if (!model) return null;
  return (
    <div class="welcome">
      <h2>Talk with <em>{model.name}</em></h2>
      <p class="soft">{model.chat_template === 'plain'
        ? 'This model was not trained on conversations: it goes on with whatever text is there. Give it a beginning.'
        : `Its conversations have the form “${model.chat_template}”. Nothing of what you write leaves this machine.`}</p>
    </div>
  );
}

function SideBySide(props: {parent: string, close: () => void}) {
  const c = current.value;
  return (
    <div class="beside">
      {childrenOf(c, props.parent).map((node, i) => (
        <section key={node.id} aria-label={'Branch ' + (i + 1)} tabIndex={0}>
          <h3>Branch {i + 1}{c.chosen[props.parent] === node.id ? ' · shown' : ''}</h3>
          {node.role === 'user' ? <div class="said">{visible(node.content)}</div> : <Prose text={node.content} />}
          <button onClick={() => { c.chosen[props.parent] = node.id; changed(c); props.close(); }}>Go on from this one</button>
        </section>))}
    </div>
  );
}

export default function Chat() {
  const [comparing, setComparing] = useState<string | null>(null);
  const [seeing, setSeeing] = useState(false);
  useEffect(() => { loadConversations(); }, []);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === 'Escape' && writing.value && !document.querySelector('dialog[open]')) writing.value.stop.abort();
      if (event.ctrlKey && event.shiftKey && event.key.toLowerCase() === 'o') { event.preventDefault(); fresh(); }
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
  void modelName.value, changes.value;
  return (
    <main class={'chat' + (panelOpen.value ? ' with-panel' : '')}>
      <List />
      <section class="talk" aria-label="Conversation">
        <div class="bar">
          <button class="plain only-narrow" aria-expanded={listOpen.value} onClick={() => { listOpen.value = !listOpen.value; }}>Conversations</button>
          <h2 class="current">{visible(current.value.title) || 'New conversation'}</h2>
          <button class="plain" onClick={() => setSeeing(true)}>As the model sees it</button>
          <button class="plain" aria-expanded={panelOpen.value} onClick={togglePanel}>Settings and states</button>
        </div>
        <Problem text={problem.value} close={() => { problem.value = ''; }} />
        <Transcript compare={setComparing} />
        <Composer />
      </section>
      {panelOpen.value && <Panel close={togglePanel} />}
      <Dialog title="Branches side by side" wide open={comparing !== null} close={() => setComparing(null)}>
        {comparing !== null && <SideBySide parent={comparing} close={() => setComparing(null)} />}
      </Dialog>
      <Dialog title="As the model sees it" wide open={seeing} close={() => setSeeing(false)}><AsTheModelSeesIt /></Dialog>
    </main>
  );
}
