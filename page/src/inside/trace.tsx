// The trace of a word: the same text is read with it and with another, and the memories are compared.
import {useEffect, useMemo, useState} from 'preact/hooks';
import {Problem} from '../lib/dialog';
import {count, percent, significant, tokenLabel} from '../lib/text';
import {Heat, useAnswer, type Head} from './shared';

interface Reply { heads: Head[]; tokens: string[]; difference: number[]; effect: number[] }

export function Trace() {
  const {answer, problem, busy, ask} = useAnswer<Reply>('v1/aviary/trace');
  const [before, setBefore] = useState('The letter was from');
  const [word, setWord] = useState(' Elizabeth');
  const [other, setOther] = useState(' Catherine');
  const [rest, setRest] = useState(', and it was very long. It spoke of the weather, of the roads, and of the ball at which they had all been so happy; '
    + 'it gave the news of the neighbourhood, and ended with kind wishes to the whole family. They read it twice, and were silent for some time.');
  const [share, setShare] = useState(0.1);
  const look = () => ask({before, word, other, rest});
  useEffect(() => { look(); }, []);
  const heads = answer?.heads.length ?? 0, steps = answer ? answer.tokens.length + 1 : 0;
  const numbers = useMemo(() => answer && Array.from({length: answer.difference.length}, (_, i) => answer.difference[(i % steps) * heads + Math.floor(i / steps)]!), [answer]);
  // Of each head, the last token after which the memories still differ by this share.
  const lasting = useMemo(() => {
    if (!answer) return [];
    return answer.heads.map((head, h) => {
      let last = -1;
      for (let t = 0; t < steps; ++t) if (answer.difference[t * heads + h]! >= share) last = t;
      let sum = 0;
      for (let t = 0; t < steps; ++t) sum += answer.difference[t * heads + h]!;
      return {head, last, mean: sum / steps, end: answer.difference[(steps - 1) * heads + h]!};
    }).sort((a, b) => b.last - a.last || b.mean - a.mean);
  }, [answer, share]);
  const name = (one: Head) => `layer ${one.layer}, head ${one.head}`;
  const labelAt = (t: number) => (t === 0 ? 'after the word' : `after “${tokenLabel(answer!.tokens[t - 1]!)}”`);
  return (
    <>
      <h2 class="big">The trace of a word</h2>
      <form class="trace-form" onSubmit={(event) => { event.preventDefault(); look(); }}>
        <label class="field"><span>Before</span><textarea rows={2} value={before} onInput={(event) => setBefore(event.currentTarget.value)} /></label>
        <label class="field"><span>Word</span><input value={word} onInput={(event) => setWord(event.currentTarget.value)} /></label>
        <label class="field"><span>In its place</span><input value={other} onInput={(event) => setOther(event.currentTarget.value)} /></label>
        <label class="field wide"><span>After</span><textarea rows={2} value={rest} onInput={(event) => setRest(event.currentTarget.value)} /></label>
        <button type="submit" class="main" disabled={busy || !word || !other || !rest}>{busy ? 'Reading twice…' : 'Trace'}</button>
      </form>
      <Problem text={problem} />
      {answer && numbers && <>
        <Effect reply={answer} />
        <Heat numbers={numbers} columns={steps} top={0.6} height={Math.min(420, Math.max(150, heads * 9))}
          label={`How far the memories of ${count(heads)} heads are apart over ${count(steps - 1)} tokens.`}
          describe={(column, row, value) => `${name(answer.heads[row]!)}, ${labelAt(column)}: ${percent(value ?? 0)} apart`} />
        <div class="row flow-row"><h3>Who remembers longest</h3>
          <label class="soft">at least <select value={share} onChange={(event) => setShare(Number(event.currentTarget.value))}>{[0.5, 0.2, 0.1, 0.05, 0.02, 0.01].map((one) => <option key={one} value={one}>{percent(one)}</option>)}</select> apart</label></div>
        <div class="table" tabIndex={0} role="region" aria-label="Heads by the length of their memory"><table>
          <thead><tr><th scope="col">head</th><th scope="col">lasts for</th><th scope="col">mean</th><th scope="col">at the end</th></tr></thead>
          <tbody>{lasting.slice(0, 20).map((one) => (
            <tr key={name(one.head)}><th scope="row">{name(one.head)}</th><td>{one.last < 0 ? 'not at all' : one.last >= steps - 1 ? `all ${count(steps - 1)} tokens` : `${count(one.last)} tokens`}</td>
              <td>{percent(one.mean)}</td><td>{percent(one.end)}</td></tr>))}</tbody></table></div>
      </>}
    </>
  );
}

// What the word still does to the predictions.
function Effect(props: {reply: Reply}) {
  const {effect, tokens} = props.reply, n = effect.length, top = Math.max(0.1, ...effect);
  const last = effect[n - 1]!, half = effect.reduce((sum, x) => sum + x, 0) / 2;
  let sum = 0;
  const middle = effect.findIndex((x) => (sum += x) >= half);
  return (
    <figure class="effect"><figcaption class="soft figures">What it still does to predictions: {significant(effect[0]!, 2)} bits after the word, {significant(last, 2)} at the end;
      half of its effect has passed {middle === 0 ? 'with the next token' : `after “${tokenLabel(tokens[middle - 1] ?? '')}”`}.</figcaption>
      <svg class="bits" viewBox={`0 0 ${n} 100`} preserveAspectRatio="none" role="img" aria-label={`Divergence of the predictions in bits, at most ${significant(top, 2)}`}>
        {effect.map((x, i) => <rect key={i} x={i + 0.1} width={0.8} y={100 - 100 * x / top} height={100 * x / top} />)}</svg></figure>
  );
}
