/** The tokens as a canvas needs them: it cannot read `var()` or `light-dark()` itself. */
export interface ChartTheme {
  s1: string;
  s2: string;
  band: string;
  band2: string;
  grid: string;
  line2: string;
  text3: string;
  surface: string;
  loss: string;
  /** Lines and their texts of the two kinds of limit. */
  warning: string;
  warn: string;
  critical: string;
  font: string;
}

const NAMES = {
  s1: '--s1',
  s2: '--s2',
  band: '--band',
  grid: '--grid',
  line2: '--line-2',
  text3: '--text-3',
  surface: '--surface',
  loss: '--g-down',
  warning: '--g-degraded',
  warn: '--degraded',
  critical: '--down',
} as const;

export function chartTheme(): ChartTheme {
  const probe = document.createElement('span');
  document.body.append(probe);
  const read = (name: string) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const colours = {
    s1: read(NAMES.s1),
    s2: read(NAMES.s2),
    band: read(NAMES.band),
    grid: read(NAMES.grid),
    line2: read(NAMES.line2),
    text3: read(NAMES.text3),
    surface: read(NAMES.surface),
    loss: read(NAMES.loss),
    warning: read(NAMES.warning),
    warn: read(NAMES.warn),
    critical: read(NAMES.critical),
  };
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  probe.remove();
  return { ...colours, band2: withAlpha(colours.s2, 0.16), font };
}

/** "rgb(1, 2, 3)" with an alpha. */
export function withAlpha(colour: string, alpha: number): string {
  const parts = colour.match(/[\d.]+/g);
  if (!parts || parts.length < 3) return colour;
  return `rgba(${parts[0]}, ${parts[1]}, ${parts[2]}, ${alpha})`;
}
