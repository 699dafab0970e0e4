// A conversation is a tree: every edit and every new reply is a branch.
import {newId} from '../lib/text';

export interface Node {
  id: string;
  parent: string;  // '' for the first messages
  role: 'user' | 'assistant';
  content: string;
  reasoning?: string;
  created: number;
  stats?: Stats;
  error?: string;
  model?: string;
}
export interface Stats {
  tokens: number;
  perSecond: number;
  prompt: number;
  known: number;  // tokens of the prompt that were not read again
  end: string;
}
export interface Settings {
  temperature: number;
  top_p: number;
  top_k: number;
  top_a: number;
  presence_penalty: number;
  frequency_penalty: number;
  max_tokens: number;
  seed: string;  // empty: drawn
  reasoning_effort: string;
}
export interface Conversation {
  id: string;
  title: string;
  created: number;
  updated: number;
  system: string;
  template: string;  // '': that of the model
  state: string;     // id or name of the state to begin from
  settings: Settings;
  nodes: Record<string, Node>;
  chosen: Record<string, string>;  // of each parent, the child that is shown
}

export const usualSettings: Settings = {
  temperature: 1, top_p: 0.85, top_k: 0, top_a: 0, presence_penalty: 0, frequency_penalty: 0, max_tokens: 512, seed: '',
  reasoning_effort: '',
};

export function newConversation(): Conversation {
  const now = Date.now();
  return {id: newId(), title: '', created: now, updated: now, system: '', template: '', state: '',
    settings: {...usualSettings}, nodes: {}, chosen: {}};
}

export function childrenOf(c: Conversation, parent: string): Node[] {
  return Object.values(c.nodes).filter((node) => node.parent === parent).sort((a, b) => a.created - b.created);
}

// The children of every message that has some, as childrenOf() tells them.
export function familiesOf(c: Conversation): Map<string, Node[]> {
  const families = new Map<string, Node[]>();
  for (const node of Object.values(c.nodes)) {
    const list = families.get(node.parent);
    list ? list.push(node) : families.set(node.parent, [node]);
  }
  for (const list of families.values()) list.sort((a, b) => a.created - b.created);
  return families;
}

// The messages that are shown, from the first to the last.
export function pathOf(c: Conversation, families: Map<string, Node[]>): Node[] {
  const path: Node[] = [];
  let parent = '';
  while (true) {
    const children = families.get(parent);
    if (!children?.length) return path;
    const node = children.find((one) => one.id === c.chosen[parent]) ?? children.at(-1)!;
    path.push(node);
    parent = node.id;
  }
}

// The messages before and including this one.
export function lineTo(c: Conversation, id: string): Node[] {
  const line: Node[] = [];
  for (let node: Node | undefined = c.nodes[id]; node; node = c.nodes[node.parent]) line.unshift(node);
  return line;
}

export function add(c: Conversation, parent: string, role: Node['role'], content: string): Node {
  const siblings = childrenOf(c, parent);
  const after = siblings.length ? siblings[siblings.length - 1]!.created + 1 : 0;
  const node: Node = {id: newId(), parent, role, content, created: Math.max(Date.now(), after)};
  c.nodes[node.id] = node;
  c.chosen[parent] = node.id;
  return node;
}

export function remove(c: Conversation, id: string) {
  const parent = c.nodes[id]?.parent ?? '';
  for (const child of childrenOf(c, id)) remove(c, child.id);
  delete c.nodes[id];
  delete c.chosen[id];
  if (c.chosen[parent] === id) delete c.chosen[parent];
}

// What a file from outside must be to be taken.
export function readConversation(value: any): Conversation {
  const text = (one: unknown) => (typeof one === 'string' ? one : '');
  if (!value || typeof value !== 'object' || typeof value.nodes !== 'object' || !value.nodes)
    throw new Error('This file has no conversation of this page.');
  const c = newConversation();
  c.title = text(value.title).slice(0, 200);
  c.system = text(value.system);
  c.template = text(value.template);
  for (const [name, usual] of Object.entries(usualSettings)) {
    const one = value.settings?.[name];
    if (typeof one === typeof usual) (c.settings as any)[name] = one;
  }
  for (const node of Object.values<any>(value.nodes)) {
    if (!node || (node.role !== 'user' && node.role !== 'assistant') || !text(node.id)) continue;
    c.nodes[node.id] = {id: node.id, parent: text(node.parent), role: node.role, content: text(node.content),
      created: Number(node.created) || 0, reasoning: text(node.reasoning)};
  }
  for (const node of Object.values(c.nodes)) {
    if (node.parent && !c.nodes[node.parent]) throw new Error('This file names a message that it does not have.');
    const seen = new Set<string>();
    for (let at: Node | undefined = node; at; at = c.nodes[at.parent]) {
      if (seen.has(at.id)) throw new Error('In this file a message comes after itself.');
      seen.add(at.id);
    }
  }
  for (const [parent, child] of Object.entries<any>(value.chosen ?? {}))
    if (c.nodes[child]?.parent === parent) c.chosen[parent] = child;
  return c;
}
