// The conversations of this browser, and the reply that is being written.
import {computed, signal} from '@preact/signals';
import {currentModel, events, messageOf, wasStopped} from '../lib/api';
import {tell} from '../lib/dialog';
import {everything, forget, keep} from '../lib/keep';
import {add, familiesOf, lineTo, newConversation, pathOf, type Conversation, type Node} from './tree';

export const conversations = signal<Conversation[]>([]);
export const current = signal<Conversation>(newConversation());
// Grows when the current conversation has changed; its parts are changed in place.
export const changes = signal(0);
// Grows with every piece of a reply that is being written.
export const pulses = signal(0);
// By parent, in the order in which they were made.
export const families = computed(() => (changes.value, familiesOf(current.value)));
export const path = computed(() => pathOf(current.value, families.value));

export interface Writing {
  conversation: string;
  node: string;
  stop: AbortController;
}
// How far the prompt of the reply has been read, in tokens.
export const reading = signal({read: 0, known: 0, total: 0});
export const writing = signal<Writing | null>(null);

export async function loadConversations() {
  try {
    const all = await everything<Conversation>('conversations');
    conversations.value = all.sort((a, b) => b.updated - a.updated);
  } catch { /* a private window without storage: nothing is kept */ }
}

export function changed(c: Conversation, save = true) {
  changes.value++;
  if (!save || Object.keys(c.nodes).length === 0) return;
  c.updated = Date.now();
  if (!conversations.value.includes(c)) conversations.value = [c, ...conversations.value];
  else conversations.value = [...conversations.value].sort((a, b) => b.updated - a.updated);
  saveSoon(c);
}

const unsaved = new Set<Conversation>();

// Keeps it when what is shown has been shown: to copy a long conversation takes a while.
function saveSoon(c: Conversation) {
  if (unsaved.size === 0) setTimeout(() => {
    for (const one of unsaved) keep('conversations', one).catch(() => {});
    unsaved.clear();
  });
  unsaved.add(c);
}

export function select(c: Conversation) {
  current.value = c;
  changes.value++;
}

export function drop(c: Conversation) {
  if (writing.value?.conversation === c.id) writing.value.stop.abort();
  unsaved.delete(c);
  conversations.value = conversations.value.filter((one) => one !== c);
  forget('conversations', c.id).catch(() => {});
  if (current.value === c) select(newConversation());
}

// What is sent for the reply to the message `last`.
export function bodyOf(c: Conversation, last: string): Record<string, unknown> {
  const messages: {role: string, content: string}[] = [];
  if (c.system) messages.push({role: 'system', content: c.system});
  for (const node of lineTo(c, last)) messages.push({role: node.role, content: node.content});
  const s = c.settings;
  const body: Record<string, unknown> = {
    model: currentModel()?.name, messages, temperature: s.temperature, top_p: s.top_p, top_k: s.top_k, top_a: s.top_a,
    presence_penalty: s.presence_penalty, frequency_penalty: s.frequency_penalty, max_tokens: s.max_tokens,
  };
  if (s.seed.trim()) body.seed = Number(s.seed);
  if (s.reasoning_effort) body.reasoning_effort = s.reasoning_effort;
  if (c.template) body.chat_template = c.template;
  if (c.state) body.state = c.state;
  return body;
}

export function send(c: Conversation, parent: string, content: string) {
  const node = add(c, parent, 'user', content);
  if (!c.title) c.title = content.trim().split('\n')[0]!.slice(0, 60);
  reply(c, node.id);
}

// Writes a reply after the message `parent`, as a new branch if there is one already.
export async function reply(c: Conversation, parent: string) {
  writing.value?.stop.abort();
  const node = add(c, parent, 'assistant', '');
  node.model = currentModel()?.name;
  const mine: Writing = {conversation: c.id, node: node.id, stop: new AbortController()};
  reading.value = {read: 0, known: 0, total: 0};
  writing.value = mine;
  changed(c);
  tell('Generating');
  let waiting = false;
  const show = () => {  // at most once per frame
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      pulses.value++;
    });
  };
  try {
    await shown();
    const body = bodyOf(c, parent);
    const stream = events('v1/chat/completions',
      {...body, stream: true, stream_options: {include_usage: true}, return_progress: true}, mine.stop.signal);
    for await (const event of stream) take(node, mine, event, show);
    tell('Reply complete');
  } catch (error) {
    if (wasStopped(error)) {
      node.stats = {...(node.stats ?? {tokens: 0, perSecond: 0, prompt: 0, known: 0}), end: 'stopped'};
      tell('Stopped');
    } else {
      node.error = messageOf(error);
    }
  }
  if (writing.value === mine) writing.value = null;
  changed(c);
}

// The page has a moment for itself.
const shown = () => new Promise((done) => setTimeout(done));

function take(node: Node, mine: Writing, event: any, show: () => void) {
  const choice = event.choices?.[0];
  if (event.prompt_progress && writing.value === mine) {
    const p = event.prompt_progress;
    reading.value = {read: p.processed, known: p.cache, total: p.total};
  }
  if (choice?.delta?.reasoning_content) node.reasoning = (node.reasoning ?? '') + choice.delta.reasoning_content;
  if (choice?.delta?.content) node.content += choice.delta.content;
  const stats = (node.stats ??= {tokens: 0, perSecond: 0, prompt: 0, known: 0, end: ''});
  if (choice?.finish_reason) stats.end = choice.finish_reason;
  if (event.timings) Object.assign(stats, {tokens: event.timings.predicted_n, perSecond: event.timings.predicted_per_second});
  if (event.usage) Object.assign(stats, {
    tokens: event.usage.completion_tokens, prompt: event.usage.prompt_tokens,
    known: event.usage.prompt_tokens_details?.cached_tokens ?? 0,
  });
  show();
}
