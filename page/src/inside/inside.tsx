// Looking inside: what a model remembers, for how long, and what surprises it.
import {useEffect, useState} from 'preact/hooks';
import {modelName} from '../lib/api';
import {Atlas} from './atlas';
import {Flow} from './flow';
import {Surprise} from './surprise';
import {Trace} from './trace';
import {Horizon} from './horizon';

const parts = [
  {name: 'surprise', title: 'Surprise', hint: 'how well each token is foreseen', view: Surprise},
  {name: 'atlas', title: 'Decay atlas', hint: 'how long each channel holds', view: Atlas},
  {name: 'flow', title: 'State', hint: 'the memory while text flows', view: Flow},
  {name: 'trace', title: 'Trace of a word', hint: 'who remembers it, and how long', view: Trace},
  {name: 'horizon', title: 'Horizon', hint: 'how far back predictions look', view: Horizon},
];

export default function Inside() {
  const named = () => parts.find((one) => one.name === location.hash.split('/')[2]) ?? parts[0]!;
  const [part, setPart] = useState(named);
  useEffect(() => {
    const onHash = () => setPart(named());
    addEventListener('hashchange', onHash);
    return () => removeEventListener('hashchange', onHash);
  }, []);
  const View = part.view;
  return (
    <main class="inside" tabIndex={-1}>
      <nav aria-label="Ways to look inside"><ul>{parts.map((one) => (
        <li key={one.name}><a href={'#/inside/' + one.name} aria-current={one === part ? 'page' : undefined}>{one.title}<span class="soft">{one.hint}</span></a></li>))}</ul></nav>
      <div class="view"><View key={modelName.value} /></div>
    </main>
  );
}
