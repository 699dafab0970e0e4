// How far back predictions look: those from the last k tokens alone against those from the whole text.
import {useEffect} from 'preact/hooks';
import {Problem} from '../lib/dialog';
import {count, percent, significant} from '../lib/text';
import {sample, SampleText, useAnswer} from './shared';

interface Point { tokens: number; bits: number; agreement: number; places: number }
interface Reply { tokens: number; curve: Point[] }

export function Horizon() {
  const {answer, problem, busy, ask} = useAnswer<Reply>('v1/aviary/forgetting');
  const look = () => ask({text: sample.value, places: 12});
  useEffect(() => { look(); }, []);
  const curve = answer?.curve ?? [];
  const enough = curve.find((one) => one.bits < 0.1);
  const top = Math.max(1e-9, ...curve.map((one) => one.bits));
  return (
    <>
      <h2 class="big">How far back it looks</h2>
      <p class="soft lead">The next token is predicted from the whole text, and again from its last tokens alone. Where the two agree, what came before no longer matters.</p>
      <SampleText ask={look} busy={busy} action="Measure" rows={5} />
      <Problem text={problem} />
      {curve.length > 0 && <>
        <p class="sums">{enough ? <>From <b>{count(enough.tokens)}</b> tokens on, predictions differ by less than a tenth of a bit.</> : <>Even the last {count(curve.at(-1)!.tokens)} tokens are not enough: the text before them still matters.</>}
          <span class="soft"> {count(answer!.tokens)} tokens, {count(curve[0]!.places)} places.</span></p>
        <table class="horizon"><thead><tr><th scope="col">last tokens</th><th scope="col">bits apart</th><th scope="col"><span class="unseen">as a bar</span></th><th scope="col">same best guess</th></tr></thead>
          <tbody>{curve.map((one) => (
            <tr key={one.tokens}><th scope="row">{count(one.tokens)}</th><td>{significant(one.bits, 3)}</td><td class="wide"><span class="bar-ground"><i style={{width: 100 * one.bits / top + '%'}} /></span></td><td>{percent(one.agreement)}</td></tr>))}</tbody></table></>}
    </>
  );
}
