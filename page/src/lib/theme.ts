// Light or dark: as the system, unless the reader chose.
import {signal} from '@preact/signals';

export type Theme = 'system' | 'light' | 'dark';
export const theme = signal<Theme>((localStorage.getItem('theme') as Theme | null) ?? 'system');
// Grows when colors have changed, so that pictures are drawn again.
export const repaint = signal(0);

export function applyTheme(next: Theme) {
  theme.value = next;
  localStorage.setItem('theme', next);
  if (next === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  repaint.value++;
}
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => repaint.value++);

// The color of a custom property, as a canvas takes it.
export function color(name: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
// The same as red, green and blue, 0 to 255.
export function channels(name: string): [number, number, number] {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true})!;
  canvas.fillStyle = color(name);
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
  return [r!, g!, b!];
}
