// How well the members of a comparison predict a token after so many others.
import {useEffect, useMemo, useState} from 'preact/hooks';
import {get} from '../lib/api';
import {count, digits} from '../lib/text';
import {Chart} from './chart';
import {chosen, colorOf} from './data';

interface Positions { context: number; members: {member: string, tokens: number[], loss: (number | null)[]}[] }

// runs: that of each member; finished: how many members have been measured.
export function PositionLoss(props: {study: number, runs: Map<string, number>, finished: number}) {
  const [found, setFound] = useState<Positions | null>(null);
  useEffect(() => {
    get<Positions>(`v1/aviary/studies/${props.study}/positions`).then(setFound, () => setFound(null));
  }, [props.study, props.finished]);
  const chosenRuns = chosen.value;
  const lines = useMemo(() => (found?.members ?? []).flatMap((one) => {
    const run = props.runs.get(one.member);
    return run !== undefined && chosenRuns.includes(run) ? [{name: one.member, color: colorOf(run), x: one.tokens, y: one.loss, dots: true}] : [];
  }), [found, chosenRuns]);
  const own = useMemo(() => ({
    log: true, ends: [1, Math.max(2, ...lines.map((line) => line.x.at(-1) ?? 1))] as [number, number], format: (value: number) => count(value),
    ...found && found.context > 0 && {mark: {x: found.context, text: 'trained length'}},
  }), [lines]);
  return lines.length > 0 ? <Chart title="Loss by tokens of context" lines={lines} height={220} format={(value) => digits(value, 4)} own={own} /> : null;
}
