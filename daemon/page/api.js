// Requests to the daemon. Every path is relative to the page, so that the page works behind a prefix.

/** A query is sent again after this many times the duration of its answer, so that one viewer uses at most a tenth of one CPU for it. */
const COST = 10;

/** Time between two attempts to reach a daemon that is gone, ms. */
const AGAIN = 1000;

/** An answer that is an error. `status` is absent if there was no answer. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export const url = (path) => new URL(path, document.baseURI);

/** Sends a request; an error has the daemon's message. */
export async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(url(path), { cache: 'no-store', credentials: 'same-origin', redirect: 'error', ...options });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError('no daemon answers');
  }
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => undefined);
  throw new ApiError(body?.error?.message ?? `status ${answer.status}`, answer.status);
}

/** Returns the JSON of an answer. It may be up to a second old, so that all viewers can share it. */
export async function ask(path, signal) {
  const headers = { 'cache-control': 'max-age=1' };
  const answer = await request(path, { signal, cache: 'default', headers });
  return answer.json();
}

/** Resolves after this time, or when the signal is aborted. */
export function sleep(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

/** Resolves once the page is visible. A hidden page sends no requests. */
export function visible(signal) {
  if (!document.hidden || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const check = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener('visibilitychange', check);
      resolve();
    };
    document.addEventListener('visibilitychange', check);
    signal.addEventListener('abort', check, { once: true });
  });
}

/**
 * Sends a query at intervals until the signal is aborted. `path` may be a function; it may return undefined to wait.
 * Tells `connection` whether the daemon answers.
 */
export async function poll({ path, every, apply, fail }, connection, signal) {
  let before = Infinity;
  while (!signal.aborted) {
    await visible(signal);
    const query = typeof path === 'function' ? path() : path;
    let wait = every;
    if (query !== undefined && !signal.aborted) {
      const started = performance.now();
      try {
        const answer = await ask(query, signal);
        if (signal.aborted) return;
        connection.answered();
        const took = performance.now() - started;
        // Use the shorter of two durations, because one slow answer on a busy host does not show what the query costs.
        wait = Math.max(every, COST * Math.min(took, before));
        before = took;
        if (apply(answer) === false) return;
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        // An error status is an answer too, so the daemon is there. 502 comes from a proxy.
        if (error.status && error.status !== 502) connection.answered();
        else connection.failed(error.message);
        if (fail?.(error) === false) return;
        wait = Math.max(every, AGAIN);
      }
    }
    await sleep(wait, signal);
  }
}
