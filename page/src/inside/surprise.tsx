// How well each token was foreseen, in bits; two beginnings or two models side by side.
import {useEffect, useState} from 'preact/hooks';
import {about, currentModel} from '../lib/api';
import {Problem} from '../lib/dialog';
import {count, digits, percent, tokenLabel} from '../lib/text';
import {sample, SampleText, Tokens, useAnswer} from './shared';

interface Item { text: string; bits: number | null; rank: number; entropy: number; top: {text: string, p: number}[] }
interface Reply { first: string | null; tokens: Item[]; bits: number; bytes: number; bits_per_byte: number | null }

const most = 10;  // bits at which the color is full

export function Surprise() {
  const a = useAnswer<Reply>('v1/aviary/surprise'), b = useAnswer<Reply>('v1/aviary/surprise');
  const models = about.value?.models ?? [];
  const [context, setContext] = useState('');
  const [second, setSecond] = useState(models.find((one) => one.name !== currentModel()?.name)?.name ?? '');
  const [comparing, setComparing] = useState(false);
  const [at, setAt] = useState<number | null>(null);
  const look = () => {
    setAt(null);
    a.ask({text: sample.value});
    if (comparing) b.ask({text: sample.value, context, ...(second && {model: second})});
  };
  useEffect(look, [comparing]);
  const both = comparing && a.answer && b.answer;
  return (
    <>
      <h2 class="big">What surprises it</h2>
      <SampleText ask={look} busy={a.busy || b.busy} action="Look" />
      <div class="row compare-row">
        <label><input type="checkbox" checked={comparing} onChange={() => setComparing(!comparing)} /> beside another</label>
        {comparing && <>
          {models.length > 1 && <label>model <select value={second} onChange={(event) => setSecond(event.currentTarget.value)}>{models.map((one) => <option key={one.name}>{one.name}</option>)}</select></label>}
          <label class="grow"><span class="soft">after reading</span> <textarea rows={1} aria-label="Text that is read before" placeholder="a text that is read first" value={context} onInput={(event) => setContext(event.currentTarget.value)} /></label>
          <button onClick={look}>Compare</button></>}
      </div>
      <Problem text={a.problem || (comparing ? b.problem : '')} />
      {both ? <Difference a={a.answer!} b={b.answer!} at={at} choose={setAt} /> : a.answer && <One reply={a.answer} at={at} choose={setAt} />}
    </>
  );
}

function Sums(props: {reply: Reply, name?: string}) {
  const r = props.reply;
  return <p class="sums figures">{props.name && <span class="soft">{props.name}: </span>}<b>{r.bits_per_byte === null ? '–' : digits(r.bits_per_byte, 4)}</b> bits per byte
    <span class="soft"> · {digits(r.bits, 1)} bits for {count(r.bytes)} bytes in {count(r.tokens.length)} tokens</span></p>;
}

function Details(props: {item: Item}) {
  const one = props.item;
  return (
    <div class="details">
      <p class="figures"><code>{tokenLabel(one.text)}</code> cost <b>{digits(one.bits ?? NaN, 2)}</b> bits; it was guess number {count(one.rank)}, where {digits(one.entropy, 1)} bits were to be expected.</p>
      <ol class="tops">{one.top.map((other) => (
        <li key={other.text} class={other.text === one.text ? 'on' : ''}><span class="bar-ground"><i style={{width: 100 * other.p + '%'}} /></span><span class="figures">{percent(other.p)}</span><code>{tokenLabel(other.text)}</code></li>))}</ol>
    </div>
  );
}

function One(props: {reply: Reply, at: number | null, choose: (i: number) => void}) {
  const {reply} = props;
  return (
    <>
      <Sums reply={reply} />
      <Bars items={reply.tokens} at={props.at} />
      <Tokens lead={reply.first} tokens={reply.tokens.map((one) => one.text)} at={props.at} choose={props.choose}
        shade={(i) => (reply.tokens[i]!.bits ?? most) / most} hint={(i) => digits(reply.tokens[i]!.bits ?? NaN, 1) + ' bits'} />
      {props.at !== null && reply.tokens[props.at] && <Details item={reply.tokens[props.at]!} />}
    </>
  );
}

function Difference(props: {a: Reply, b: Reply, at: number | null, choose: (i: number) => void}) {
  const {a, b} = props;
  const same = a.tokens.length <= b.tokens.length + 1;
  // Without a text before it, the first token is not predicted.
  const shift = b.tokens.length - a.tokens.length;
  const gain = (i: number) => (a.tokens[i]!.bits ?? most) - (b.tokens[i + shift]?.bits ?? most);
  if (!same || shift < 0 || a.tokens.some((one, i) => b.tokens[i + shift]?.text !== one.text))
    return <><Sums reply={a} name="first" /><Sums reply={b} name="second" /><p class="soft">Their tokens differ, so only the sums can be compared.</p></>;
  const saved = a.tokens.reduce((sum, _, i) => sum + gain(i), 0);
  return (
    <>
      <Sums reply={a} name="first" /><Sums reply={b} name="second" />
      <p class="soft figures">The second saves {digits(saved, 1)} bits: <span class="swatch s1">less</span> and <span class="swatch s2">more</span> surprise than the first.</p>
      <Tokens tokens={a.tokens.map((one) => one.text)} at={props.at} choose={props.choose} shade={(i) => Math.abs(gain(i)) / 4}
        hue={(i) => (gain(i) > 0 ? 'series1' : 'series2')} hint={(i) => `${digits(gain(i), 2)} bits saved`} />
      {props.at !== null && a.tokens[props.at] && <div class="pair-wide"><Details item={a.tokens[props.at]!} /><Details item={b.tokens[props.at + shift]!} /></div>}
    </>
  );
}

// Bits of each token, and the running mean per token.
function Bars(props: {items: Item[], at: number | null}) {
  const n = props.items.length, top = Math.max(6, ...props.items.map((one) => one.bits ?? 0));
  if (n < 2) return null;
  let sum = 0;
  const mean = props.items.map((one, i) => { sum += one.bits ?? 0; return `${i + 0.5},${100 - 100 * sum / (i + 1) / top}`; });
  return (
    <svg class="bits" viewBox={`0 0 ${n} 100`} preserveAspectRatio="none" role="img"
      aria-label={`Bits per token: at most ${digits(top, 1)}, on average ${digits(sum / n, 2)}`}>
      {props.items.map((one, i) => <rect key={i} class={props.at === i ? 'on' : ''} x={i + 0.1} width={0.8} y={100 - 100 * (one.bits ?? 0) / top} height={100 * (one.bits ?? 0) / top} />)}
      <polyline points={mean.join(' ')} vector-effect="non-scaling-stroke" />
    </svg>
  );
}
