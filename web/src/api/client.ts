/** One thin client over fetch: the CSRF header on what changes something, and problems as errors. */
import createClient from 'openapi-fetch';
import type { paths } from './schema';
import type { Problem } from './types';

/** What Central (or the network before it) said instead of an answer. */
export class ApiError extends Error {
  readonly status: number;
  readonly detail: string;
  /** The request id to quote when asking for help; null when Central was never reached. */
  readonly request: string | null;
  readonly fields: { field: string; detail: string }[];
  /** Seconds to wait, from `retry-after`. */
  readonly retryAfter: number | null;

  constructor(
    problem: Pick<Problem, 'title' | 'status'> & Partial<Problem>,
    retryAfter: number | null = null,
  ) {
    super(problem.title);
    this.status = problem.status;
    this.detail = problem.detail ?? '';
    this.request = problem.instance ?? null;
    this.fields = problem.errors ?? [];
    this.retryAfter = retryAfter;
  }

  /** What to say beside one field, if Central said anything about it. */
  field(name: string): string | undefined {
    return this.fields.find((one) => one.field === name)?.detail;
  }
}

let csrf: string | null = null;
const signedOut = new Set<() => void>();

/** The token that proves a change comes from this page; from the session, kept in memory only. */
export function setCsrfToken(token: string | null): void {
  csrf = token;
}

/** Calls `listener` when Central no longer knows our session. */
export function onSignedOut(listener: () => void): () => void {
  signedOut.add(listener);
  return () => signedOut.delete(listener);
}

export const api = createClient<paths>({
  baseUrl: location.origin,
  credentials: 'same-origin',
  // Asked for at each call, so that a test or a mock that replaces fetch later is used.
  fetch: (request) => fetch(request),
});

api.use({
  onRequest({ request }) {
    if (csrf !== null && request.method !== 'GET' && request.method !== 'HEAD') {
      request.headers.set('x-csrf-token', csrf);
    }
    return request;
  },
  onResponse({ request, response }) {
    if (response.status === 401 && !request.url.endsWith('/session')) {
      for (const listener of signedOut) listener();
    }
  },
});

interface Outcome<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The body of a good answer; anything else becomes an `ApiError`. */
export async function take<T>(asked: Promise<Outcome<T>>): Promise<T> {
  const { data, error, response } = await settled(asked);
  if (response.ok && data !== undefined) return data;
  throw problemOf(error, response);
}

/** For answers without a body. */
export async function done(asked: Promise<Outcome<unknown>>): Promise<void> {
  const { error, response } = await settled(asked);
  if (!response.ok) throw problemOf(error, response);
}

async function settled<T>(asked: Promise<Outcome<T>>): Promise<Outcome<T>> {
  try {
    return await asked;
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause;
    throw new ApiError({
      title: 'Central did not answer',
      status: 0,
      detail: 'The network is down or Central is not running.',
    });
  }
}

function problemOf(error: unknown, response: Response): ApiError {
  const wait = Number(response.headers.get('retry-after'));
  const retryAfter = Number.isFinite(wait) && wait > 0 ? wait : null;
  if (isProblem(error)) return new ApiError(error, retryAfter);
  const detail = `Central answered ${response.status} without saying why.`;
  return new ApiError({ title: 'The request failed', status: response.status, detail }, retryAfter);
}

function isProblem(error: unknown): error is Problem {
  return (
    typeof error === 'object' &&
    error !== null &&
    'title' in error &&
    typeof error.title === 'string' &&
    'status' in error &&
    typeof error.status === 'number'
  );
}

/** The error in one sentence, whatever it was. The title is only the status in words; the detail says more. */
export function say(error: unknown): string {
  if (error instanceof ApiError) {
    // Central names the field as the API does: "display_name: …".
    const text = (error.detail || error.message).replace(/^[a-z]+(_[a-z]+)+(?=:)/, (field) =>
      field.replaceAll('_', ' '),
    );
    const sentence = text.charAt(0).toUpperCase() + text.slice(1);
    return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
  }
  return error instanceof Error ? error.message : String(error);
}
