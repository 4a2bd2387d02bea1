// Rows of limits on pids, for the overview and the budget.

import { h } from '../dom.js';
import { clean, count, duration, lifeLink, namePid, plural } from '../format.js';

/** A limit that will be full later than this, s, has no forecast. */
const HORIZON = 7 * 86400;

/** A limit that will be full within this time, s, is marked. */
const SOON = 3600;

const NAMES = {
  pid_max: 'kernel.pid_max',
  threads_max: 'kernel.threads-max',
};

/** Returns what a limit is: `kernel.pid_max`, `pids.max of /a`. */
export function what(limit) {
  const name = clean(limit.name ?? '');
  if (NAMES[limit.kind]) return NAMES[limit.kind];
  if (limit.kind === 'cgroup') return `pids.max of ${name || '/'}`;
  if (limit.kind === 'rlimit_nproc') return `RLIMIT_NPROC of uid ${name}`;
  return `${limit.kind.replaceAll('_', ' ')} ${name}`;
}

export const share = (limit) => (limit.limit === 0 ? 1 : Math.min(1, limit.used / limit.limit));

/** Returns when a limit will be full, with a mark if that is soon. `rate` is its growth in tasks per second. */
export function forecast(limit, rate) {
  if (limit.full) return { text: `FULL: fork fails with ${clean(limit.errno)}`, mark: 'bad' };
  const known = limit.full_in_ns === undefined ? undefined : limit.full_in_ns / 1e9;
  if (rate === undefined && known === undefined) return { text: 'no forecast yet', mark: 'soft' };
  const seconds = rate === undefined ? known : (limit.limit - limit.used) / rate;
  // Less than one task in two minutes is noise.
  if ((rate !== undefined && rate <= 1 / 120) || seconds > HORIZON) return { text: 'steady', mark: 'soft' };
  const growth = rate === undefined ? '' : `+${(rate * 60).toFixed(0)}/min, `;
  return { text: `${growth}full in ${duration(seconds * 1e9)}`, mark: seconds < SOON ? 'odd' : '' };
}

/** Returns who uses most of a limit. */
export function consumer(it) {
  const who = it.processes === 1 ? namePid(it) : `${plural(it.processes, 'process', 'processes')} of ${clean(it.name ?? '?')}`;
  const parent = it.processes === 1 || !it.parent ? '' : `, children of ${namePid(it.parent)}`;
  const zombies = it.zombies ? `, ${plural(it.zombies, 'zombie', 'zombies')}` : '';
  return `${who}${parent}: ${plural(it.tasks, 'task', 'tasks')}${zombies}`;
}

export const consumerLink = (it) => (it.processes === 1 ? lifeLink(it) : lifeLink(it.parent ?? it));

/** A bar for a limit. */
export function meter(limit) {
  const bar = h('span');
  const used = share(limit);
  bar.style.width = `${used * 100}%`;
  const label = `${what(limit)}: ${count(limit.used)} of ${count(limit.limit)}`;
  return h(
    'div',
    { class: `meter ${limit.full || used >= 0.8 ? 'bad' : ''}`, role: 'meter', 'aria-label': label, 'aria-valuenow': limit.used, 'aria-valuemin': 0, 'aria-valuemax': limit.limit },
    bar,
  );
}
