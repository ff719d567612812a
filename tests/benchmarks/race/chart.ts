// The results as a picture: training speed in Chromium, a bar for each library, a panel for each network.

import { champion } from './plan';
import { find, type Results } from './results';

const width = 760;
const labelWidth = 210;
const barHeight = 20;
const step = 28;
const numberWidth = 120;

const style = `
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .title { font-weight: 600; }
  .number { font-variant-numeric: tabular-nums; }
  .own { fill: #2f7d4f; }
  .peer { fill: #8c959f; }
  .axis { stroke: #8c959f; stroke-width: 1; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .own { fill: #57b27c; }
    .peer { fill: #6e7681; }
    .axis { stroke: #6e7681; }
  }`;

const escaped = (text: string) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
const grouped = (value: number) => Math.round(value).toLocaleString('en-US');

export function chart(results: Results): string {
  const parts: string[] = [];
  let y = 24;
  for (const { name, what } of results.networks) {
    const bars = results.entries
      .filter(({ where, threads }) => where === 'browser' && threads === 1)
      .flatMap(({ id, label }) => {
        const found = find(results, name, 'training', id);
        return found ? [{ id, label, value: found.median }] : [];
      })
      .sort((a, b) => b.value - a.value);
    const longest = Math.max(...bars.map(({ value }) => value));
    const top = y + 14;
    parts.push(`<text class="title" x="0" y="${y}">${escaped(`${name}: ${what}`)}</text>`);
    bars.forEach(({ id, label, value }, index) => {
      const at = top + index * step;
      const length = ((width - labelWidth - numberWidth) * value) / longest;
      const own = id === champion || id.startsWith(`${champion}-`);
      const baseline = at + 15;
      parts.push(
        `<text x="${labelWidth - 8}" y="${baseline}" text-anchor="end">${escaped(label)}</text>`,
        `<rect class="${own ? 'own' : 'peer'}" x="${labelWidth}" y="${at}" width="${length.toFixed(1)}" height="${barHeight}" rx="2"/>`,
        `<text class="number" x="${(labelWidth + length + 8).toFixed(1)}" y="${baseline}">${grouped(value)}</text>`,
      );
    });
    const bottom = top + bars.length * step;
    parts.push(
      `<line class="axis" x1="${labelWidth}" x2="${labelWidth}" y1="${top - 4}" y2="${bottom - 4}"/>`,
    );
    y = bottom + 34;
  }
  const caption =
    `Images a second in training, ${results.machine.browser}, one thread, batch ${results.batch}, ` +
    `${results.date.slice(0, 10)}`;
  parts.push(`<text x="0" y="${y - 8}">${escaped(caption)}</text>`);
  const height = y + 8;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escaped(caption)}</title>`,
    `<style>${style}\n</style>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}
