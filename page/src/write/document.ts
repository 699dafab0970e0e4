// One document that a person and a model write together, as a tree: every continuation is a branch that stays.
import {signal} from '@preact/signals';
import {currentModel, events, messageOf, post, wasStopped} from '../lib/api';
import {tell} from '../lib/dialog';
import {everything, keep} from '../lib/keep';
import {newId} from '../lib/text';

export interface Alternative { text: string; p: number }
export interface Token { text: string; p: number; others: Alternative[] }
// A piece of text: what a person wrote, or what the model wrote after its parent.
export interface Piece {
  id: string;
  parent: string;
  text: string;
  tokens: Token[];  // of the model; empty for a person's text
  created: number;
}
export interface Document {
  id: string;
  updated: number;
  pieces: Record<string, Piece>;
  at: string;  // the text is that of this piece and of those before it
}

export const document_ = signal<Document>({id: 'document', updated: 0, pieces: {}, at: ''});
export const changes = signal(0);
export const problem = signal('');
export const running = signal<AbortController | null>(null);
export const settings = signal({temperature: 1, top_p: 0.85, tokens: 40, branches: 3});

export async function loadDocument() {
  try {
    const [kept] = await everything<Document>('documents');
    if (kept?.pieces && !Object.keys(document_.value.pieces).length) { document_.value = kept; changes.value++; }
  } catch { /* without storage nothing is kept */ }
}
export function changed() {
  document_.value.updated = Date.now();
  changes.value++;
  keep('documents', structuredClone(document_.value)).catch(() => {});
}

export function lineTo(id: string): Piece[] {
  const line: Piece[] = [];
  for (let piece = document_.value.pieces[id]; piece; piece = document_.value.pieces[piece.parent]) line.unshift(piece);
  return line;
}
export function textTo(id: string): string {
  return lineTo(id).map((piece) => piece.text).join('');
}
export function childrenOf(id: string): Piece[] {
  return Object.values(document_.value.pieces).filter((piece) => piece.parent === id).sort((a, b) => a.created - b.created);
}
export function massOf(piece: Piece): number {
  return piece.tokens.reduce((product, token) => product * token.p, 1);
}

function add(parent: string, text: string, tokens: Token[] = []): Piece {
  const piece: Piece = {id: newId(), parent, text, tokens, created: Date.now() + Object.keys(document_.value.pieces).length / 1e3};
  document_.value.pieces[piece.id] = piece;
  return piece;
}

// The document becomes this text; what the model wrote and is still there keeps its tokens.
export function edit(text: string) {
  const doc = document_.value;
  const line = lineTo(doc.at);
  let kept = '', parent = '';
  for (const piece of line) {
    if (!text.startsWith(kept + piece.text)) break;
    kept += piece.text;
    parent = piece.id;
  }
  const last = doc.pieces[parent];
  // Typing goes on in the same piece as long as nothing follows it.
  const rest = text.slice(kept.length);
  const open = line[line.findIndex((one) => one.id === parent) + 1];
  if (rest && open && !open.tokens.length && !childrenOf(open.id).length) {
    open.text = rest;
    doc.at = open.id;
  } else if (rest && last && !last.tokens.length && !childrenOf(last.id).length) {
    last.text += rest;
    doc.at = last.id;
  } else if (rest) {
    doc.at = add(parent, rest).id;
  } else {
    doc.at = parent;
  }
  changed();
}

function tokensOf(logprobs: any): Token[] {
  return (logprobs?.tokens ?? []).map((text: string, i: number): Token => {
    const top = Object.entries<number>(logprobs.top_logprobs?.[i] ?? {}).map(([other, logprob]) => ({text: other, p: Math.exp(logprob)}));
    return {text, p: Math.exp(logprobs.token_logprobs[i]), others: top.sort((a, b) => b.p - a.p)};
  });
}

// Lets the model write `branches` continuations after the current text.
export async function predict(branches = 1) {
  running.value?.abort();
  const stop = new AbortController();
  running.value = stop;
  problem.value = '';
  tell('Generating');
  const doc = document_.value, parent = doc.at;
  const pieces: (Piece | undefined)[] = [];
  let frame = false;
  try {
    const s = settings.value;
    const body = {model: currentModel()?.name, prompt: textTo(parent), max_tokens: s.tokens, temperature: s.temperature,
      top_p: s.top_p, n: branches, logprobs: 10, stream: true};
    for await (const event of events('v1/completions', body, stop.signal)) {
      for (const choice of event.choices ?? []) {
        const piece = (pieces[choice.index] ??= add(parent, ''));
        piece.text += choice.text ?? '';
        piece.tokens.push(...tokensOf(choice.logprobs));
        if (choice.index === 0) doc.at = piece.id;
      }
      if (!frame) { frame = true; requestAnimationFrame(() => { frame = false; changes.value++; }); }
    }
    tell('Ready');
  } catch (error) {
    if (!wasStopped(error)) problem.value = messageOf(error);
  }
  for (const piece of pieces) if (piece && !piece.text) delete doc.pieces[piece.id];
  if (doc.at && !doc.pieces[doc.at]) doc.at = parent;
  if (running.value === stop) running.value = null;
  changed();
}

// Goes on with another token at this place of a piece.
export function takeAlternative(piece: Piece, index: number, text: string) {
  const before = piece.tokens.slice(0, index), token = piece.tokens[index]!;
  const head = before.map((one) => one.text).join('');
  const p = token.others.find((one) => one.text === text)?.p ?? 0;
  document_.value.at = add(piece.parent, head + text, [...before, {text, p, others: token.others}]).id;
  changed();
  predict();
}

// What would come after each alternative: one request, a state copy each.
export async function previews(piece: Piece, index: number, count: number, stop: AbortSignal): Promise<string[]> {
  const head = textTo(piece.parent) + piece.tokens.slice(0, index).map((one) => one.text).join('');
  const prompts = piece.tokens[index]!.others.slice(0, count).map((one) => head + one.text);
  const reply = await post<{choices: {index: number, text: string}[]}>('v1/completions',
    {model: currentModel()?.name, prompt: prompts, max_tokens: 8, temperature: 0}, stop);
  const texts: string[] = [];
  for (const choice of reply.choices) texts[choice.index] = choice.text;
  return texts;
}

export function removePiece(id: string) {
  const doc = document_.value, parent = doc.pieces[id]?.parent ?? '';
  const line = new Set(lineTo(doc.at).map((piece) => piece.id));
  const drop = (one: string) => { for (const child of childrenOf(one)) drop(child.id); delete doc.pieces[one]; };
  drop(id);
  if (line.has(id)) doc.at = parent;
  changed();
}
