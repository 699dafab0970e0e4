// What the file of a model is made of.
import {useEffect, useState} from 'preact/hooks';
import {about, currentModel, messageOf, modelName, post} from '../lib/api';
import {Problem} from '../lib/dialog';
import {bytes, count, short, significant, visible} from '../lib/text';
import {Work, mayWork} from './work';

interface Tensor {
  name: string; type: string; shape: number[]; numbers: number; bytes: number;
  min: number | null; max: number | null; mean: number | null; deviation: number | null; not_finite: number;
}
interface File { format: string; bytes: number; problems: string[]; notes: string[]; tensors: Tensor[] }

const partOf = (name: string) => (/\.att|attn/.test(name) ? 'time mixing' : /\.ffn/.test(name) ? 'channel mixing' : /^(emb|head)/.test(name) ? name.split('.')[0]! : 'norms and others');
const colors: Record<string, string> = {'time mixing': 'series1', 'channel mixing': 'series2', emb: 'series3', head: 'series4', 'norms and others': 'series6'};
const layerOf = (name: string) => Number(/^blocks\.(\d+)\./.exec(name)?.[1] ?? -1);

function Picture(props: {file: File, chosen: string, choose: (name: string) => void}) {
  const layers = new Map<number, Tensor[]>();
  for (const tensor of props.file.tensors) {
    const layer = layerOf(tensor.name);
    layers.set(layer, [...(layers.get(layer) ?? []), tensor]);
  }
  const rows = [...layers].sort((a, b) => a[0] - b[0]);
  const size = (list: Tensor[]) => list.reduce((sum, one) => sum + one.bytes, 0);
  const most = Math.max(...rows.map(([, list]) => size(list)));
  return (
    <div class="stack" role="group" aria-label="Tensors by layer; the width is the size">
      {rows.map(([layer, list]) => (
        <div key={layer} class="layer"><span class="soft">{layer < 0 ? 'around' : 'layer ' + layer}</span>
          <div class="lane" style={{width: 100 * size(list) / most + '%'}}>
            {[...list].sort((a, b) => b.bytes - a.bytes).map((one) => (
              <i key={one.name} class={one.name === props.chosen ? 'on' : ''} title={`${one.name}: ${bytes(one.bytes)}`}
                style={{flexGrow: one.bytes, background: `var(--${colors[partOf(one.name)]})`}} onClick={() => props.choose(one.name)} />))}
          </div><span class="soft figures">{bytes(size(list))}</span></div>))}
    </div>
  );
}

export default function Models() {
  const [file, setFile] = useState<File | null>(null);
  const [problem, setProblem] = useState('');
  const [chosen, setChosen] = useState('');
  const [sort, setSort] = useState<'file' | 'size'>('file');
  useEffect(() => {
    setFile(null);
    post<File>('v1/aviary/tensors', {model: currentModel()?.name}).then((one) => { setFile(one); setProblem(''); }, (error) => setProblem(messageOf(error)));
  }, [modelName.value]);
  const model = (void about.value, currentModel());
  if (!model) return null;
  const tensors = file ? (sort === 'size' ? [...file.tensors].sort((a, b) => b.bytes - a.bytes) : file.tensors) : [];
  const types = new Map<string, number>();
  for (const one of file?.tensors ?? []) types.set(one.type, (types.get(one.type) ?? 0) + one.bytes);
  const facts: [string, string][] = [
    ['version', model.version], ['parameters', count(model.parameters)], ['layers', count(model.layers)], ['width', count(model.width)],
    ['vocabulary', count(model.vocabulary)], ['file', `${visible(model.path)}, ${file ? bytes(file.bytes) + ', ' + file.format : ''}`],
    ['stored as', [...types].map(([type, size]) => `${type} ${bytes(size)}`).join(', ')], ['conversations', model.chat_template],
    ['looks back', model.context ? count(model.context) + ' tokens' : 'without limit'], ['hash', model.digest],
  ];
  return (
    <main class="models" tabIndex={-1}>
      <section aria-label="Facts"><h2 class="big">{visible(model.name)}</h2>
        <dl>{facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd class="figures">{value}</dd></div>)}</dl>
        {file && <ul class="health">{file.problems.map((one) => <li key={one} class="warn">{visible(one)}</li>)}
          {file.problems.length === 0 && <li>All numbers are finite, every matrix is trained.</li>}
          {file.notes.map((one) => <li key={one} class="soft">{visible(one)}</li>)}</ul>}
        <Problem text={problem} />
        {mayWork() && <Work model={model.name} />}
      </section>
      {file && <section aria-label="Tensors" class="tensors">
        <div class="legend">{Object.entries(colors).map(([name, color]) => <span key={name}><i style={{background: `var(--${color})`}} />{name}</span>)}</div>
        <Picture file={file} chosen={chosen} choose={(name) => { setChosen(name); document.getElementById('tensor-' + name)?.scrollIntoView({block: 'center'}); }} />
        <div class="row"><h2>{count(file.tensors.length)} tensors</h2>
          <label>order <select value={sort} onChange={(event) => setSort(event.currentTarget.value as 'file' | 'size')}><option value="file">of the file</option><option value="size">by size</option></select></label></div>
        <div class="table" tabIndex={0} role="region" aria-label="Table of tensors"><table>
          <thead><tr><th scope="col">tensor</th><th scope="col">type</th><th scope="col">shape</th><th scope="col">numbers</th><th scope="col">min</th><th scope="col">max</th><th scope="col">mean</th><th scope="col">deviation</th></tr></thead>
          <tbody>{tensors.map((one) => (
            <tr key={one.name} id={'tensor-' + one.name} class={one.name === chosen ? 'on' : ''}><th scope="row">{visible(one.name)}</th><td>{one.type}</td><td>{one.shape.join(' × ')}</td>
              <td>{short(one.numbers)}</td>{[one.min, one.max, one.mean, one.deviation].map((x, i) => <td key={i}>{x === null ? '–' : significant(x, 4)}</td>)}</tr>))}</tbody>
        </table></div>
      </section>}
    </main>
  );
}
