/** Single-key shortcuts: never while something is typed, never with a modifier, and they can be switched off. */
import { useEffect, useRef } from 'react';

let enabled = true;
export function setSingleKeys(on: boolean): void {
  enabled = on;
}

export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable) return true;
  if (target instanceof HTMLInputElement) {
    return !['checkbox', 'radio', 'button', 'submit'].includes(target.type);
  }
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}

/** True when the key press is a plain single key meant for the page. */
export function isSingleKey(event: KeyboardEvent): boolean {
  return (
    enabled &&
    !event.defaultPrevented &&
    !event.ctrlKey &&
    !event.metaKey &&
    !event.altKey &&
    event.key.length === 1 &&
    !isTyping(event.target) &&
    document.querySelector('dialog[open]') === null
  );
}

/** Calls the handler of the pressed key; "g d" is pressed as g, then d within a second. */
export function useKeys(handlers: Readonly<Record<string, () => void>>): void {
  const latest = useRef(handlers);
  latest.current = handlers;
  useEffect(() => {
    let first: { key: string; at: number } | null = null;
    const onKey = (event: KeyboardEvent) => {
      if (!isSingleKey(event)) return;
      const pair = first && event.timeStamp - first.at < 1000 ? `${first.key} ${event.key}` : null;
      const handler = (pair && latest.current[pair]) || latest.current[event.key];
      first = { key: event.key, at: event.timeStamp };
      if (!handler) return;
      event.preventDefault();
      first = null;
      handler();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
}
