/** Toasts confirm one's own act and nothing else; where it can be taken back, they offer it. */

import { X } from 'lucide-react';
import { useSyncExternalStore } from 'react';
import { Icon } from './Icon';

interface Toast {
  id: number;
  text: string;
  undo?: () => void;
}

let toasts: readonly Toast[] = [];
let next = 1;
const listeners = new Set<() => void>();
const SHOWN_MS = 6000;

function set(all: readonly Toast[]): void {
  toasts = all;
  for (const listener of listeners) listener();
}

export function toast(text: string, undo?: () => void): void {
  const id = next++;
  set([...toasts.slice(-2), undo ? { id, text, undo } : { id, text }]);
  setTimeout(() => drop(id), SHOWN_MS);
}

function drop(id: number): void {
  set(toasts.filter((one) => one.id !== id));
}

export function Toasts() {
  const all = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <div className="toasts" role="status">
      {all.map((one) => (
        <div className="toast" key={one.id}>
          <span className="grow">{one.text}</span>
          {one.undo && (
            <button
              type="button"
              className="link"
              onClick={() => {
                one.undo?.();
                drop(one.id);
              }}
            >
              Undo
            </button>
          )}
          <button type="button" className="btn ghost icon" aria-label="Dismiss" onClick={() => drop(one.id)}>
            <Icon of={X} small />
          </button>
        </div>
      ))}
    </div>
  );
}
