// Shapes as strokes. Their names are in i18n, in this order.

import type { Strokes } from './strokes';

const circle: Strokes = Array.from({ length: 17 }, (_, i) => {
  const angle = (i * Math.PI) / 8;
  return `${(5 + 5 * Math.sin(angle)).toFixed(2)},${(5 - 5 * Math.cos(angle)).toFixed(2)}`;
}).join(' ');

export const shapes: readonly Strokes[] = [
  circle,
  '0.5,0.5 9.5,0.5 9.5,9.5 0.5,9.5 0.5,0.5',
  '5,0 10,9 0,9 5,0',
  '5,0 9.5,5 5,10 0.5,5 5,0',
  '5,0 7.9,9 0.2,3.4 9.8,3.4 2.1,9 5,0',
  '5,0 5,10 / 0,5 10,5',
  '0,5 10,5 / 6,1.5 10,5 6,8.5',
  '5,9.5 1,5 0.5,2.5 2.5,0.5 5,3 7.5,0.5 9.5,2.5 9,5 5,9.5',
];
