import { describe, expect, it } from 'vitest';
import type { Interface } from '../api/types';
import { interfaceState, inUse } from './InterfaceTable';

const found = '2026-11-23T09:38:12Z';
const port = (change: Partial<Interface>): Interface =>
  ({
    type: 6,
    admin_status: 'up',
    oper_status: 'down',
    oper_since: null,
    in_spark: [],
    out_spark: [],
    ...change,
  }) as unknown as Interface; // only what the state looks at

describe('the state of an interface', () => {
  it('is a fault only when a link went down, not when nothing was ever plugged in', () => {
    const empty = port({ oper_since: '2026-11-23T09:38:40Z' });
    expect(interfaceState(empty, false, found)).toEqual({ state: 'notice', word: 'Not connected' });
    expect(interfaceState(port({}), false, found).state).toBe('notice');
    expect(inUse(empty, found)).toBe(false);
    const lost = port({ oper_since: new Date().toISOString() });
    expect(interfaceState(lost, false, found)).toEqual({ state: 'down', word: 'Down' });
    expect(inUse(lost, found)).toBe(true);
  });
  it('is not a fault when somebody switched it off, and nothing is known while the probe is silent', () => {
    expect(interfaceState(port({ admin_status: 'down' }), false, found).state).toBe('maintenance');
    expect(interfaceState(port({ oper_status: 'up' }), true, found).state).toBe('unknown');
  });
});
