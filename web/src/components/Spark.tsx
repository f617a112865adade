import { memo } from 'react';
import { sparkPath } from '../lib/plot';

interface Props {
  values: readonly (number | null)[];
  width?: number;
  look?: 'warn' | 's2' | 'off';
  label?: string;
}

const HEIGHT = 18;

/** A line too small to read values from; holes stay empty. */
export const Spark = memo(function Spark({ values, width = 72, look, label }: Props) {
  const { line, area } = sparkPath(values, width, HEIGHT);
  const shape = (
    <>
      {area && <path className="fill" d={area} />}
      {line && <path d={line} />}
    </>
  );
  const box = {
    className: look ? `spark ${look}` : 'spark',
    width,
    height: HEIGHT,
    viewBox: `0 0 ${width} ${HEIGHT}`,
  };
  if (label === undefined) {
    return (
      <svg {...box} aria-hidden="true">
        {shape}
      </svg>
    );
  }
  return (
    <svg {...box} role="img" aria-label={label}>
      {shape}
    </svg>
  );
});
