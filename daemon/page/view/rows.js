// Rows that several views show, from answers of the API and from events.

import { clean, clockTime, duration, namePid, processCell, words, zombieAge } from '../format.js';

/** Rows of parents that do not wait for their zombies, the worst first. */
export function culpritRows(zombies, most = 200) {
  const late = (parent) => (parent.verdict.code === 'just_died' ? 0 : 1);
  const parents = zombies.parents.toSorted((a, b) => late(b) - late(a) || b.children.zombies - a.children.zombies);
  return parents.slice(0, most).map((parent) => ({
    id: parent.process.entity_id ?? parent.process.pid,
    mark: late(parent) ? 'bad' : '',
    parent,
    cells: [
      String(parent.children.zombies),
      zombieAge(parent),
      parent.zombies_per_minute === undefined ? '-' : parent.zombies_per_minute.toFixed(1),
      processCell(parent.process),
      { text: clean(parent.verdict.words), title: clean(parent.verdict.summary) },
    ],
  }));
}

export const CULPRIT_COLUMNS = [
  { title: 'Zombies', number: true },
  { title: 'Oldest', number: true },
  { title: '/min', number: true },
  { title: 'Parent', name: true },
  { title: 'Why', grow: true },
];

const BAD = new Set(['oom', 'fault', 'seccomp', 'cpu_limit']);

export function deathRow(death) {
  return {
    id: `${death.process.entity_id ?? death.process.pid} ${death.boottime_ns}`,
    mark: BAD.has(death.cause) ? 'bad' : death.cause === 'exited' ? '' : 'odd',
    cells: [
      clockTime(death['@timestamp']),
      words(death.cause),
      processCell(death.process),
      { text: clean(death.summary), title: clean(death.summary) },
    ],
  };
}

export const DEATH_COLUMNS = [
  { title: 'Time' },
  { title: 'Cause' },
  { title: 'Process', name: true },
  { title: 'Why', grow: true },
];

export function blockedRows(blocked, stuck) {
  const rows = stuck.map((it) => ({
    id: `stuck ${it.process.pid}`,
    mark: 'bad',
    cells: [
      duration(it.for_at_least_ns),
      'exiting',
      processCell(it.process),
      `do_exit() has not ended; ${it.threads_left} other threads`,
    ],
  }));
  for (const it of blocked) {
    const where = it.wchan ? `, in ${clean(it.wchan)}()` : '';
    const waits = `${it.waits_for ? clean(it.waits_for) : '?'}${where}`;
    rows.push({
      id: `blocked ${it.tid}`,
      mark: 'odd',
      cells: [
        `>${duration(it.blocked_at_least_ns)}`,
        words(it.doing),
        { ...processCell(it.process), text: `${clean(it.name ?? it.process.name ?? '?')} (${it.tid})` },
        { text: waits, title: waits },
      ],
    });
  }
  return rows;
}

export const BLOCKED_COLUMNS = [
  { title: 'For', number: true },
  { title: 'State' },
  { title: 'Task', name: true },
  { title: 'Waits for', grow: true },
];

export const REPARENTED_COLUMNS = [
  { title: 'Time' },
  { title: 'Process', name: true },
  { title: 'From', name: true },
  { title: 'To', name: true },
  { title: 'Kind', grow: true },
];

const parentCell = (pid, name) => (pid ? processCell({ pid, name }) : '?');

/** `names` finds the names of the former and the new parent. */
export function reparentedRow(event, names) {
  const task = event.task ?? {};
  return {
    id: event.event.sequence,
    cells: [
      clockTime(event['@timestamp']),
      processCell(event.process),
      parentCell(task.old_parent_pid, names.name(task.old_parent_pid, event.boottime_ns)),
      parentCell(task.new_parent_pid, names.name(task.new_parent_pid, event.boottime_ns)),
      words(task.reparent_kind),
    ],
  };
}

const BAD_ACTIONS = new Set(['gap', 'zombie_flagged', 'blocked_flagged', 'exit_stuck', 'clone_failed']);
const ODD_ACTIONS = new Set(['leader_died', 'reparented']);

/** Returns further facts of an event, as `taskscope top` does. */
export function facts(event) {
  if (event.gap) {
    const lost = event.gap.lost === undefined ? 'events are' : `${event.gap.lost} events are`;
    return `${lost} missing here (${event.gap.place})`;
  }
  const action = event.event.action;
  const [process, task] = [event.process ?? {}, event.task ?? {}];
  const parts = [];
  if (['forked', 'zombie_began', 'zombie_flagged'].includes(action) && process.parent_pid) parts.push(`parent ${process.parent_pid}`);
  if (task.kind && task.kind !== 'process') parts.push(words(task.kind));
  if (task.exec_path) parts.push(task.exec_path);
  if (task.old_name) parts.push(`${task.old_name} -> ${task.new_name ?? '?'}`);
  if (task.errno_name) parts.push(task.errno_name);
  if (task.wchan) parts.push(`in ${task.wchan}()`);
  if (action === 'reparented') parts.push(`${task.old_parent_pid ?? '?'} -> ${task.new_parent_pid ?? '?'} (${words(task.reparent_kind)})`);
  if (action === 'group_exited' && process.exit) {
    const { code, signal, signal_name: name } = process.exit;
    if (code !== undefined) parts.push(`code ${code}`);
    else parts.push(name ?? `signal ${signal}`);
  }
  if (task.death && task.death.cause !== 'exited') {
    const sender = task.death.by_signal?.sender;
    parts.push(sender ? `${task.death.cause} by ${namePid(sender)}` : words(task.death.cause));
  }
  if (task.reaper) parts.push(`by ${namePid(task.reaper)}`);
  const length = task.zombie_duration_ns ?? task.blocked_ns ?? task.stuck_ns;
  if (length !== undefined) parts.push(`after ${duration(length)}`);
  if (task.threads_left !== undefined) parts.push(`${task.threads_left} threads still run`);
  return clean(parts.join(', '));
}

export const EVENT_COLUMNS = [
  { title: 'Time' },
  { title: 'Action' },
  { title: 'Process', name: true },
  { title: 'What', grow: true },
];

export function eventRow(event) {
  const action = event.event.action;
  const text = facts(event);
  return {
    id: event.key,
    mark: BAD_ACTIONS.has(action) ? 'bad' : ODD_ACTIONS.has(action) ? 'odd' : '',
    cells: [
      event['@timestamp'] ? clockTime(event['@timestamp'], true) : '',
      clean(action),
      event.process ? processCell(event.process) : '',
      { text, title: text },
    ],
  };
}
