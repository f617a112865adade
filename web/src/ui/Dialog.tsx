import { type FormEvent, type ReactNode, useEffect, useId, useRef, useState } from 'react';
import { say } from '../api/client';
import { Glyph } from './Glyph';

interface DialogProps {
  title: ReactNode;
  onClose: () => void;
  /** Read out when there is no visible title. */
  label?: string;
  className?: string;
  /** A click beside the dialog closes it; never for dangerous ones. */
  light?: boolean;
  children: ReactNode;
}

/** A modal dialog: the browser traps the focus and makes the page behind inert; we give the focus back. */
export function Dialog({ title, onClose, label, className = '', light = false, children }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    const dialog = ref.current;
    dialog?.showModal();
    return () => {
      dialog?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape does what the click beside the dialog does
    <dialog
      ref={ref}
      className="scrim"
      aria-labelledby={title === null ? undefined : id}
      aria-label={title === null ? label : undefined}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => {
        if (light && event.target === event.currentTarget) onClose();
      }}
    >
      <div className={`dialog ${className}`}>
        {title !== null && (
          <header>
            <h2 id={id}>{title}</h2>
          </header>
        )}
        {children}
      </div>
    </dialog>
  );
}

interface FormDialogProps {
  title: ReactNode;
  act: string;
  onClose: () => void;
  /** Does it; the dialog closes when it went well and says what was wrong when not. */
  onAct: () => Promise<unknown>;
  ready?: boolean;
  danger?: boolean;
  wide?: boolean;
  hint?: string;
  children: ReactNode;
}

export function FormDialog(props: FormDialogProps) {
  const { title, act, onClose, onAct, ready = true, danger = false, wide = false, hint, children } = props;
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!ready || busy) return;
    setBusy(true);
    setError(null);
    onAct().then(onClose, (cause: unknown) => {
      setBusy(false);
      setError(cause);
    });
  };
  return (
    <Dialog title={title} onClose={onClose} className={wide ? 'wide' : ''}>
      <form onSubmit={submit} noValidate>
        <div className="body">
          {children}
          {error !== null && (
            <p className="notice crit" role="alert">
              <Glyph shape="critical" />
              <span>{say(error)}</span>
            </p>
          )}
        </div>
        <footer>
          {hint && <span className="t2">{hint}</span>}
          <button type="button" className="btn lg" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className={`btn lg ${danger ? 'dan' : 'pri'}`} disabled={!ready || busy}>
            {act}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

interface DangerProps {
  title: ReactNode;
  /** What has to be typed, exactly. */
  name: string;
  act: string;
  /** Asks for a reason that is kept. */
  reason?: boolean;
  onClose: () => void;
  onAct: (reason: string) => Promise<unknown>;
  children: ReactNode;
}

/** For what cannot be taken back: says what breaks, and wants the name typed before the button works. */
export function DangerDialog({ title, name, act, reason = false, onClose, onAct, children }: DangerProps) {
  const [typed, setTyped] = useState('');
  const [why, setWhy] = useState('');
  const ready = typed === name && (!reason || why.trim() !== '');
  return (
    <FormDialog
      title={title}
      act={act}
      danger
      ready={ready}
      onClose={onClose}
      onAct={() => onAct(why.trim())}
    >
      {children}
      {reason && (
        <label className="field">
          <span className="name">Reason, kept in the audit log</span>
          <input className="input lg" value={why} onChange={(event) => setWhy(event.target.value)} />
        </label>
      )}
      <label className="field">
        <span className="name">
          Type <span className="mono">{name}</span> to confirm
        </span>
        <input
          className="input lg mono"
          value={typed}
          autoComplete="off"
          spellCheck={false}
          onChange={(event) => setTyped(event.target.value)}
        />
      </label>
    </FormDialog>
  );
}
