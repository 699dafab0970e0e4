// Writing a model in another type, and measuring its speed; only where the program was started with --control.
import {useEffect, useState} from 'preact/hooks';
import {about, get, messageOf, post} from '../lib/api';
import {Problem, tell} from '../lib/dialog';
import {bytes, count, percent, significant, visible} from '../lib/text';

interface Rate { batch: number; tokens_per_second: number; share_of_limit?: number; share_of_product_peak?: number; tokens?: number }
interface Measured {
  prompt?: Rate; decode?: Rate[]; first_token_seconds: number; weight_bytes_per_token: number; products: string; read_limit_gigabytes_per_second: number;
  machine: {threads: number, f32_gflops: number, bf16_gflops: number};
}
interface Task { id: number; kind: 'convert' | 'bench'; model: string; state: 'running' | 'done' | 'failed'; text: string; file?: string; measured?: Measured | null }

const lookAgain = 500;  // ms
const lastLine = (text: string) => text.trim().split('\n').at(-1) ?? '';

function Bars(props: {measured: Measured}) {
  const {prompt, decode, machine} = props.measured;
  const rows: {name: string, rate: number, share: number}[] = [
    ...prompt ? [{name: `prompt of ${count(prompt.tokens ?? 0)}`, rate: prompt.tokens_per_second, share: prompt.share_of_product_peak ?? 0}] : [],
    ...(decode ?? []).map((one) => ({name: one.batch === 1 ? 'decode' : `decode, batch ${one.batch}`, rate: one.tokens_per_second, share: one.share_of_limit ?? 0})),
  ];
  return (
    <>
      <table class="speeds"><thead><tr><th scope="col">what</th><th scope="col">tokens/s</th><th scope="col">of the limit</th><th scope="col"><span class="unseen">bar</span></th></tr></thead>
        <tbody>{rows.map((one) => (
          <tr key={one.name}><th scope="row">{one.name}</th><td>{count(Number(one.rate.toPrecision(3)))}</td><td>{percent(one.share)}</td>
            <td class="wide-cell"><span class="bar-ground" aria-hidden="true"><i style={{width: 100 * Math.min(1, one.share) + '%'}} /></span></td></tr>))}</tbody></table>
      <p class="soft small-note">A prompt is limited by products ({significant(machine.bf16_gflops || machine.f32_gflops)} GFLOP/s in {machine.bf16_gflops ? 'bf16' : 'f32'} on {machine.threads} {machine.threads === 1 ? 'thread' : 'threads'}),
        decoding by reading {bytes(props.measured.weight_bytes_per_token)} for each token at {significant(props.measured.read_limit_gigabytes_per_second)} GB/s. {visible(props.measured.products)}.</p>
    </>
  );
}

function Result(props: {task: Task}) {
  const {task} = props, name = visible(task.model);
  if (task.state === 'failed') return <p class="warn">{task.kind === 'convert' ? `${name} was not converted` : `${name} was not measured`}: {visible(task.text)}</p>;
  if (task.kind === 'convert')
    return (
      <>
        <p>{name} is now also in <code>{visible(task.file ?? '')}</code>. <span class="soft">To look at it or talk with it: <code>aviary serve FILE</code>.</span></p>
        <pre class="plan" tabIndex={0} role="region" aria-label="What aviary convert says">{visible(task.text)}</pre>
      </>
    );
  return task.measured ? <Bars measured={task.measured} /> : <p class="warn">The measurement of {name} cannot be read.</p>;
}

export function Work(props: {model: string}) {
  const [types, setTypes] = useState<string[]>([]);
  const [type, setType] = useState('q8_0');
  const [task, setTask] = useState<Task | null>(null);
  const [problem, setProblem] = useState('');
  const look = () => get<{types: string[], task: Task | null}>('v1/aviary/model-work').then((one) => {
    setTypes(one.types);
    setTask((before) => {
      if (before?.state === 'running' && one.task && one.task.state !== 'running') tell(one.task.state === 'done' ? 'Done' : visible(one.task.text));
      return one.task;
    });
  }, (error) => setProblem(messageOf(error)));
  const running = task?.state === 'running';
  useEffect(() => { look(); }, []);
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(look, lookAgain);
    return () => clearInterval(timer);
  }, [running]);
  const act = async (what: string, body: Record<string, unknown>) => {
    setProblem('');
    try {
      const begun = await post<Task>('v1/aviary/model-work/' + what, body);
      if (what !== 'stop') setTask(begun);
    } catch (error) { setProblem(messageOf(error)); }
  };
  return (
    <section class="work" aria-label="Convert and measure" aria-busy={running}>
      <div class="row">
        <label class="row">As <select aria-label="Type" value={type} onChange={(event) => setType(event.currentTarget.value)}>{types.map((one) => <option key={one}>{one}</option>)}</select></label>
        <button disabled={running || types.length === 0} onClick={() => act('convert', {model: props.model, type})}>Convert</button>
        <button disabled={running} onClick={() => act('bench', {model: props.model})}>Measure the speed</button>
      </div>
      {running && <div class="row"><progress aria-label={task.kind === 'convert' ? 'Converting' : 'Measuring'} />
        <span class="soft">{task.kind === 'convert' ? 'Converting' : 'Measuring'} {visible(task.model)} … {visible(lastLine(task.text))}</span>
        <button onClick={() => act('stop', {})}>Stop</button></div>}
      <Problem text={visible(problem)} close={() => setProblem('')} />
      {task && !running && <Result task={task} />}
    </section>
  );
}

export const mayWork = () => !!about.value?.control;
