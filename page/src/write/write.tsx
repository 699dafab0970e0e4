// The view in which a person and a model write one document.
import {useEffect, useRef, useState} from 'preact/hooks';
import {modelName} from '../lib/api';
import {Problem, Slider} from '../lib/dialog';
import {count, percent, tokenLabel, visible} from '../lib/text';
import {changed, changes, childrenOf, document_, edit, lineTo, loadDocument, massOf, predict, previews, problem, removePiece, running,
  settings, takeAlternative, textTo, type Piece} from './document';

interface Place { piece: Piece; index: number; x: number; y: number }

// How surprising a token was, in five steps.
function shade(p: number): number {
  const bits = -Math.log2(Math.max(p, 1e-9));
  return bits < 1 ? 0 : bits < 3 ? 1 : bits < 6 ? 2 : bits < 9 ? 3 : 4;
}

function Alternatives(props: {place: Place, close: () => void}) {
  const {piece, index} = props.place;
  const token = piece.tokens[index]!;
  const [ahead, setAhead] = useState<string[]>([]);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const stop = new AbortController();
    setAhead([]);
    previews(piece, index, 10, stop.signal).then(setAhead, () => {});
    return () => stop.abort();
  }, [piece.id, index]);
  useEffect(() => { box.current?.querySelector('button')?.focus(); }, [piece.id, index]);
  const listed = token.others.some((one) => one.text === token.text) ? token.others : [{text: token.text, p: token.p}, ...token.others];
  return (
    <div class="alternatives" ref={box} role="dialog" aria-label={'Alternatives to ' + tokenLabel(token.text)}
      style={{left: props.place.x + 'px', top: props.place.y + 'px'}}
      onKeyDown={(event) => {
        const buttons = [...box.current!.querySelectorAll('button')], at = buttons.indexOf(document.activeElement as HTMLButtonElement);
        if (event.key === 'Escape') { event.stopPropagation(); props.close(); }
        if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
          event.preventDefault();
          buttons[(at + (event.key === 'ArrowDown' ? 1 : -1) + buttons.length) % buttons.length]?.focus();
        }
      }}>
      {listed.map((one) => (
        <button key={one.text} class={one.text === token.text ? 'plain on' : 'plain'} onClick={() => { props.close(); takeAlternative(piece, index, one.text); }}>
          <span class="bar-ground"><i style={{width: 100 * one.p + '%'}} /></span>
          <span class="figures">{percent(one.p)}</span><code>{tokenLabel(one.text)}</code>
          <span class="ahead">{visible(ahead[token.others.indexOf(one)] ?? '').replace(/\n/g, '⏎')}</span>
        </button>))}
    </div>
  );
}

function Page(props: {open: (place: Place) => void}) {
  void changes.value;
  const line = lineTo(document_.value.at);
  const box = useRef<HTMLDivElement>(null);
  const show = (piece: Piece, index: number, element: HTMLElement) => {
    const outer = box.current!.closest('.sheet')!.getBoundingClientRect(), at = element.getBoundingClientRect();
    props.open({piece, index, x: Math.max(0, Math.min(at.left - outer.left, outer.width - 330)), y: at.bottom - outer.top + box.current!.closest('.sheet')!.scrollTop + 4});
  };
  // One tab stop; arrows go from token to token.
  const onKey = (event: KeyboardEvent) => {
    const tokens = [...box.current!.querySelectorAll<HTMLElement>('[data-token]')], at = tokens.indexOf(document.activeElement as HTMLElement);
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (step && tokens.length) {
      event.preventDefault();
      const next = tokens[Math.max(0, Math.min(tokens.length - 1, at < 0 ? tokens.length - 1 : at + step))]!;
      tokens.forEach((one) => { one.tabIndex = one === next ? 0 : -1; });
      next.focus();
    }
  };
  let total = 0;
  return (
    <div class="page prose" ref={box} onKeyDown={onKey} role="group" aria-label="The text, token by token">
      {line.map((piece) => (piece.tokens.length === 0
        ? <span key={piece.id} class="own">{visible(piece.text)}</span>
        : <span key={piece.id}>{piece.tokens.map((token, i) => (
            <span key={i} data-token role="button" tabIndex={total++ === 0 ? 0 : -1} class={'t s' + shade(token.p)} title={percent(token.p)}
              aria-label={`${tokenLabel(token.text)}, ${percent(token.p)}`}
              onClick={(event) => show(piece, i, event.currentTarget)}
              onKeyDown={(event) => { if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); event.stopPropagation(); show(piece, i, event.currentTarget); } }}>
              {visible(token.text)}</span>))}</span>))}
      {line.length === 0 && <p class="soft">Write a beginning, and let the model go on. Every token it writes can be exchanged for another.</p>}
    </div>
  );
}

