/** The way to this page, said by the page and drawn by the shell's top bar. */
import { createContext, Fragment, type ReactNode, useContext, useEffect } from 'react';
import { createPortal } from 'react-dom';

export const CrumbPlace = createContext<HTMLElement | null>(null);

/** The parts before the last are links; the last is where we are. `title` names the browser's tab. */
export function Crumb({ up = [], here, title }: { up?: ReactNode[]; here: ReactNode; title: string }) {
  const place = useContext(CrumbPlace);
  useEffect(() => {
    document.title = `${title} · Farwatch`;
  }, [title]);
  if (!place) return null;
  return createPortal(
    <>
      {up.map((part, i) => (
        // The way up has a fixed order.
        // biome-ignore lint/suspicious/noArrayIndexKey: see above
        <Fragment key={i}>
          <span className="up">{part}</span>
          <span className="sep">/</span>
        </Fragment>
      ))}
      <b>{here}</b>
    </>,
    place,
  );
}
