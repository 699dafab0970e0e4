// Texts and numbers as people read them.

const direction = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const control = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g;

// Characters that would change the order of what follows, or are not seen, become visible.
export function visible(text: string): string {
  return text.replace(direction, (c) => `⟦U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟧`)
      .replace(control, (c) => (c === '\u007f' ? '␡' : String.fromCharCode(0x2400 + c.charCodeAt(0))));
}

// A token so that its spaces and ends of lines are seen.
export function tokenLabel(text: string): string {
  return visible(text).replace(/\n/g, '⏎').replace(/\t/g, '⇥').replace(/^ | $/g, '␣');
}

export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
export function short(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 1e9) return (value / 1e9).toPrecision(3) + 'B';
  if (size >= 1e6) return (value / 1e6).toPrecision(3) + 'M';
  if (size >= 1e4) return (value / 1e3).toPrecision(3) + 'k';
  return count(value);
}
export function digits(value: number, places = 3): string {
  return Number.isFinite(value) ? value.toFixed(places) : '–';
}
export function significant(value: number, places = 3): string {
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '–';
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(places - 1);
  return String(Number(value.toPrecision(places)));
}
export function percent(value: number): string {
  const share = 100 * value;
  return (share >= 10 ? share.toFixed(1) : share >= 0.1 ? share.toFixed(2) : share.toPrecision(2)) + ' %';
}
export function bytes(value: number): string {
  for (const unit of ['B', 'kB', 'MB', 'GB']) {
    if (value < 1000 || unit === 'GB') return (unit === 'B' ? value : value.toPrecision(3)) + ' ' + unit;
    value /= 1000;
  }
  return '';
}
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–';
  if (seconds < 60) return seconds.toFixed(seconds < 10 ? 1 : 0) + ' s';
  if (seconds < 3600) return Math.floor(seconds / 60) + ' min ' + Math.round(seconds % 60) + ' s';
  return Math.floor(seconds / 3600) + ' h ' + Math.round((seconds % 3600) / 60) + ' min';
}
export function ago(time: number): string {
  const minutes = (Date.now() - time) / 60000;
  if (minutes < 1) return 'now';
  if (minutes < 60) return Math.floor(minutes) + ' min';
  if (minutes < 1440) return Math.floor(minutes / 60) + ' h';
  return new Date(time).toLocaleDateString(undefined, {day: 'numeric', month: 'short'});
}
export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(9)), (b) => b.toString(36).padStart(2, '0')).join('');
}
// Half-life in tokens.
export function tokens(value: number): string {
  if (value >= 1e6) return short(value) + ' tokens';
  return (value >= 100 ? count(value) : significant(value, 3)) + (value === 1 ? ' token' : ' tokens');
}
export function fileName(text: string): string {
  return text.replace(/[^\p{L}\p{N} _-]/gu, '').trim().slice(0, 60) || 'aviary';
}
export function download(name: string, content: BlobPart, type: string) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([content], {type}));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
