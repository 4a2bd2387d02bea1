// The overview: what `taskscope top` shows first.

import { poll } from '../api.js';
import { Table, h, pane } from '../dom.js';
import { count, plural } from '../format.js';
import { growth } from '../history.js';
import { Names } from '../names.js';
import { follow } from '../stream.js';
import { consumer, consumerLink, forecast, meter, share, what } from './limits.js';
import {
  BLOCKED_COLUMNS, CULPRIT_COLUMNS, DEATH_COLUMNS, REPARENTED_COLUMNS, blockedRows, culpritRows, deathRow, reparentedRow,
} from './rows.js';

export const label = 'Overview';

/** Rows of each pane. */
const MOST = 100;

export function show({ main, connection, signal }) {
  const meters = h('div', { class: 'body meters' }, h('p', { class: 'soft' }, 'no answer yet'));
  const budget = pane('Pid budget', meters, { className: 'wide', link: { href: '#/budget', text: 'Budget' } });
  const culprits = new Table('Zombies by parent', CULPRIT_COLUMNS, { empty: 'no parent has zombies' });
  const deaths = new Table('Deaths', DEATH_COLUMNS, { empty: 'no process has ended with a signal or a code other than 0' });
  const blocked = new Table('Blocked and stuck tasks', BLOCKED_COLUMNS, { empty: 'no task is blocked or stuck' });
  const reparented = new Table('Reparented processes', REPARENTED_COLUMNS, { empty: 'no process was reparented in the last minutes' });
  const panes = {
    culprits: pane('Zombies by parent', culprits.element, { className: 'fixed', link: { href: '#/culprits', text: 'Culprits' } }),
    deaths: pane('Deaths', deaths.element, { className: 'fixed' }),
    blocked: pane('Blocked, stuck', blocked.element, { className: 'fixed' }),
    reparented: pane('Reparented', reparented.element, { className: 'fixed', link: { href: '#/events?action=reparented', text: 'Events' } }),
  };
  main.append(
    h('h1', { class: 'hidden' }, 'Overview'),
    h('div', { class: 'panes' }, budget.element, Object.values(panes).map((it) => it.element)),
  );
  for (const table of [culprits, deaths, blocked, reparented]) table.update([]);

  let [stuck, tasks, ended, moved] = [[], [], [], []];
  let newest = 0;
  const showMoved = () => {
    reparented.update(moved.map((event) => reparentedRow(event, names)));
    panes.reparented.count(moved.length < MOST ? count(moved.length) : `last ${MOST}`);
  };
  const names = new Names(showMoved, signal);
  const showBlocked = () => {
    const rows = blockedRows(tasks, stuck);
    blocked.update(rows.slice(0, MOST));
    panes.blocked.count(count(rows.length));
  };
  const polls = [
    {
      path: 'v1/zombies',
      every: 1000,
      apply(answer) {
        culprits.update(culpritRows(answer, MOST));
        panes.culprits.count(plural(answer.parents.length + (answer.parents_left_off ?? 0), 'parent', 'parents'));
        stuck = answer.stuck_exits ?? [];
        showBlocked();
      },
    },
    {
      path: () => `v1/deaths?limit=${MOST}&after=${newest}`,
      every: 1000,
      apply(answer) {
        const added = answer.deaths.filter((death) => death.boottime_ns > newest);
        if (added.length === 0) return;
        newest = added[0].boottime_ns;
        ended = [...added, ...ended].slice(0, MOST);
        deaths.update(ended.map(deathRow));
        panes.deaths.count(ended.length < MOST ? count(ended.length) : `last ${MOST}`);
      },
    },
    {
      path: 'v1/limits',
      every: 3000,
      apply(answer) {
        const rates = growth(answer.limits);
        const limits = answer.limits.map((limit, n) => ({ limit, rate: rates[n] })).toSorted((a, b) => share(b.limit) - share(a.limit));
        meters.replaceChildren(
          ...limits.slice(0, 4).flatMap(({ limit, rate }) => {
            const { text, mark } = forecast(limit, rate);
            const most = limit.consumers[0];
            return [
              h('span', { class: 'mono', title: what(limit) }, what(limit)),
              meter(limit),
              h('span', { class: 'number' }, `${count(limit.used)} of ${count(limit.limit)}`),
              h('span', { class: mark }, text),
              most ? h('a', { href: consumerLink(most), title: consumer(most) }, consumer(most)) : h('span'),
            ];
          }),
        );
      },
    },
    {
      path: 'v1/blocked',
      every: 5000,
      apply(answer) {
        tasks = answer.tasks;
        blocked.empty = answer.unknown_because ? `not known: ${answer.unknown_because}` : 'no task is blocked or stuck';
        showBlocked();
      },
    },
  ];
  for (const it of polls) poll(it, connection, signal);
  follow(
    {
      query: 'action=reparented',
      since: '10m',
      apply(events) {
        moved = [...events.filter((it) => it.event.action === 'reparented' && it.task?.kind !== 'thread').toReversed(), ...moved].slice(0, MOST);
        showMoved();
      },
    },
    connection,
    signal,
  );
}
