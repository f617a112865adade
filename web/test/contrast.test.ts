/** Every pair of a colour and a ground that the design allows, against WCAG 2.2 AA: 4.5 for text, 3 for graphics. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const css = readFileSync('src/styles/tokens.css', 'utf8');
const tokens = new Map(
  [...css.matchAll(/--([\w-]+):\s*light-dark\((#[0-9a-f]{6}),\s*(#[0-9a-f]{6})\)/gi)].map(
    ([, name = '', light = '', dark = '']) => [name, { light, dark }],
  ),
);

function luminance(hex: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5]
    .map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function ratio(a: string, b: string): number {
  const [bright = 0, dim = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (bright + 0.05) / (dim + 0.05);
}

const ground = ['canvas', 'surface', 'raised'];
const cross = (fronts: string[], backs: string[]) =>
  fronts.flatMap((front) => backs.map((back) => [front, back]));
const text = [
  ...cross(['text', 'text-2', 'text-3', 'accent'], [...ground, 'overlay', 'accent-wash']),
  ...cross(['up', 'degraded', 'down', 'unreach', 'maint', 'stale'], ground),
  ...['stale', 'up', 'degraded', 'down', 'maint'].map((state) => [state, `${state}-wash`]),
  ...['down-wash', 'degraded-wash', 'stale-wash', 'nav-on'].map((wash) => ['text-2', wash]),
  ['on-fill', 'accent-fill'],
  ['on-fill', 'down-fill'],
];
const graphic = cross(
  [
    'g-up',
    'up-quiet',
    'g-degraded',
    'g-down',
    'unreach',
    'maint',
    'stale',
    's1',
    's2',
    's3',
    'ctl-line',
    'accent',
  ],
  ground,
);

describe('contrast of the design tokens', () => {
  for (const theme of ['dark', 'light'] as const) {
    for (const [kind, pairs, least] of [
      ['text', text, 4.5],
      ['graphic', graphic, 3],
    ] as const) {
      it(`${theme} ${kind} pairs reach ${least}`, () => {
        const low = pairs.flatMap(([front = '', back = '']) => {
          const a = tokens.get(front)?.[theme];
          const b = tokens.get(back)?.[theme];
          if (!a || !b) return [`${front} on ${back}: no such token`];
          const found = ratio(a, b);
          return found < least ? [`${front} on ${back}: ${found.toFixed(2)}`] : [];
        });
        expect(low).toEqual([]);
      });
    }
  }
});
