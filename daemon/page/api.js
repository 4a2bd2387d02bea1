// Requests to the daemon. Every path is relative to the page, so that the page works behind a prefix.

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

/** Returns for how long the daemon will repeat this answer, ms, from the headers `Cache-Control` and `Age`. */
function lasts(answer) {
  const seconds = (name, pattern) => Number(pattern.exec(answer.headers.get(name) ?? '')?.[1] ?? 0);
  return Math.max(0, seconds('cache-control', /max-age=(\d+)/) - seconds('age', /(\d+)/)) * 1000;
}

/** Gets an answer that may be up to a second old, so that viewers share it. Returns its JSON, and for how long the daemon will repeat it. */
async function share(path, signal) {
  const answer = await request(path, { signal, headers: { 'cache-control': 'max-age=1' } });
  return { json: await answer.json(), lasts: lasts(answer) };
}

/** Returns the JSON of an answer that viewers share. */
export async function ask(path, signal) {
  return (await share(path, signal)).json;
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
 * Calls `apply` with the JSON of each answer, and with how long the daemon will repeat it, ms; ends if `apply` returns false.
 * Tells `connection` whether the daemon answers.
 */
export async function poll({ path, every, apply, fail }, connection, signal) {
  while (!signal.aborted) {
    await visible(signal);
    const query = typeof path === 'function' ? path() : path;
    let wait = every;
    if (query !== undefined && !signal.aborted) {
      try {
        const answer = await share(query, signal);
        if (signal.aborted) return;
        connection.answered();
        // The daemon repeats an expensive answer for longer: asking earlier would give the same one.
        wait = Math.max(every, answer.lasts);
        if (apply(answer.json, answer.lasts) === false) return;
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
