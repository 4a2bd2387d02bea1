// The stream of events, with the filters of /v1/events.

import { setParameters } from '../address.js';
import { Table, h, pane } from '../dom.js';
import { count } from '../format.js';
import { follow } from '../stream.js';
import { EVENT_COLUMNS, eventRow } from './rows.js';

export const label = 'Events';

/** Events that are kept, and rows that are shown. */
const KEPT = 2000;
const SHOWN = 300;

/** The actions that are shown unless some are chosen: one for each change of a process's state. */
const USUAL = [
  'forked', 'clone_failed', 'execed', 'exec_takeover', 'reparented', 'blocked_flagged', 'blocked_cleared', 'exit_stuck', 'leader_died',
  'group_exited', 'zombie_began', 'zombie_flagged', 'reaped', 'autoreaped',
];
const MORE = ['renamed', 'exiting', 'exited', 'released', 'scope_began', 'scope_ended'];

/** Actions that threads have too; unless an action is chosen, they are shown only for processes. */
const OF_THREADS = new Set(['forked', 'reaped', 'autoreaped', 'reparented']);
const THREADS = new Set(['thread', 'io_worker', 'user_worker']);

export function show({ main, parameters, connection, signal }) {
  const filter = {
    action: parameters.get('action') ?? '',
    pid: parameters.get('pid') ?? '',
    comm: parameters.get('comm') ?? '',
    unit: parameters.get('unit') ?? '',
    container: parameters.get('container') ?? '',
    subtree: parameters.get('subtree') ?? '',
    since: parameters.get('since') ?? '60s',
  };
  const field = (key, text, size, placeholder) =>
    h('label', {}, text, h('input', { name: key, value: filter[key], size, placeholder, autocomplete: 'off', spellcheck: 'false', class: 'mono' }));
  const actions = h(
    'select',
    { name: 'action' },
    h('option', { value: '' }, 'changes of processes'),
    [...USUAL, ...MORE].map((it) => h('option', { value: it, selected: it === filter.action }, it)),
  );
  const pause = h('button', { type: 'button', 'aria-pressed': 'false' }, 'Pause');
  const problem = h('p', { class: 'bad', role: 'alert' });
  const form = h(
    'form',
    { class: 'bar-row' },
    h('label', {}, 'Action', actions),
    field('comm', 'Name', 12, 'web*'),
    field('pid', 'Pid', 7, '4711'),
    field('subtree', 'Subtree of', 7, '1234'),
    field('unit', 'Unit', 12, 'nginx*'),
    field('container', 'Container', 12, '3f2a'),
    field('since', 'Since', 4, '60s'),
    h('button', { type: 'submit' }, 'Apply'),
    pause,
  );
  const table = new Table('Events, the last first', EVENT_COLUMNS, { empty: 'nothing has happened yet' });
  const list = pane('Events', table.element, { className: 'tall' });
  main.append(h('h1', { class: 'hidden' }, 'Events'), form, problem, list.element);
  table.update([]);

  let [kept, held, paused, key, due] = [[], [], false, 0, false];
  const draw = () => {
    due = false;
    if (signal.aborted) return;
    table.update(kept.slice(0, SHOWN).map(eventRow));
    const waiting = held.length ? `, ${count(held.length)} more since the pause` : '';
    list.count(`last ${count(Math.min(kept.length, SHOWN))}${waiting}`);
  };
  const later = () => {
    if (due) return;
    due = true;
    // A table of this size need not be redrawn more often.
    setTimeout(() => requestAnimationFrame(draw), 200);
  };
  const add = (events) => {
    kept = [...events.toReversed(), ...kept].slice(0, KEPT);
    later();
  };
  pause.addEventListener('click', () => {
    paused = !paused;
    pause.setAttribute('aria-pressed', String(paused));
    pause.textContent = paused ? 'Continue' : 'Pause';
    if (!paused) add(held.splice(0));
  });

  let reading;
  const start = () => {
    reading?.abort();
    reading = new AbortController();
    signal.addEventListener('abort', () => reading.abort(), { once: true });
    [kept, held] = [[], []];
    problem.textContent = '';
    draw();
    const query = new URLSearchParams({ action: filter.action || USUAL.join(',') });
    for (const it of ['pid', 'comm', 'unit', 'container', 'subtree']) if (filter[it]) query.set(it, filter[it]);
    const isWanted = (event) => event.gap || filter.action || !(OF_THREADS.has(event.event.action) && THREADS.has(event.task?.kind));
    follow(
      {
        query: query.toString(),
        since: encodeURIComponent(filter.since || '60s'),
        apply(events) {
          const wanted = events.filter(isWanted);
          for (const event of wanted) event.key = key++;
          if (!paused) add(wanted);
          else {
            held = [...held, ...wanted].slice(-KEPT);
            later();
          }
        },
        fail: (error) => { problem.textContent = error.message; },
      },
      connection,
      reading.signal,
    );
  };
  const apply = () => {
    for (const it of Object.keys(filter)) filter[it] = form.elements[it].value.trim();
    setParameters('events', { ...filter, since: filter.since === '60s' ? '' : filter.since });
    start();
  };
  form.addEventListener('submit', (event) => { event.preventDefault(); apply(); });
  actions.addEventListener('change', apply);
  start();
}
