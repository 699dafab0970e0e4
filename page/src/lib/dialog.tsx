// Small parts that several views use.
import type {ComponentChildren} from 'preact';
import {useEffect, useRef} from 'preact/hooks';
import {signal} from '@preact/signals';

// A dialog over the page, closed by Esc, by its button and by a click beside it.
export function Dialog(props: {title: string, open: boolean, close: () => void, wide?: boolean, children: ComponentChildren}) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = element.current!;
    if (props.open && !dialog.open) {
      dialog.showModal();
      dialog.querySelector<HTMLElement>('input, textarea, select')?.focus();
    }
    if (!props.open && dialog.open) dialog.close();
  }, [props.open]);
  return (
    <dialog ref={element} class={props.wide ? 'wide' : ''} aria-label={props.title} onClose={props.close}
      onMouseDown={(event) => event.target === element.current && props.close()}>
      {props.open && <div class="dialog">
        <header><h2>{props.title}</h2><button class="plain" onClick={props.close} aria-label="Close">✕</button></header>
        {props.children}
      </div>}
    </dialog>
  );
}

// What is told to screen readers in passing.
const told = signal('');
export function tell(sentence: string) {
  told.value = sentence;
}
export function Told() {
  return <div class="unseen" role="status" aria-live="polite">{told.value}</div>;
}

export function Problem(props: {text: string, close?: () => void}) {
  if (!props.text) return null;
  return (
    <div class="problem" role="alert">
      <span>{props.text}</span>
      {props.close && <button class="plain" onClick={props.close} aria-label="Dismiss">✕</button>}
    </div>
  );
}

export function Slider(props: {
  label: string, value: number, min: number, max: number, step: number, set: (value: number) => void, hint?: string, off?: number,
}) {
  return (
    <label class="slider" title={props.hint}>
      <span>{props.label}</span>
      <output>{props.off !== undefined && props.value === props.off ? 'off' : props.value}</output>
      <input type="range" min={props.min} max={props.max} step={props.step} value={props.value}
        onInput={(event) => props.set(Number(event.currentTarget.value))} />
    </label>
  );
}
