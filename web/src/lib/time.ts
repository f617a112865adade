/** Ages, durations and clock times as they are read on the screen. Nothing here asks what time it is. */

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;

/** A span in its two largest units: "45 s", "7 min", "2 h 21 min", "3 d 4 h". */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  if (s < MINUTE) return `${s} s`;
  if (s < HOUR) return `${Math.floor(s / MINUTE)} min`;
  if (s < DAY) {
    const minutes = Math.floor((s % HOUR) / MINUTE);
    return `${Math.floor(s / HOUR)} h ${String(minutes).padStart(2, '0')} min`;
  }
  const hours = Math.floor((s % DAY) / HOUR);
  return hours > 0 && s < 100 * DAY ? `${Math.floor(s / DAY)} d ${hours} h` : `${Math.floor(s / DAY)} d`;
}

/** Like `duration`, with the seconds kept below an hour: "14 min 22 s". For notices that count up or down. */
export function durationExact(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  if (s < MINUTE || s >= HOUR) return duration(s);
  return `${Math.floor(s / MINUTE)} min ${String(s % MINUTE).padStart(2, '0')} s`;
}

/** A span that is set, not counted: no empty minutes. "1 h", "1 h 30 min", "1 d". */
export function interval(seconds: number): string {
  return duration(seconds).replace(/ 00 min$/, '');
}

/** How old `time` is in seconds at `now` (ms since 1970); never negative, so a fast clock shows 0. */
export function ageSeconds(time: string, now: number): number {
  return Math.max(0, (now - Date.parse(time)) / 1000);
}

/** From this age on a value is shown as old. A probe reports every 10 s and polls every 60 s. */
export const OLD_AFTER_S = 180;

const formats = new Map<string, Intl.DateTimeFormat>();
function format(zone: string, options: Intl.DateTimeFormatOptions, kind: string): Intl.DateTimeFormat {
  const key = `${kind} ${zone}`;
  let made = formats.get(key);
  if (!made) {
    made = new Intl.DateTimeFormat('en-GB', { timeZone: zone, hourCycle: 'h23', ...options });
    formats.set(key, made);
  }
  return made;
}

/** "14:32" in the zone. */
export function clock(time: string | number, zone: string): string {
  return format(zone, { hour: '2-digit', minute: '2-digit' }, 'clock').format(new Date(time));
}

/** "14:32:08" in the zone. */
export function clockSeconds(time: string | number, zone: string): string {
  return format(zone, { hour: '2-digit', minute: '2-digit', second: '2-digit' }, 'clockS').format(
    new Date(time),
  );
}

/** "23 Nov" in the zone. */
export function day(time: string | number, zone: string): string {
  return format(zone, { day: 'numeric', month: 'short' }, 'day').format(new Date(time));
}

/** "23 Nov 2026, 14:32:08 CET", for hover texts. */
export function absolute(time: string | number, zone: string): string {
  const date = new Date(time);
  const text = format(
    zone,
    {
      day: 'numeric',
      month: 'short',
      year: 'numeric',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
    },
    'absolute',
  ).format(date);
  return `${text} ${zoneName(zone, date)}`;
}

/** The clock time today, with the day before it when it was another day. */
export function clockOrDay(time: string | number, zone: string, now: number): string {
  const that = day(time, zone);
  return that === day(now, zone) ? clockSeconds(time, zone) : `${that}, ${clock(time, zone)}`;
}

/** "CET", "GMT+2": what the zone is called at that moment. */
export function zoneName(zone: string, at: Date | number = new Date()): string {
  const parts = format(zone, { timeZoneName: 'short' }, 'zone').formatToParts(at);
  return parts.find((part) => part.type === 'timeZoneName')?.value ?? zone;
}

/** True when the browser knows the zone; a device or a user may have written anything. */
export function knownZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat('en-GB', { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

/** The zone if it is known, else UTC. */
export function safeZone(zone: string | null | undefined): string {
  return zone && knownZone(zone) ? zone : 'UTC';
}
