import { type ReactNode, useEffect, useRef } from 'react';

/** Lights up for a moment when `value` changes while it is shown; never when it first appears. */
export function Changing({ value, children }: { value: unknown; children: ReactNode }) {
  const ref = useRef<HTMLSpanElement>(null);
  const before = useRef(value);
  useEffect(() => {
    if (Object.is(before.current, value)) return;
    before.current = value;
    const element = ref.current;
    if (!element) return;
    element.classList.remove('flash');
    void element.offsetWidth; // starts the animation anew when it still runs
    element.classList.add('flash');
  }, [value]);
  return <span ref={ref}>{children}</span>;
}
