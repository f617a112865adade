import { type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from 'react';

export interface MenuItem {
  text: ReactNode;
  icon?: ReactNode;
  onPick: () => void;
  danger?: boolean;
  /** Why it cannot be done now; the item stays visible. */
  disabled?: string | undefined;
  checked?: boolean;
  /** Keeps the menu open after a pick, for check marks. */
  stay?: boolean;
}

/** A button with a menu under it. Arrow keys walk, Escape and a click elsewhere close, the focus comes back. */
export function Menu({
  button,
  items,
  label,
  className = 'btn',
}: {
  button: ReactNode;
  items: readonly MenuItem[];
  label?: string;
  className?: string;
}) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const trigger = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) return;
    root.current?.querySelector<HTMLElement>('[role^="menuitem"]')?.focus();
    const away = (event: PointerEvent) => {
      if (event.target instanceof Node && !root.current?.contains(event.target)) setOpen(false);
    };
    document.addEventListener('pointerdown', away);
    return () => document.removeEventListener('pointerdown', away);
  }, [open]);
  const close = () => {
    setOpen(false);
    trigger.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Escape') {
      event.stopPropagation();
      close();
    }
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step === 0) return;
    event.preventDefault();
    const all = [...(root.current?.querySelectorAll<HTMLElement>('[role^="menuitem"]') ?? [])];
    const at = all.findIndex((element) => element.matches(':focus'));
    all[(at + step + all.length) % all.length]?.focus();
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the menu inside takes the keys
    <div className="has-menu" ref={root} onKeyDown={open ? onKeyDown : undefined}>
      <button
        ref={trigger}
        type="button"
        className={className}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-label={label}
        title={label}
        onClick={() => setOpen(!open)}
      >
        {button}
      </button>
      {open && (
        <div className="menu right" role="menu" aria-label={label}>
          {items.map((item, i) => (
            <button
              // A menu's items are fixed while it is open.
              // biome-ignore lint/suspicious/noArrayIndexKey: see above
              key={i}
              type="button"
              role={item.checked === undefined ? 'menuitem' : 'menuitemcheckbox'}
              {...(item.checked === undefined ? {} : { 'aria-checked': item.checked })}
              aria-disabled={item.disabled !== undefined}
              title={item.disabled}
              className={item.danger ? 'dz' : undefined}
              onClick={() => {
                if (item.disabled !== undefined) return;
                if (!item.stay) close();
                item.onPick();
              }}
            >
              {item.icon}
              {item.checked !== undefined && <span className="mono">{item.checked ? '✓' : ' '}</span>}
              {item.text}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
