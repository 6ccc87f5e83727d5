// A grouped bar chart as SVG text, readable without any library.

export interface ChartSeries {
  readonly name: string;
  /** One value a group, in the order of the groups; null where nothing was measured. */
  readonly values: readonly (number | null)[];
}

const WIDTH = 880;
const HEIGHT = 380;
const MARGIN = { left: 60, right: 20, top: 70, bottom: 40 };
const COLOURS = ['#1b6ca8', '#5aa9e6', '#2a9d8f', '#c46a1b', '#8d99ae'];

export function barChart(title: string, unit: string, groups: readonly string[], series: readonly ChartSeries[]): string {
  const largest = Math.max(1, ...series.flatMap(({ values }) => values.map((value) => value ?? 0)));
  const plotHeight = HEIGHT - MARGIN.top - MARGIN.bottom;
  const groupWidth = (WIDTH - MARGIN.left - MARGIN.right) / groups.length;
  const barWidth = (groupWidth * 0.8) / series.length;
  const baseline = HEIGHT - MARGIN.bottom;
  const bars = series.flatMap(({ values }, index) =>
    values.map((value, group) => {
      if (value === null) return '';
      const height = (value / largest) * plotHeight;
      const x = MARGIN.left + group * groupWidth + groupWidth * 0.1 + index * barWidth;
      const label = svgText(x + barWidth / 2, baseline - height - 4, value.toFixed(value < 10 ? 1 : 0), 'middle', 10);
      return `<rect x="${x.toFixed(1)}" y="${(baseline - height).toFixed(1)}" width="${(barWidth - 2).toFixed(1)}" height="${height.toFixed(1)}" fill="${colour(index)}"/>${label}`;
    }),
  );
  const names = groups.map((name, group) => svgText(MARGIN.left + (group + 0.5) * groupWidth, baseline + 18, name, 'middle', 12));
  const legend = series.map(({ name }, index) => {
    const x = MARGIN.left + index * 200;
    return `<rect x="${x}" y="38" width="12" height="12" fill="${colour(index)}"/>${svgText(x + 18, 48, name, 'start', 12)}`;
  });
  const axis = `<line x1="${MARGIN.left}" y1="${baseline}" x2="${WIDTH - MARGIN.right}" y2="${baseline}" stroke="#444"/>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif">`,
    '<rect width="100%" height="100%" fill="#fff"/>',
    svgText(MARGIN.left, 24, `${title} (${unit})`, 'start', 16),
    ...legend,
    axis,
    ...bars,
    ...names,
    '</svg>\n',
  ].join('\n');
}

function colour(index: number): string {
  return COLOURS[index % COLOURS.length] ?? '#000';
}

export function svgText(x: number, y: number, content: string, anchor: 'start' | 'middle' | 'end', size: number): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" font-size="${size}">${escaped}</text>`;
}
