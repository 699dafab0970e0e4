// The memory of every head while a text flows through, and one head as a picture.
import {useEffect, useMemo, useState} from 'preact/hooks';
import {Problem} from '../lib/dialog';
import {count, significant, tokenLabel} from '../lib/text';
import {Heat, sample, SampleText, Tokens, useAnswer, type Head} from './shared';

interface Reply { heads: Head[]; tokens: string[]; size: number[]; change: number[] }
interface Picture { head: Head; numbers: number[] }

// [tokens, heads] -> one row per head.
function turned(numbers: number[], heads: number): number[] {
  const tokens = numbers.length / heads;
  return Array.from({length: numbers.length}, (_, i) => numbers[(i % tokens) * heads + Math.floor(i / tokens)]!);
}

export function Flow() {
  const {answer, problem, busy, ask} = useAnswer<Reply>('v1/aviary/flow');
  const picture = useAnswer<Picture>('v1/aviary/head');
  const [at, setAt] = useState(0);
  const [head, setHead] = useState(0);
  const [what, setWhat] = useState<'change' | 'size'>('change');
  const [text, setText] = useState('');
  const look = () => { setText(sample.value); ask({text: sample.value}); };
  useEffect(look, []);
  useEffect(() => { if (answer) setAt(answer.tokens.length - 1); }, [answer]);
  useEffect(() => {
    if (answer && head < answer.heads.length) picture.ask({text, head, tokens: Math.min(at + 1, answer.tokens.length)});
  }, [answer, head, at]);
  const numbers = useMemo(() => answer && turned(what === 'size' ? answer.size : answer.change, answer.heads.length), [answer, what]);
  const name = (one: Head) => `layer ${one.layer}, head ${one.head}`;
  return (
    <>
      <h2 class="big">The memory while text flows</h2>
      <SampleText ask={look} busy={busy} action="Read" />
      <Problem text={problem} />
      {answer && numbers && <>
        <div class="row flow-row">
          <fieldset class="choice"><legend class="unseen">Shown</legend>
            {(['change', 'size'] as const).map((one) => <label key={one}><input type="radio" name="what" checked={what === one} onChange={() => setWhat(one)} /><span>{one}</span></label>)}</fieldset>
          <span class="soft">{what === 'change' ? 'how much of a head’s memory each token replaced' : 'the mean size of the numbers in a head’s memory'}; a row is a head, layer 0 at the top</span></div>
        <Heat numbers={numbers} columns={answer.tokens.length} height={Math.min(420, Math.max(150, answer.heads.length * 9))} mark={at} top={what === 'change' ? 1 : undefined}
          label={`${what} of ${count(answer.heads.length)} heads over ${count(answer.tokens.length)} tokens.`}
          describe={(column, row, value) => `${name(answer.heads[row]!)}, after “${tokenLabel(answer.tokens[column]!)}”: ${significant(value ?? NaN, 3)}`}
          pick={(column, row) => { setAt(column); setHead(row); }} />
        <label class="scrub"><span class="unseen">Token</span><input type="range" min={0} max={answer.tokens.length - 1} value={at} onInput={(event) => setAt(Number(event.currentTarget.value))}
          aria-valuetext={tokenLabel(answer.tokens[at] ?? '')} /></label>
        <div class="flow-below">
          <Tokens tokens={answer.tokens} at={at} choose={setAt} shade={(i) => answer.change[i * answer.heads.length + head]!} hue={() => 'series1'}
            hint={(i) => `changed ${significant(100 * answer.change[i * answer.heads.length + head]!, 2)} % of ${name(answer.heads[head]!)}`} />
          <section class="one-head" aria-label="One head">
            <label class="field"><span>Head after the token</span>
              <select value={head} onChange={(event) => setHead(Number(event.currentTarget.value))}>{answer.heads.map((one, i) => <option key={i} value={i}>{name(one)}</option>)}</select></label>
            <Problem text={picture.problem} />
            {picture.answer && <Heat numbers={picture.answer.numbers} columns={picture.answer.head.side || 8} signed height={picture.answer.head.side ? 260 : 200}
              label={`The memory of ${name(picture.answer.head)}: ${count(picture.answer.numbers.length)} numbers.`}
              describe={(column, row, value) => `row ${row}, column ${column}: ${significant(value ?? NaN, 3)}`} />}
          </section>
        </div></>}
    </>
  );
}
