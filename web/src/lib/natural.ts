const collator = new Intl.Collator('en', { numeric: true, sensitivity: 'base' });

/** Compares names as people count: sw-2 before sw-10. */
export function natural(a: string, b: string): number {
  return collator.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
}

/** Compares addresses by number, IPv4 before IPv6, names last. */
export function byAddress(a: string, b: string): number {
  const x = addressKey(a);
  const y = addressKey(b);
  return x < y ? -1 : x > y ? 1 : natural(a, b);
}

function addressKey(address: string): string {
  const v4 = address.split('.');
  if (v4.length === 4 && v4.every((part) => /^\d{1,3}$/.test(part))) {
    return `4 ${v4.map((part) => part.padStart(3, '0')).join('')}`;
  }
  if (/^[0-9a-f:]+$/i.test(address) && address.includes(':')) {
    const [head = '', tail] = address.toLowerCase().split('::');
    const left = head ? head.split(':') : [];
    const right = tail ? tail.split(':') : [];
    const middle =
      tail === undefined ? [] : Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0');
    return `6 ${[...left, ...middle, ...right].map((part) => part.padStart(4, '0')).join('')}`;
  }
  return `9 ${address}`;
}
