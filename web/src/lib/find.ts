/** Finding by typing: every word must occur, the start of a name weighs most. */
export interface Findable {
  /** Lower case, what is searched: name first. */
  text: string;
}

export function rank(text: string, query: string): number {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  let score = 0;
  for (const word of words) {
    const at = text.indexOf(word);
    if (at < 0) return -1;
    score += at === 0 ? 3 : /[\s/.:_-]/.test(text[at - 1] ?? '') ? 2 : 1;
  }
  return score;
}

/** The best `limit` of the index, best first; ties keep the index's order. */
export function find<T extends Findable>(index: readonly T[], query: string, limit: number): T[] {
  const hits: { item: T; score: number; order: number }[] = [];
  index.forEach((item, order) => {
    const score = rank(item.text, query);
    if (score >= 0) hits.push({ item, score, order });
  });
  hits.sort((a, b) => b.score - a.score || a.order - b.order);
  return hits.slice(0, limit).map(({ item }) => item);
}

/** Cuts a name at what was found, so that the hit can be marked: [before, hit, after]. */
export function mark(name: string, query: string): [string, string, string] {
  const word = query.trim().toLowerCase().split(/\s+/)[0] ?? '';
  const at = word ? name.toLowerCase().indexOf(word) : -1;
  if (at < 0) return [name, '', ''];
  return [name.slice(0, at), name.slice(at, at + word.length), name.slice(at + word.length)];
}
