// Heat maps of phi as one SVG picture: a panel a module, i downwards, j to the right. Pure text.
import type { SiteSimilarity } from './compare.ts';

const PANEL = 210;
const GAP = { x: 60, y: 64 };
const MARGIN = { left: 60, top: 92, right: 96, bottom: 30 };
const PANELS_A_ROW = 4;
/** Room for the titles. */
const MIN_WIDTH = 760;
/** From 0 to 1: light to dark, even in brightness and readable without colour vision. */
const STOPS: readonly (readonly [number, number, number])[] = [
  [247, 251, 255],
  [158, 202, 225],
  [66, 146, 198],
  [8, 81, 156],
  [8, 28, 70],
];

export interface HeatMapTitles {
  readonly title: string;
  /** What i counts, shown once: the first adapter's name. */
  readonly rows: string;
  readonly columns: string;
}

export function heatMap({ title, rows, columns }: HeatMapTitles, panels: readonly SiteSimilarity[]): string {
  const across = Math.max(1, Math.min(PANELS_A_ROW, panels.length));
  const down = Math.ceil(panels.length / across);
  const width = Math.max(MIN_WIDTH, MARGIN.left + across * (PANEL + GAP.x) - GAP.x + MARGIN.right);
  const height = MARGIN.top + down * (PANEL + GAP.y) - GAP.y + MARGIN.bottom;
  const drawn = panels.map((panel, index) =>
    drawPanel(panel, MARGIN.left + (index % across) * (PANEL + GAP.x), MARGIN.top + Math.floor(index / across) * (PANEL + GAP.y)),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif">`,
    '<rect width="100%" height="100%" fill="#fff"/>',
    text(MARGIN.left, 28, title, { size: 16 }),
    text(MARGIN.left, 48, `i, downwards: first directions of ${rows} · j, to the right: first directions of ${columns}`, { size: 12 }),
    ...drawn,
    scale(width - MARGIN.right + 30, MARGIN.top),
    '</svg>\n',
  ].join('\n');
}

function drawPanel({ site, phi }: SiteSimilarity, x: number, y: number): string {
  const rowCount = phi.length;
  const columnCount = phi[0]?.length ?? 0;
  const cellWidth = PANEL / Math.max(1, columnCount);
  const cellHeight = PANEL / Math.max(1, rowCount);
  const cells = phi.flatMap((row, i) =>
    row.map((value, j) => {
      const place = `x="${round(x + j * cellWidth)}" y="${round(y + i * cellHeight)}" width="${round(cellWidth + 0.3)}" height="${round(cellHeight + 0.3)}"`;
      return `<rect ${place} fill="${colour(value)}"><title>phi(${i + 1}, ${j + 1}) = ${value.toFixed(3)}</title></rect>`;
    }),
  );
  const last = phi.at(-1)?.at(-1) ?? 0;
  return [
    text(x, y - 8, `${site}: phi(${rowCount}, ${columnCount}) = ${last.toFixed(3)}`, { size: 13 }),
    ...cells,
    `<rect x="${x}" y="${y}" width="${PANEL}" height="${PANEL}" fill="none" stroke="#444"/>`,
    ...ticks(columnCount).map((tick) => text(x + (tick - 0.5) * cellWidth, y + PANEL + 14, String(tick), { anchor: 'middle' })),
    ...ticks(rowCount).map((tick) => text(x - 6, y + (tick - 0.5) * cellHeight + 4, String(tick), { anchor: 'end' })),
  ].join('\n');
}

/** A handful of whole numbers from 1 to `count`. */
function ticks(count: number): readonly number[] {
  const step = Math.max(1, Math.ceil(count / 8));
  return Array.from({ length: Math.floor((count - 1) / step) + 1 }, (_, index) => 1 + index * step);
}

function scale(x: number, y: number): string {
  const steps = 20;
  const height = PANEL / steps;
  const bars = Array.from({ length: steps }, (_, index) => {
    const value = 1 - (index + 0.5) / steps;
    return `<rect x="${x}" y="${round(y + index * height)}" width="16" height="${round(height + 0.3)}" fill="${colour(value)}"/>`;
  });
  const labels = [0, 0.5, 1].map((value) => text(x + 22, y + (1 - value) * PANEL + 4, value.toFixed(1), {}));
  return [...bars, `<rect x="${x}" y="${y}" width="16" height="${PANEL}" fill="none" stroke="#444"/>`, ...labels].join('\n');
}

function colour(value: number): string {
  const position = Math.min(1, Math.max(0, value)) * (STOPS.length - 1);
  const index = Math.min(STOPS.length - 2, Math.floor(position));
  const channels = [0, 1, 2].map((channel) => {
    const from = STOPS[index]?.[channel] ?? 0;
    return Math.round(from + ((STOPS[index + 1]?.[channel] ?? 0) - from) * (position - index));
  });
  return `rgb(${channels.join(',')})`;
}

function text(x: number, y: number, content: string, { size = 11, anchor = 'start' }: { size?: number; anchor?: string }): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" font-size="${size}">${escaped}</text>`;
}

function round(value: number): string {
  return value.toFixed(1);
}
