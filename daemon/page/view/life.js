// The history of one process: /v1/explain.

import { poll } from '../api.js';
import { Table, h, pane } from '../dom.js';
import { clean, clockTime, count, duration, lifeLink, namePid, plural, words } from '../format.js';
import { consumer, consumerLink, meter, what } from './limits.js';

export const title = (id) => `Process ${id}`;

export function show({ main, argument, connection, signal }) {
  const heading = h('h1', {}, `Process ${clean(argument)}`);
  const links = h('p', { class: 'bar-row' });
  const body = h('div', { class: 'panes' });
  const status = h('p', { class: 'notice', role: 'status' }, 'no answer yet');
  main.append(h('div', { class: 'bar-row' }, heading, links), status, body);
  let shown = '';
  poll(
    {
      path: `v1/explain/${encodeURIComponent(argument)}`,
      every: 2000,
      apply(answer) {
        status.hidden = true;
        const { '@timestamp': _, boottime_ns: __, observed_ns: ___, related: ____, ...rest } = answer;
        const key = JSON.stringify(rest);
        if (key !== shown) {
          shown = key;
          const open = new Set([...body.querySelectorAll('details[open]')].map((it) => it.dataset.key));
          fill(answer, { heading, links, body });
          for (const it of body.querySelectorAll('details')) if (open.has(it.dataset.key)) it.open = true;
        }
        // The answer about a process that is gone does not change any more.
        return answer.task?.state !== 'released' && answer.task?.state !== 'gone';
      },
      fail(error) {
        if (error.status === 404 || error.status === 400) {
          status.hidden = false;
          status.textContent = error.message;
          return shown === '' ? undefined : false;
        }
        return undefined;
      },
    },
    connection,
    signal,
  );
}

const link = (process) => (process ? h('a', { class: 'name', href: lifeLink(process) }, namePid(process)) : undefined);

function fill(answer, { heading, links, body }) {
  const { process, task = {}, verdict = {} } = answer;
  document.title = `${namePid(process)} - taskscope`;
  heading.replaceChildren(h('span', { class: 'name' }, namePid(process)), h('span', { class: 'soft' }, `  ${words(task.state)}`));
  const id = encodeURIComponent(process.entity_id ?? process.pid);
  links.replaceChildren(
    h('a', { href: `#/timeline?life=${id}` }, 'Timeline'),
    h('a', { href: `#/timeline?root=${id}` }, 'Timeline of its subtree'),
    h('a', { href: `#/tree?life=${id}` }, 'Tree'),
    h('a', { href: `#/events?pid=${process.pid}&since=1h` }, 'Events'),
  );
  const mark = verdict.remedy ? 'bad' : '';
  const parts = [
    pane(
      'Verdict',
      h(
        'div',
        { class: 'body' },
        h(
          'div',
          { class: `verdict ${mark}` },
          h('p', { class: 'summary' }, clean(verdict.summary ?? '')),
          h('p', { class: 'soft' }, `${words(verdict.words ?? verdict.code)}, ${words(verdict.certainty)}`),
          verdict.evidence?.length ? h('ul', {}, verdict.evidence.map((it) => h('li', {}, clean(it)))) : '',
          verdict.culprit ? h('p', {}, 'Culprit: ', link(verdict.culprit)) : '',
          verdict.remedy ? h('p', {}, h('strong', {}, 'What to do: '), clean(verdict.remedy)) : '',
          verdict.missing?.length
            ? h('details', { 'data-key': 'missing' }, h('summary', {}, `Not known (${verdict.missing.length})`), h('ul', {}, verdict.missing.map((it) => h('li', {}, clean(`${it.fact}; this needs ${it.needs}`)))))
            : '',
        ),
      ),
      { className: 'wide' },
    ).element,
    answer.death ? deathPane(answer.death) : undefined,
    story(answer).element,
    pane('Facts', h('div', { class: 'body' }, facts(answer))).element,
  ];
  const now = nowPane(answer.now);
  if (now) parts.push(now);
  for (const limit of answer.limits ?? []) {
    if (!limit.full && limit.used < 0.5 * limit.limit) continue;
    const list = limit.consumers.map((it) => h('li', {}, h('a', { href: consumerLink(it) }, consumer(it))));
    parts.push(pane(what(limit), h('div', { class: 'body' }, meter(limit), h('ol', {}, list))).element);
  }
  body.replaceChildren(...parts.filter(Boolean));
}