function Branch(props: {piece: Piece, depth: number}) {
  const {piece} = props;
  void changes.value;
  const doc = document_.value, children = childrenOf(piece.id), on = lineTo(doc.at).some((one) => one.id === piece.id);
  const mass = piece.tokens.length ? massOf(piece) : 1;
  const perToken = piece.tokens.length ? mass ** (1 / piece.tokens.length) : 1;
  return (
    <li>
      <div class={'branch' + (on ? ' on' : '') + (doc.at === piece.id ? ' here' : '')}>
        <button class="plain" aria-current={doc.at === piece.id ? 'true' : undefined} onClick={() => { doc.at = piece.id; changed(); }}>
          {piece.tokens.length > 0 && <span class="mass" title={`probability of these tokens: ${mass.toExponential(1)}`}><i style={{width: 100 * perToken + '%'}} /></span>}
          <span class="snippet">{visible(piece.text.trim().slice(0, 90)) || '⏎'}</span>
          {piece.tokens.length > 0 && <span class="figures soft">2<sup>−{Math.round(-Math.log2(mass))}</sup></span>}
        </button>
        <button class="plain" aria-label="Remove this branch" onClick={() => removePiece(piece.id)}>✕</button>
      </div>
      {children.length > 0 && <ul class={children.length > 1 && props.depth < 8 ? 'inner' : ''}>{children.map((one) => <Branch key={one.id} piece={one} depth={props.depth + (children.length > 1 ? 1 : 0)} />)}</ul>}
    </li>
  );
}

function Loom() {
  void changes.value;
  const roots = childrenOf('');
  return (
    <aside class="loom" aria-label="Loom">
      <h2>Loom</h2>
      <p class="soft">Every continuation stays. The bar is the mean probability of a token, the number that of the whole branch.</p>
      {roots.length > 0 && <ul>{roots.map((one) => <Branch key={one.id} piece={one} depth={0} />)}</ul>}
    </aside>
  );
}

export default function Write() {
  const [place, setPlace] = useState<Place | null>(null);
  const [typing, setTyping] = useState(false);
  const go = (branches?: number) => { setTyping(false); setPlace(null); predict(branches); };
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => { loadDocument(); }, []);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === 'Escape') running.value?.abort();
      if ((event.ctrlKey || event.metaKey) && event.key === 'Enter') { event.preventDefault(); go(event.shiftKey ? settings.value.branches : 1); }
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
  useEffect(() => { if (typing && document.activeElement !== area.current) { area.current!.focus(); area.current!.setSelectionRange(1e9, 1e9); } }, [typing]);
  void changes.value, modelName.value;
  const doc = document_.value, line = lineTo(doc.at), last = line.at(-1);
  const set = (name: keyof typeof settings.value) => (value: number) => { settings.value = {...settings.value, [name]: value}; };
  const undo = () => { if (last) { doc.at = last.parent; changed(); } };
  const redo = childrenOf(doc.at).at(-1);
  const words = textTo(doc.at);
  return (
    <main class="write" tabIndex={-1}>
      <section class="paper" aria-label="Document">
        <div class="tools">
          {running.value
            ? <button onClick={() => running.value?.abort()}>Stop <kbd>Esc</kbd></button>
            : <button class="main" onClick={() => go()}>Go on <kbd>Ctrl ⏎</kbd></button>}
          <button disabled={!!running.value} onClick={() => go(settings.value.branches)}>{settings.value.branches} branches <kbd>Ctrl ⇧ ⏎</kbd></button>
          <button disabled={!last || !!running.value} onClick={() => { const parent = last!.parent; doc.at = parent; go(); }}>Again</button>
          <button class="plain" disabled={!last} onClick={undo}>Back</button>
          <button class="plain" disabled={!redo} onClick={() => { doc.at = redo!.id; changed(); }}>Forth</button>
          <button class="plain" aria-pressed={typing} onClick={() => { setPlace(null); setTyping(!typing); }}>{typing ? 'Look' : 'Edit'}</button>
          <span class="soft figures">{count(words.length)} characters</span>
        </div>
        <Problem text={problem.value} close={() => { problem.value = ''; }} />
        <div class="sheet">
          {typing || line.length === 0
            ? <textarea ref={area} class="prose" aria-label="Text" placeholder="It was a delightful visit;" value={words} onFocus={() => setTyping(true)} onInput={(event) => edit(event.currentTarget.value)} />
            : <Page open={setPlace} />}
          {place && <Alternatives place={place} close={() => setPlace(null)} />}
        </div>
        <div class="dials">
          <Slider label="Temperature" value={settings.value.temperature} min={0} max={2} step={0.05} set={set('temperature')} />
          <Slider label="Top-p" value={settings.value.top_p} min={0.05} max={1} step={0.01} off={1} set={set('top_p')} />
          <Slider label="Tokens" value={settings.value.tokens} min={1} max={200} step={1} set={set('tokens')} />
          <Slider label="Branches" value={settings.value.branches} min={2} max={12} step={1} set={set('branches')} />
        </div>
      </section>
      <Loom />
    </main>
  );
}
