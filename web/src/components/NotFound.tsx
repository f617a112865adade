import { Link, useRouter } from '@tanstack/react-router';
import { Empty, Failed } from '../ui/Feedback';
import { Glyph } from '../ui/Glyph';

export function NotFound() {
  return (
    <main className="auth">
      <div className="card">
        <h1 className="sr">Nothing here</h1>
        <Empty
          title="There is nothing here"
          glyph={<Glyph shape="notice" size="xl" />}
          acts={
            <Link to="/" className="btn pri">
              Go to the overview
            </Link>
          }
        >
          The address is wrong, it was removed, or it is not yours to see.
        </Empty>
      </div>
    </main>
  );
}

/** The page itself broke, or Central could not be asked who we are. */
export function PageFailed({ error }: { error: unknown }) {
  const router = useRouter();
  return (
    <main className="auth">
      <div className="card">
        <h1 className="sr">The page could not be loaded</h1>
        <Failed what="The page" error={error} again={() => void router.invalidate()} />
      </div>
    </main>
  );
}
