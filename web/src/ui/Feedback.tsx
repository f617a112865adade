/** What stands in a panel while there is nothing to show: loading, empty, failed. */
import type { UseQueryResult } from '@tanstack/react-query';
import { type ReactNode, useEffect, useState } from 'react';
import { ApiError, say } from '../api/client';
import { useNow } from '../api/clock';
import { Glyph } from './Glyph';

const WIDTHS = ['34%', '22%', '40%', '28%', '36%', '25%', '31%'];

/** As many rows as the data will have, of the same height; hidden for the first 200 ms. */
export function Skeleton({ rows }: { rows: number }) {
  return (
    <div role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, i) => (
        // Rows of a placeholder have no identity but their place.
        // biome-ignore lint/suspicious/noArrayIndexKey: see above
        <div className="sk-row" key={i}>
          <div className="sk" style={{ width: WIDTHS[i % WIDTHS.length] }} />
          <div className="sk" style={{ width: WIDTHS[(i + 3) % WIDTHS.length] }} />
        </div>
      ))}
    </div>
  );
}

export function Empty({
  title,
  children,
  acts,
  glyph,
}: {
  title: string;
  children?: ReactNode;
  acts?: ReactNode;
  glyph?: ReactNode;
}) {
  return (
    <div className="empty">
      {glyph && <div className="art">{glyph}</div>}
      <h3>{title}</h3>
      {children && <p>{children}</p>}
      {acts && <div className="acts">{acts}</div>}
    </div>
  );
}

const AGAIN_S = 10;

/** One panel failed, the page did not. Tries again by itself. */
export function Failed({ what, error, again }: { what: string; error: unknown; again: () => void }) {
  const now = useNow();
  const [since, setSince] = useState(now);
  const gone = error instanceof ApiError && (error.status === 404 || error.status === 403);
  const left = Math.max(0, AGAIN_S - Math.floor((now - since) / 1000));
  useEffect(() => {
    if (gone || left > 0) return;
    setSince(now);
    again();
  }, [gone, left, now, again]);
  const request = error instanceof ApiError ? error.request : null;
  const status = error instanceof ApiError && error.status > 0 ? `answer ${error.status}` : 'no answer';
  if (gone) {
    return (
      <Empty title="There is nothing here" glyph={<Glyph shape="notice" size="xl" />}>
        It does not exist, it was removed, or it is not yours to see.
      </Empty>
    );
  }
  const details = [say(error), request && `request ${request}`, status].filter(Boolean).join('\n');
  return (
    <div role="alert">
      <Empty
        title={`${what} could not be loaded`}
        glyph={<Glyph shape="warning" size="xl" />}
        acts={
          <>
            <button type="button" className="btn" onClick={again}>
              Try now
            </button>
            <button
              type="button"
              className="btn ghost"
              onClick={() => void navigator.clipboard?.writeText(details)}
            >
              Copy details
            </button>
          </>
        }
      >
        {say(error)} Trying again in {left} s.
        <br />
        <span className="mono">{request ? `request ${request}, ${status}` : status}</span>
      </Empty>
    </div>
  );
}

interface LoadedProps<T> {
  query: UseQueryResult<T>;
  what: string;
  rows?: number;
  children: (data: T) => ReactNode;
}

/** The data once it is there; never a skeleton for a refresh, never an error over data we have. */
export function Loaded<T>({ query, what, rows = 5, children }: LoadedProps<T>) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.isError) return <Failed what={what} error={query.error} again={query.refetch} />;
  return <Skeleton rows={rows} />;
}
