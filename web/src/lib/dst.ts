/** When the clocks of a zone change, so that a chart can mark the hour that is missing or there twice. */

const offsets = new Map<string, Intl.DateTimeFormat>();

/** Minutes that the zone's clocks are ahead of UTC at that moment. */
export function offsetMinutes(zone: string, at: number): number {
  let format = offsets.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat('en-GB', { timeZone: zone, timeZoneName: 'longOffset' });
    offsets.set(zone, format);
  }
  const name = format.formatToParts(at).find((part) => part.type === 'timeZoneName')?.value ?? '';
  const found = /([+-])(\d\d):(\d\d)/.exec(name);
  if (!found) return 0;
  const minutes = Number(found[2]) * 60 + Number(found[3]);
  return found[1] === '-' ? -minutes : minutes;
}

export interface ClockChange {
  at: number;
  /** By how many minutes the clocks jump: 60 forward in spring, -60 back in autumn. */
  minutes: number;
}

const DAY = 86_400_000;

/** The changes in a window (ms), each to the minute. Zones change at most once a day. */
export function clockChanges(zone: string, from: number, to: number): ClockChange[] {
  const changes: ClockChange[] = [];
  for (let start = from; start < to; start += DAY) {
    const end = Math.min(start + DAY, to);
    const before = offsetMinutes(zone, start);
    const after = offsetMinutes(zone, end);
    if (before === after) continue;
    let low = start;
    let high = end;
    while (high - low > 60_000) {
      const middle = Math.floor((low + high) / 2);
      if (offsetMinutes(zone, middle) === before) low = middle;
      else high = middle;
    }
    changes.push({ at: Math.floor(high / 60_000) * 60_000, minutes: after - before });
  }
  return changes;
}

/** "clocks +1 h", "clocks −1 h". */
export function changeText({ minutes }: ClockChange): string {
  const amount = Math.abs(minutes);
  const text = amount % 60 === 0 ? `${amount / 60} h` : `${amount} min`;
  return `clocks ${minutes > 0 ? '+' : '−'}${text}`;
}
