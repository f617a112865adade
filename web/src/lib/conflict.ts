/** Which fields differ between two versions of a document; lists count as changed in order too. */
export function changedFields<T extends object>(before: T, after: T): string[] {
  const b = Object.entries(before).filter(([key]) => key !== 'revision');
  const a = new Map<string, unknown>(Object.entries(after));
  return b.filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(a.get(key))).map(([key]) => key);
}
