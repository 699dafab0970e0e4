// The text that the template makes of a conversation, divided into tokens.
import {useEffect, useState} from 'preact/hooks';
import {currentModel, messageOf, post} from '../lib/api';
import {Problem} from '../lib/dialog';
import {count, tokenLabel} from '../lib/text';
import {bodyOf, current, path} from './session';

interface Piece { id: number; piece: string | number[] }
const mostPieces = 4000;

export function AsTheModelSeesIt() {
  const [pieces, setPieces] = useState<Piece[] | null>(null);
  const [problem, setProblem] = useState('');
  useEffect(() => {
    const c = current.value;
    const last = path.value.at(-1);
    const body = bodyOf(c, last?.id ?? '');
    if (!(body.messages as unknown[]).length) { setPieces([]); return; }
    (async () => {
      try {
        const {prompt} = await post<{prompt: string}>('apply-template', body);
        const {tokens} = await post<{tokens: Piece[]}>('tokenize', {model: currentModel()?.name, content: prompt, with_pieces: true});
        setPieces(tokens);
      } catch (error) { setProblem(messageOf(error)); }
    })();
  }, []);
  return (
    <div class="rendered">
      <Problem text={problem} />
      {pieces && <>
        <p class="soft">{count(pieces.length)} tokens. A space at the edge of a token is ␣, an end of a line ⏎; the number of a token is in its hint.
          {current.value.state && ' Before them comes the state ' + current.value.state + '.'}</p>
        <pre tabIndex={0} class="tokens">{pieces.slice(0, mostPieces).map((one, i) => {
          const text = typeof one.piece === 'string' ? one.piece : one.piece.map((b) => '\\x' + b.toString(16).padStart(2, '0')).join('');
          return <span key={i} title={'token ' + one.id}>{tokenLabel(text)}{text.endsWith('\n') ? '\n' : ''}</span>;
        })}</pre>
        {pieces.length > mostPieces && <p class="soft">The first {count(mostPieces)} are shown.</p>}
      </>}
    </div>
  );
}
