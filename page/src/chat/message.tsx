// One message of a conversation, with its branches.
import type {ComponentChild} from 'preact';
import {useMemo, useRef, useState} from 'preact/hooks';
import {useComputed} from '@preact/signals';
import {digits, visible, count} from '../lib/text';
import {blocksOf, htmlOf, type Blocks} from '../lib/markdown';
import {tell} from '../lib/dialog';
import {changed, families, pulses, reading, reply, send, writing} from './session';
import {remove, type Conversation, type Node} from './tree';

const longestShown = 300_000;

// Text of a model: as Markdown, or as it is if it is very long.
export function Prose(props: {text: string}) {
  const read = useRef<Blocks | null>(null);
  read.current = useMemo(() => blocksOf(props.text, read.current), [props.text]);
  if (read.current)
    return <div class="prose" dir="auto">{read.current.blocks.map((block, i) => <Block key={i} block={block} />)}</div>;
  const cut = props.text.length > longestShown;
  return (
    <div class="prose">
      <pre tabIndex={0}>{visible(props.text.slice(0, longestShown))}</pre>
      {cut && <p class="soft">The first {count(longestShown)} of {count(props.text.length)} characters.</p>}
    </div>
  );
}

function Block(props: {block: string}) {
  return useMemo(() => <div class="block" dangerouslySetInnerHTML={{__html: htmlOf(props.block)}} />, [props.block]);
}

function Branches(props: {c: Conversation, node: Node, all: Node[]}) {
  const {all} = props;
  if (all.length < 2) return null;
  const at = all.findIndex((one) => one.id === props.node.id);
  const go = (step: number) => {
    props.c.chosen[props.node.parent] = all[(at + step + all.length) % all.length]!.id;
    changed(props.c);
  };
  return (
    <span class="branches">
      <button class="plain" onClick={() => go(-1)} aria-label="Previous branch">‹</button>
      <span>{at + 1} of {all.length}</span>
      <button class="plain" onClick={() => go(1)} aria-label="Next branch">›</button>
    </span>
  );
}

function StatsLine(props: {node: Node}) {
  const s = props.node.stats;
  if (!s || !s.tokens) return s?.end === 'stopped' ? <span class="soft">stopped</span> : null;
  const parts = [`${count(s.tokens)} tokens`];
  if (s.perSecond) parts.push(`${digits(s.perSecond, 0)}/s`);
  if (s.prompt) parts.push(`${count(s.known)} of ${count(s.prompt)} before it known`);
  if (s.end === 'length') parts.push('cut at the limit');
  if (s.end === 'stopped') parts.push('stopped');
  return <span class="soft figures">{parts.join(' · ')}</span>;
}

function Editor(props: {text: string, done: (text: string | null) => void, label: string}) {
  const [text, setText] = useState(props.text);
  return (
    <form class="editor" onSubmit={(event) => (event.preventDefault(), props.done(text))}>
      <textarea aria-label="Edit the message" value={text} rows={Math.min(12, text.split('\n').length + 1)}
        ref={(one) => { if (one && !one.dataset.seen) one.dataset.seen = '1', one.focus(); }}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === 'Escape') props.done(null);
          if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) props.done(text);
        }} />
      <div class="row"><button type="submit">{props.label}</button>
        <button type="button" class="plain" onClick={() => props.done(null)}>Cancel</button></div>
    </form>
  );
}

// The messages of a line. A conversation may have hundreds: what stands for one stays the same while nothing of it has changed, so
// that nothing in it is looked at.
export function Messages(props: {c: Conversation, nodes: Node[], compare: (parent: string) => void}) {
  const before = useRef(new Map<string, {parts: unknown[], shown: ComponentChild}>());
  const now: typeof before.current = new Map();
  for (const node of props.nodes) {
    const all = families.value.get(node.parent) ?? [node];
    const parts = [props.c, node, all.length, all.indexOf(node), node.content, node.error, props.compare];
    const old = before.current.get(node.id);
    now.set(node.id, old?.parts.every((part, i) => part === parts[i]) ? old
      : {parts, shown: <Message key={node.id} c={props.c} node={node} all={all} compare={props.compare} />});
  }
  before.current = now;
  return <>{[...now.values()].map((one) => one.shown)}</>;
}

function Message(props: {c: Conversation, node: Node, all: Node[], compare: (parent: string) => void}) {
  const {c, node} = props;
  const [editing, setEditing] = useState(false);
  const mine = useComputed(() => writing.value?.node === node.id).value;
  if (mine) void pulses.value;  // it is shown anew with each piece
  if (editing)
    return (
      <article class={'message ' + node.role}>
        <Editor text={node.content} label={node.role === 'user' ? 'Send as a new branch' : 'Keep as a new branch'}
          done={(text) => {
            setEditing(false);
            if (text === null) return;
            if (node.role === 'user') return send(c, node.parent, text);
            const copy: Node = {...node, id: node.id + 'e' + Date.now().toString(36), content: text, created: Date.now(), stats: undefined};
            c.nodes[copy.id] = copy;
            c.chosen[node.parent] = copy.id;
            changed(c);
          }} />
      </article>
    );
  return (
    <article class={'message ' + node.role} aria-busy={mine ? 'true' : undefined}>
      <h3 class="who">{node.role === 'user' ? 'You' : node.model ?? 'Model'}</h3>
      {node.reasoning && (
        <details class="thought"><summary>{mine && !node.content ? 'Thinking…' : 'Thought'}
          <span class="soft"> {count(node.reasoning.length)} characters</span></summary>
          <Prose text={node.reasoning} /></details>)}
      {node.role === 'user' ? <div class="said" dir="auto">{visible(node.content.slice(0, longestShown))}</div> : <Prose text={node.content} />}
      {mine && !node.content && !node.reasoning && <Reading />}
      {node.error && <p class="problem" role="alert">{node.error}</p>}
      <footer>
        <Branches c={c} node={node} all={props.all} />
        {!mine && <>
          <button class="plain" onClick={() => setEditing(true)}>Edit</button>
          {node.role === 'assistant'
            ? <button class="plain" onClick={() => reply(c, node.parent)}>Again</button>
            : <button class="plain" onClick={() => reply(c, node.id)}>Reply</button>}
          {props.all.length > 1 && <button class="plain" onClick={() => props.compare(node.parent)}>Side by side</button>}
          <button class="plain" onClick={() => navigator.clipboard.writeText(node.content).then(() => tell('Copied'))}>Copy</button>
          <button class="plain" onClick={() => { remove(c, node.id); changed(c); }}>Delete</button>
        </>}
        <StatsLine node={node} />
      </footer>
    </article>
  );
}

// The prompt is being read: what is known by a kept state, and what is read again.
function Reading() {
  const props = reading.value;
  if (!props.total) return <p class="soft reading">…</p>;
  const rest = props.total - props.known;
  const words = props.known
    ? `${count(props.known)} of ${count(props.total)} tokens known, reading ${count(rest)} again`
    : `reading ${count(props.total)} tokens`;
  return (
    <p class="soft reading">{words}
      <progress value={props.read} max={props.total} aria-label="Reading the prompt" /></p>
  );
}
