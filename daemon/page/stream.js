// The stream of events: server-sent events, read by fetch. Unlike EventSource, this shows why a stream was refused, and reads no
// faster than the page can show events. Events that the page does not read in time are a gap in its stream only.

import { ApiError, request, sleep, visible } from './api.js';

/** The most bytes that the page reads each second; about 1,200 events. */
const RATE = 1 << 20;

/** Without a heartbeat for this long the connection is considered dead, ms. The daemon sends one each 15 s. */
const SILENT = 40000;

/** Time before a stream is opened again, ms: the first, and the longest. */
const AGAIN = [500, 10000];

/** A hidden page closes its connection after this time, ms, and resumes when it is visible again. */
const HIDDEN = 5000;

/** Splits a text of server-sent events; calls `on(event, data, id)` for each that is whole and returns the rest. */
export function split(text, on) {
  let from = 0;
  for (;;) {
    const end = text.indexOf('\n\n', from);
    if (end < 0) return text.slice(from);
    let [event, data, id] = ['', '', ''];
    for (const line of text.slice(from, end).split('\n')) {
      if (line.startsWith('data: ')) data = line.slice(6);
      else if (line.startsWith('event: ')) event = line.slice(7);
      else if (line.startsWith('id: ')) id = line.slice(4);
    }
    on(event, data, id);
    from = end + 2;
  }
}

/**
 * Reads events until the signal is aborted, and resumes after the last one when the connection breaks. `query` are the parameters,
 * `since` how far back the first stream begins, `apply(events)` takes a batch, gaps included.
 */
export async function follow({ query = '', since = '60s', apply, fail }, connection, signal) {
  let last;
  let attempt = 0;
  while (!signal.aborted) {
    await visible(signal);
    if (signal.aborted) return;
    const stop = new AbortController();
    signal.addEventListener('abort', () => stop.abort(), { once: true });
    let hiding;
    const hidden = () => {
      clearTimeout(hiding);
      if (document.hidden) hiding = setTimeout(() => stop.abort(), HIDDEN);
    };
    document.addEventListener('visibilitychange', hidden);
    try {
      const headers = { accept: 'text/event-stream' };
      if (last) headers['last-event-id'] = last;
      const path = `v1/events?${last ? '' : `since=${since}&`}${query}`;
      const answer = await request(path, { headers, signal: stop.signal });
      attempt = 0;
      connection.answered();
      await read(answer.body, stop, connection, Boolean(last), (events, id) => {
        if (id) last = id;
        if (events.length) apply(events);
      });
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status) fail?.(error);
      else if (error instanceof ApiError) connection.failed(error.message);
    } finally {
      clearTimeout(hiding);
      document.removeEventListener('visibilitychange', hidden);
      connection.late(false);
    }
    const wait = Math.min(AGAIN[0] * 2 ** attempt, AGAIN[1]);
    attempt += 1;
    await sleep(wait, signal);
  }
}

async function read(body, stop, connection, resumes, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let due = performance.now();
  let slow = 0;
  let silence;
  for (;;) {
    clearTimeout(silence);
    silence = setTimeout(() => stop.abort(), SILENT);
    const { done, value } = await reader.read().finally(() => clearTimeout(silence));
    if (done) return;
    const events = [];
    let id = '';
    rest = split(rest + value, (event, data, its) => {
      if (its) id = its;
      if (!data) return;
      const parsed = JSON.parse(data);
      // The first stream does not resume, so events before it are not missing.
      if (parsed.gap && (resumes || parsed.gap.place !== 'backlog')) connection.missed(parsed.gap);
      events.push(parsed);
    });
    take(events, id);
    const now = performance.now();
    due = Math.max(due, now - 1000) + (value.length / RATE) * 1000;
    if (due > now) {
      slow += 1;
      if (slow > 20) connection.late(true);
      await sleep(due - now, stop.signal);
    } else {
      slow = 0;
      connection.late(false);
    }
  }
}
