import { setupWorker } from 'msw/browser';
import { handlers } from './handlers';

const WORKER = '/mockServiceWorker.js';

declare global {
  interface Window {
    trustedTypes?: {
      createPolicy: (name: string, rules: { createScriptURL: (url: string) => string }) => unknown;
    };
  }
}

/** Answers the API inside the browser, for `npm run dev` and for pictures. */
export async function startMocks(): Promise<void> {
  // Under the page's own policy only the worker may be started; everything else stays forbidden.
  window.trustedTypes?.createPolicy('default', {
    createScriptURL: (url) => {
      if (new URL(url, location.origin).href !== location.origin + WORKER) throw new TypeError(url);
      return url;
    },
  });
  await setupWorker(...handlers).start({
    quiet: true,
    onUnhandledRequest: 'bypass',
    serviceWorker: { url: WORKER },
  });
}
