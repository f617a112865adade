import type { ReactNode } from 'react';
import type { State } from '../api/types';

/** The shapes of state: told apart by form first, by colour second, also at 10 px and in grey print. */
export type Shape = State | 'critical' | 'warning' | 'notice';

const cross = (
  <>
    <rect x=".8" y=".8" width="10.4" height="10.4" rx="2" fill="currentColor" />
    <path d="m4 4 4 4m0-4-4 4" stroke="var(--surface)" strokeWidth="1.7" strokeLinecap="round" />
  </>
);
const triangle = (
  <path
    d="M6 1.2 11.3 10.6H.7Z"
    fill="currentColor"
    stroke="currentColor"
    strokeWidth=".8"
    strokeLinejoin="round"
  />
);

const SHAPES: Record<Shape, ReactNode> = {
  up: <circle cx="6" cy="6" r="3.6" fill="currentColor" />,
  degraded: triangle,
  warning: triangle,
  down: cross,
  critical: cross,
  unreachable: (
    <>
      <rect
        x="1.5"
        y="1.5"
        width="9"
        height="9"
        rx="1.8"
        fill="none"
        stroke="currentColor"
        strokeWidth="1.4"
      />
      <path d="M3.6 8.4 8.4 3.6" stroke="currentColor" strokeWidth="1.4" strokeLinecap="round" />
    </>
  ),
  maintenance: (
    <>
      <circle cx="6" cy="6" r="4.9" fill="none" stroke="currentColor" strokeWidth="1.4" />
      <path d="M4.6 4v4M7.4 4v4" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" />
    </>
  ),
  unknown: (
    <circle
      cx="6"
      cy="6"
      r="4.8"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeDasharray="2.2 1.57"
    />
  ),
  notice: (
    <path
      d="M6 .9 11.1 6 6 11.1.9 6Z"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.4"
      strokeLinejoin="round"
    />
  ),
};

interface Props {
  shape: Shape;
  /** Its name for a screen reader; left out when the word stands beside it. */
  label?: string;
  size?: 'lg' | 'xl';
}

export function Glyph({ shape, label, size }: Props) {
  const className = `g st-${shape}${size ? ` ${size}` : ''}`;
  if (label === undefined) {
    return (
      <svg className={className} viewBox="0 0 12 12" aria-hidden="true">
        {SHAPES[shape]}
      </svg>
    );
  }
  return (
    <svg className={className} viewBox="0 0 12 12" role="img" aria-label={label}>
      {SHAPES[shape]}
    </svg>
  );
}
