import type { ReactNode } from 'react';

interface Props {
  title?: ReactNode;
  meta?: ReactNode;
  /** What stands at the right of the header. */
  side?: ReactNode;
  label?: string;
  className?: string;
  children: ReactNode;
}

export function Panel({ title, meta, side, label, className, children }: Props) {
  return (
    <section className={className ? `panel ${className}` : 'panel'} aria-label={label}>
      {title !== undefined && (
        <header>
          <h2>{title}</h2>
          {meta !== undefined && <span className="meta">{meta}</span>}
          {side}
        </header>
      )}
      {children}
    </section>
  );
}

/** A page's heading: a sentence about now, what goes with it, and the actions at the right. */
export function Title({
  glyph,
  children,
  sub,
  acts,
}: {
  glyph?: ReactNode;
  children: ReactNode;
  sub?: ReactNode;
  acts?: ReactNode;
}) {
  return (
    <div className="title">
      {glyph}
      <h1 tabIndex={-1}>{children}</h1>
      {sub !== undefined && <span className="t2 ell">{sub}</span>}
      <span className="grow" />
      {acts}
    </div>
  );
}
