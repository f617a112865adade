/** Which row the keyboard goes to next; null when the key is not the table's. */
export function nextRow(key: string, current: number, rows: number, page: number): number | null {
  if (rows === 0) return null;
  const last = rows - 1;
  const clamp = (i: number) => Math.max(0, Math.min(last, i));
  switch (key) {
    case 'ArrowDown':
    case 'j':
      return clamp(current + 1);
    case 'ArrowUp':
    case 'k':
      return clamp(current < 0 ? 0 : current - 1);
    case 'PageDown':
      return clamp(Math.max(0, current) + page);
    case 'PageUp':
      return clamp(current - page);
    case 'Home':
      return 0;
    case 'End':
      return last;
    default:
      return null;
  }
}
