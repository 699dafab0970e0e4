// The decay atlas: the half-lives of all channels, layer by layer.
import {useEffect, useState} from 'preact/hooks';
import {Problem} from '../lib/dialog';
import {count, significant, tokens} from '../lib/text';
import {useAnswer} from './shared';

interface Reply { note: string; layers: {layer: number, tensor: string, half_lives: (number | null)[]}[] }

const marks = [0.1, 1, 10, 100, 1e3, 1e4, 1e5, 1e6];
const quantile = (sorted: number[], share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;

const bins = 100;

// How many channels of a layer have half-lives around each place of the logarithmic axis, as a share of all.
function density(lives: number[], low: number, high: number): number[] {
  const counts: number[] = new Array(bins).fill(0);
  for (const life of lives) {
    const share = Math.log(Math.min(Math.max(life, low), high) / low) / Math.log(high / low);
    counts[Math.min(bins - 1, Math.floor(share * bins))]! += 1 / lives.length;
  }
  return counts.map((_, i) => [-2, -1, 0, 1, 2].reduce((sum, d) => sum + (counts[i + d] ?? 0) * [0.1, 0.2, 0.4, 0.2, 0.1][d + 2]!, 0));
}

function Ridge(props: {shares: number[], tall: number}) {
  const width = 1000, height = 100;
  const path = props.shares.map((n, i) => `${(i + 0.5) * width / bins},${height - 96 * n / props.tall}`).join(' L');
  return <svg viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true"><path d={`M0,${height} L${path} L${width},${height} Z`} /></svg>;
}

export function Atlas() {
  const {answer, problem, busy, ask} = useAnswer<Reply>('v1/aviary/decay');
  const [chosen, setChosen] = useState(0);
  useEffect(() => { ask({}); }, []);
  if (!answer) return <><Problem text={problem} />{busy && <p class="soft">Reading the tensors…</p>}</>;
  if (answer.layers.length === 0) return <p class="soft">This version has no decays: it keeps rows of its tokens instead.</p>;
  const layers = answer.layers.map((one) => ({...one, lives: one.half_lives.map((x) => x ?? Infinity).sort((a, b) => a - b)}));
  const all = layers.flatMap((one) => one.lives).filter(Number.isFinite);
  const low = Math.max(0.05, Math.min(...all) * 0.8), high = Math.max(...all, low * 10) * 1.25;
  const shares = layers.map((one) => density(one.lives, low, high)), tall = Math.max(...shares.flat());
  const share = (life: number) => 100 * (Math.log(life) - Math.log(low)) / (Math.log(high) - Math.log(low));
  const shown = marks.filter((one) => one >= low && one <= high);
  const one = layers[Math.min(chosen, layers.length - 1)]!;
  const longest = answer.layers[Math.min(chosen, layers.length - 1)]!.half_lives.map((life, channel) => ({life: life ?? Infinity, channel})).sort((a, b) => b.life - a.life);
  return (
    <>
      <h2 class="big">How long each channel holds</h2>
      <p class="soft lead">{answer.note} A half-life is the number of tokens after which half of what a channel took in is left.</p>
      <div class="atlas">
        <div class="ruler axis soft" aria-hidden="true">{shown.map((mark) => <span key={mark} style={{left: share(mark) + '%'}}>{count(mark) === '0' ? mark : count(mark)}</span>)}</div>
        {layers.map((layer, i) => (
          <button key={layer.tensor} class={'ridge' + (i === chosen ? ' on' : '')} aria-pressed={i === chosen} onClick={() => setChosen(i)}>
            <span class="name"><span class="unseen">Layer </span>{layer.layer}</span>
            <span class="hill">{shown.map((mark) => <i key={mark} style={{left: share(mark) + '%'}} />)}<Ridge shares={shares[i]!} tall={tall} />
              <b style={{left: share(Math.min(quantile(layer.lives, 0.5), high)) + '%'}} /></span>
            <span class="figures soft">{significant(quantile(layer.lives, 0.1), 2)} · <em>{significant(quantile(layer.lives, 0.5), 2)}</em> · {significant(quantile(layer.lives, 0.9), 2)}<span class="unseen"> tokens: what 90, 50 and 10 % of the channels exceed</span></span>
          </button>))}
        <p class="soft small-note">Left to right: tokens, logarithmic. The numbers are what 90, 50 and 10 % of the channels exceed; the line is the median.</p>
      </div>
      <section class="longest" aria-label={'Channels of layer ' + one.layer}><h3>Layer {one.layer}: the channels that hold longest</h3>
        <ol>{longest.slice(0, 12).map(({life, channel}) => <li key={channel}><span class="soft">channel {channel}</span> <span class="figures">{tokens(life)}</span></li>)}</ol>
        <p class="soft"><code>{one.tensor}</code>, {count(one.lives.length)} numbers</p></section>
    </>
  );
}
