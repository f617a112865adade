import { setupWorker } from 'msw/browser';
import { handlers } from './handlers';

/** Answers the API inside the browser, for `npm run dev` and for pictures. */
export async function startMocks(): Promise<void> {
  await setupWorker(...handlers).start({
    quiet: true,
    onUnhandledRequest: 'bypass',
    serviceWorker: { url: '/mockServiceWorker.js' },
  });
}
