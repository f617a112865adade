/** From where on the console marks a value. There are no rules yet that say it for each device. */

/** Latency in ms. */
export const SLOW_MS = 100;
/** Share of a line's speed. */
export const BUSY = 0.9;
