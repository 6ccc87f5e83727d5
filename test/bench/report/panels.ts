// Small panels as SVG text, one a workload: a horizontal bar a series with its range, so that many series stay readable.
import { svgText } from './chart.ts';

export interface PanelBar {
  readonly name: string;
  /** null: not measured. */
  readonly range: { readonly median: number; readonly smallest: number; readonly largest: number } | null;
  readonly colour: string;
}

export interface Panel {
  readonly title: string;
  readonly bars: readonly PanelBar[];
}

const COLUMNS = 3;
const PANEL_WIDTH = 380;
const LABEL_WIDTH = 140;
const VALUE_WIDTH = 50;
const BAR_HEIGHT = 14;
const BAR_STEP = 19;
const TITLE_HEIGHT = 34;
const HEADER_HEIGHT = 66;

export function panelChart(title: string, subtitle: string, panels: readonly Panel[]): string {
  const mostBars = Math.max(...panels.map(({ bars }) => bars.length));
  const panelHeight = TITLE_HEIGHT + mostBars * BAR_STEP + 16;
  const width = COLUMNS * PANEL_WIDTH + 20;
  const height = HEADER_HEIGHT + Math.ceil(panels.length / COLUMNS) * panelHeight;
  const drawn = panels.map((panel, index) =>
    drawPanel(panel, 20 + (index % COLUMNS) * PANEL_WIDTH, HEADER_HEIGHT + Math.floor(index / COLUMNS) * panelHeight),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif">`,
    '<rect width="100%" height="100%" fill="#fff"/>',
    svgText(20, 28, title, 'start', 18),
    svgText(20, 48, subtitle, 'start', 12),
    ...drawn,
    '</svg>\n',
  ].join('\n');
}

function drawPanel({ title, bars }: Panel, left: number, top: number): string {
  const largest = Math.max(1, ...bars.map(({ range }) => range?.largest ?? 0));
  const zero = left + LABEL_WIDTH;
  const scale = (PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH - 20) / largest;
  const lines = bars.map(({ name, range, colour }, index) => {
    const y = top + TITLE_HEIGHT + index * BAR_STEP;
    const label = svgText(zero - 6, y + 11, name, 'end', 11);
    if (!range) return label + svgText(zero + 4, y + 11, '–', 'start', 11);
    const { median, smallest, largest: most } = range;
    const middle = y + BAR_HEIGHT / 2;
    const at = (value: number): string => (zero + value * scale).toFixed(1);
    return [
      label,
      `<rect x="${zero}" y="${y}" width="${(median * scale).toFixed(1)}" height="${BAR_HEIGHT}" fill="${colour}"/>`,
      `<line x1="${at(smallest)}" y1="${middle}" x2="${at(most)}" y2="${middle}" stroke="#222" stroke-width="1.2"/>`,
      svgText(zero + most * scale + 6, y + 11, median.toFixed(median < 10 ? 1 : 0), 'start', 11),
    ].join('');
  });
  return svgText(left, top + 22, title, 'start', 13) + lines.join('\n');
}
