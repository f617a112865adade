import './styles/fonts.css';
import './styles/tokens.css';
import './styles/base.css';
import './styles/shell.css';
import './styles/pages.css';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { ApiError, onSignedOut } from './api/client';
import { setSessionEnded } from './api/ended';
import { sessionQuery } from './api/queries';
import { makeRouter } from './router';
import { startDensity } from './ui/density';
import { startTheme } from './ui/theme';

declare const __MOCKS__: boolean;

const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      refetchOnWindowFocus: false, // the live stream says what changed
      retry: (times, error) =>
        times < 1 && !(error instanceof ApiError && error.status >= 400 && error.status < 500),
    },
  },
});
const router = makeRouter(queryClient);

// The session ended elsewhere (expired, signed out, user removed): the page asks to sign in again and loses nothing.
onSignedOut(() => {
  if (queryClient.getQueryData(sessionQuery.queryKey)?.user) setSessionEnded(true);
  else void router.invalidate();
});

async function start(): Promise<void> {
  startTheme();
  startDensity();
  if (__MOCKS__) {
    const { startMocks } = await import('./mocks/browser');
    await startMocks();
  }
  const place = document.getElementById('root');
  if (!place) throw new Error('index.html has no #root');
  createRoot(place).render(
    <StrictMode>
      <QueryClientProvider client={queryClient}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </StrictMode>,
  );
}

void start();
