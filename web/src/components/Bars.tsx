import { BUSY } from '../lib/limits';
import { percent } from '../lib/units';

function Bar({ ratio, name, off }: { ratio: number | null; name: 'in' | 'out'; off: boolean }) {
  if (ratio === null) {
    return <div className="bar none" role="img" aria-label={`${name}: not known`} />;
  }
  const look = off ? 'off' : ratio >= BUSY ? 'warn' : name === 'out' ? 'o' : '';
  return (
    <div className={`bar ${look}`} role="img" aria-label={`${name} ${percent(ratio)} percent`}>
      <i style={{ width: `${Math.min(100, ratio * 100)}%` }} />
    </div>
  );
}

/** How full a line is, in above out. */
export function Bars({ into, out, off = false }: { into: number | null; out: number | null; off?: boolean }) {
  return (
    <div className="bars">
      <Bar ratio={into} name="in" off={off} />
      <Bar ratio={out} name="out" off={off} />
    </div>
  );
}