function deathPane(death) {
  const sender = death.signal?.sender;
  const body = h(
    'div',
    { class: 'body' },
    h('p', {}, h('span', { class: 'soft' }, `${clockTime(death['@timestamp'], true)}  `), clean(death.summary)),
    sender
      ? h('p', {}, h('span', { class: 'soft' }, `${clean(death.signal.signal_name ?? `signal ${death.signal.signal}`)} from `), link(sender.process), sender.ancestors?.map((it) => [h('span', { class: 'soft' }, ' < '), link(it)]).flat())
      : '',
    death.parent_then?.process ? h('p', {}, h('span', { class: 'soft' }, `${words(death.parent_then.did)} as `), link(death.parent_then.process)) : '',
  );
  return pane('Death', body, { className: 'wide' }).element;
}

function story(answer) {
  const table = new Table('Story', [{ title: 'Time' }, { title: 'What happened', wrap: true, grow: true }], { empty: 'no event is known' });
  const events = answer.story ?? [];
  table.update(
    events.map((it, n) => ({
      id: n,
      cells: [it['@timestamp'] ? clockTime(it['@timestamp'], true) : '', clean(it.text)],
    })),
  );
  return pane('Story', table.element);
}

function facts(answer) {
  const { process, task = {}, parent, cgroup, container, pod } = answer;
  const list = h('dl', { class: 'facts' });
  const add = (name, value) => {
    if (value === undefined || value === '' || value === null) return;
    list.append(h('dt', {}, name), h('dd', {}, value));
  };
  add('Entity id', h('span', { class: 'mono' }, process.entity_id ?? '?'));
  add('Parent', parent && h('span', {}, link(parent)));
  if (task.first_parent_pid) add('First parent', h('a', { href: `#/life/${task.first_parent_pid}` }, String(task.first_parent_pid)));
  add('Program', process.executable && h('span', { class: 'mono' }, clean(process.executable.path)));
  if (process.command_args) add('Arguments', h('span', { class: 'mono' }, clean(process.command_args.join(' '))));
  add('User', process.user && `uid ${process.user.id}${process.real_user && process.real_user.id !== process.user.id ? `, real uid ${process.real_user.id}` : ''}`);
  add('Unit', cgroup?.unit && clean(cgroup.unit));
  add('Cgroup', cgroup?.path && h('span', { class: 'mono' }, clean(cgroup.path)));
  add('Container', container && h('span', { class: 'mono' }, `${clean(container.id).slice(0, 12)} (${clean(container.runtime)})`));
  add('Pod', pod?.uid && clean(pod.uid));
  add('Kind', words(task.kind));
  add('Created by', words(task.creation));
  add('Threads', task.threads === undefined ? undefined : `${task.threads} now, ${task.threads_peak ?? 0} besides the leader at the most`);
  if (task.children) {
    const it = task.children;
    add('Children', `${count(it.forked)} forked, ${count(it.reaped)} reaped, ${count(it.autoreaped)} autoreaped, ${plural(it.zombies, 'zombie', 'zombies')}`);
  }
  const usage = task.usage ?? answer.now?.usage;
  add('CPU time', usage && `${duration(usage.exec_runtime_ns)} (user ${duration(usage.user_ns)}, system ${duration(usage.system_ns)}), waited for a CPU ${duration(usage.run_delay_ns)}`);
  add('Exit', process.exit && (process.exit.signal ? clean(process.exit.signal_name ?? `signal ${process.exit.signal}`) : `code ${process.exit.code}`));
  add('Known by', words(task.provenance));
  return list;
}

function nowPane(now) {
  if (!now?.tasks?.length) return undefined;
  const table = new Table('Threads now', [
    { title: 'Tid', number: true },
    { title: 'Name', name: true },
    { title: 'State' },
    { title: 'CPU time', number: true },
    { title: 'Waits in', grow: true },
  ]);
  table.update(
    now.tasks.slice(0, 200).map((it) => ({
      id: it.tid,
      mark: it.doing === 'blocked' ? 'odd' : '',
      cells: [String(it.tid), clean(it.name ?? '?'), words(it.doing), duration(it.usage?.exec_runtime_ns), it.wchan ? `${clean(it.wchan)}()` : ''],
    })),
  );
  const stack = now.tasks.find((it) => it.kernel_stack?.length);
  const shown = pane('Threads now', h('div', {}, table.element, stack
    ? h('details', { class: 'body', 'data-key': 'stack' }, h('summary', {}, `Kernel stack of ${stack.tid}`), h('pre', {}, clean(stack.kernel_stack.join('\n')).replaceAll('\\x0a', '\n')))
    : ''));
  shown.count(plural(now.tasks.length, 'thread', 'threads'));
  return shown.element;
}
