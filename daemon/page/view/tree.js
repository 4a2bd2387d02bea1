// The process tree, with the CPU use of each subtree. Three or more processes of one name and state under one parent are one row.

import { setParameters } from '../address.js';
import { poll } from '../api.js';
import { Table, h, pane } from '../dom.js';
import { clean, count, duration, lifeLink, plural, zombieAge } from '../format.js';

export const label = 'Tree';

/** The most rows that are shown; a filter finds the others. */
const MOST = 500;

/** From this many processes of one name on they are one row. */
const GROUP = 3;

/** Depths that are drawn. */
const DEEPEST = 24;

const ORDERS = ['cpu', 'time', 'processes', 'pid', 'name'];

/** Links the nodes of an answer: `end` is the index after the last descendant. */
function link(nodes) {
  const open = [];
  nodes.forEach((node, n) => {
    while (open.length && open.at(-1).depth >= node.depth) open.pop().end = n;
    node.parent = open.at(-1);
    node.index = n;
    open.push(node);
  });
  for (const node of open) node.end = nodes.length;
}

export function show({ main, parameters, connection, signal }) {
  const state = {
    filter: parameters.get('filter') ?? '',
    order: ORDERS.includes(parameters.get('sort')) ? parameters.get('sort') : 'cpu',
    folded: new Set(),
    spread: new Set(),
    chosen: parameters.get('life') ?? '',
    limit: MOST,
  };
  let [nodes, made, before] = [[], 0, new Map()];
  const save = () => setParameters('tree', { filter: state.filter, sort: state.order === 'cpu' ? '' : state.order, life: state.chosen });
  const search = h('input', { type: 'search', id: 'filter', value: state.filter, size: 24, placeholder: 'name, pid or state', autocomplete: 'off', spellcheck: 'false', class: 'mono' });
  const groups = h('input', { type: 'checkbox', checked: true, id: 'groups' });
  const columns = [
    { title: 'CPU %', number: true, sort: 'cpu' },
    { title: 'CPU time', number: true, sort: 'time' },
    { title: 'Processes', number: true, sort: 'processes' },
    { title: 'Threads', number: true },
    { title: 'Process', name: true, sort: 'name' },
    { title: '', grow: true },
  ];
  const table = new Table('Process tree', columns, {
    empty: 'no process',
    onsort: (order) => { state.order = order; save(); draw(); },
  });
  const renewed = h('span', { class: 'soft' });
  const more = h('button', { type: 'button', hidden: true, onclick: () => { state.limit += MOST; draw(); } }, 'Show more rows');
  const list = pane('Tree', table.element, { className: 'tall tree' });
  main.append(
    h('h1', { class: 'hidden' }, 'Process tree'),
    h(
      'div',
      { class: 'bar-row', role: 'search' },
      h('label', {}, 'Filter', search),
      h('label', {}, groups, 'Equal processes as one row'),
      h('button', { type: 'button', onclick: () => { fold(1); } }, 'Fold all'),
      h('button', { type: 'button', onclick: () => { state.folded.clear(); draw(); } }, 'Unfold all'),
      more,
      renewed,
    ),
    list.element,
  );
  table.update([]);

  function fold(depth) {
    for (const node of nodes) if (node.depth >= depth && node.end > node.index + 1) state.folded.add(node.pid);
    draw();
  }
  search.addEventListener('input', () => { state.filter = search.value; state.limit = MOST; save(); draw(); });
  groups.addEventListener('change', () => draw());

  /** Numbers of matches before each index; undefined without a filter. */
  function matches() {
    if (!state.filter) return undefined;
    const wanted = state.filter.toLowerCase();
    const sums = new Uint32Array(nodes.length + 1);
    nodes.forEach((node, n) => {
      const is = node.name?.toLowerCase().includes(wanted) || String(node.pid).includes(wanted) || node.state.includes(wanted);
      sums[n + 1] = sums[n] + (is ? 1 : 0);
    });
    return sums;
  }

  const keys = {
    cpu: (line) => line.cpu ?? -1,
    time: (line) => line.time ?? -1,
    processes: (line) => line.processes,
    pid: (line) => -line.node.pid,
    name: undefined,
  };

  function children(from, to, sums) {
    const found = [];
    for (let n = from; n < to; n = nodes[n].end) {
      if (!sums || sums[nodes[n].end] > sums[n]) found.push(nodes[n]);
    }
    return found;
  }

  function lineOf(members) {
    const [node] = members;
    const line = { node, members, count: members.length, cpu: undefined, time: undefined, processes: 0 };
    for (const it of members) {
      if (it.cpu !== undefined) line.cpu = (line.cpu ?? 0) + it.cpu;
      if (it.subtree_exec_runtime_ns !== undefined) line.time = (line.time ?? 0) + it.subtree_exec_runtime_ns;
      line.processes += it.end - it.index;
    }
    return line;
  }

  function lines(from, to, parent, sums) {
    const found = children(from, to, sums);
    let rows = found.map((node) => [node]);
    if (groups.checked && !sums && !state.spread.has(parent?.pid ?? 0)) {
      const alike = new Map();
      rows = [];
      for (const node of found) {
        if (node.end > node.index + 1) {
          rows.push([node]);
          continue;
        }
        const key = `${node.state} ${node.name}`;
        const group = alike.get(key);
        if (group) group.push(node);
        else alike.set(key, [node]);
      }
      for (const group of alike.values()) {
        if (group.length >= GROUP) rows.push(group);
        else rows.push(...group.map((node) => [node]));
      }
    }
    const sorted = rows.map(lineOf);
    const key = keys[state.order];
    if (key) sorted.sort((a, b) => key(b) - key(a) || a.node.index - b.node.index);
    else sorted.sort((a, b) => (a.node.name ?? '').localeCompare(b.node.name ?? ''));
    return sorted;
  }

  function draw() {
    const sums = matches();
    const shown = [];
    let left = 0;
    const walk = (from, to, parent, guides) => {
      const found = lines(from, to, parent, sums);
      found.forEach((line, n) => {
        const isLast = n + 1 === found.length;
        if (shown.length >= state.limit) {
          left += 1;
          return;
        }
        line.guides = parent ? guides + (isLast ? '└─' : '├─') : '';
        shown.push(line);
        const { node } = line;
        line.isFolded = !sums && state.folded.has(node.pid);
        if (line.count === 1 && node.end > node.index + 1 && !line.isFolded) {
          const deeper = node.depth < DEEPEST ? guides + (parent ? (isLast ? '  ' : '│ ') : '') : guides;
          walk(node.index + 1, node.end, node, deeper);
        }
      });
    };
    walk(0, nodes.length, undefined, '');
    table.sorted(state.order);
    table.update(shown.map(row));
    more.hidden = left === 0;
    const found = sums ? `, ${plural(sums[nodes.length], 'match', 'matches')}` : '';
    list.count(`${plural(nodes.length, 'process', 'processes')}${found}${left ? `, ${count(shown.length)} rows shown` : ''}`);
  }

  function row(line) {
    const { node } = line;
    const many = line.count > 1;
    const mark = node.state === 'zombie' ? 'bad' : node.state === 'running' ? '' : 'odd';
    return {
      id: many ? `${node.parent?.pid} ${node.state} ${node.name}` : node.entity_id ?? node.pid,
      mark,
      chosen: state.chosen !== '' && (node.entity_id === state.chosen || String(node.pid) === state.chosen),
      cells: [
        line.cpu === undefined ? '-' : (line.cpu * 100).toFixed(1),
        line.time === undefined ? '-' : duration(line.time),
        count(line.processes),
        many ? '' : count(node.threads),
        nameCell(line, many),
        notes(node, many),
      ],
    };
  }

  /** Cells by process. A cell is created again only when its content changes, so that it keeps the focus. */
  const cells = new Map();
  function nameCell(line, many) {
    const { node } = line;
    const name = clean(node.name ?? '?');
    const hasChildren = !many && node.end > node.index + 1;
    const spread = many || (node.parent && state.spread.has(node.parent.pid) && !hasChildren);
    const text = many ? `${name} x ${line.count}` : `${name} (${node.pid})`;
    const id = many ? `${node.parent?.pid} ${node.state} ${node.name}` : node.entity_id ?? String(node.pid);
    const key = `${line.guides} ${text} ${hasChildren} ${line.isFolded} ${spread}`;
    const kept = cells.get(id);
    if (kept?.key === key) return kept.element;
    const toggle = () => {
      if (many) state.spread.add(node.parent?.pid ?? 0);
      else if (state.folded.has(node.pid)) state.folded.delete(node.pid);
      else state.folded.add(node.pid);
      draw();
    };
    const isOpen = hasChildren && !line.isFolded;
    const button = hasChildren || many
      ? h('button', { type: 'button', class: 'fold', 'aria-expanded': String(isOpen), 'aria-label': `${isOpen ? 'Fold' : 'Unfold'} ${text}`, onclick: toggle }, isOpen ? '−' : '+')
      : h('span', { class: 'fold' });
    const element = h(
      'span',
      {},
      h('span', { class: 'guide', 'aria-hidden': 'true' }, line.guides),
      button,
      many ? text : h('a', { href: lifeLink(node) }, text),
    );
    cells.set(id, { key, element });
    return element;
  }

  function notes(node, many) {
    const parts = [];
    if (node.state === 'zombie') parts.push(many ? 'zombies' : `zombie for ${zombieAge(node)}`);
    else if (node.state !== 'running') parts.push(node.state.replaceAll('_', ' '));
    if (node.zombies) parts.push(`has not waited for ${plural(node.zombies, 'zombie', 'zombies')}`);
    if (node.subreaper) parts.push('subreaper');
    if (node.orphan_of && !many) parts.push(`orphan of ${clean(node.orphan_of.name ?? '?')} (${node.orphan_of.pid})`);
    if (node.cgroup?.unit) parts.push(clean(node.cgroup.unit));
    if (node.container) parts.push(`container ${clean(node.container.id).slice(0, 12)}`);
    return parts.join(', ');
  }

  poll(
    {
      path: 'v1/tree?usage=true',
      every: 2000,
      apply(answer, lasts) {
        renewed.textContent = lasts > 5000 ? `next update after ${Math.round(lasts / 1000)} s, because this host has many tasks` : '';
        const elapsed = answer.boottime_ns - made;
        // The daemon may send the same answer again, because viewers share answers.
        if (elapsed <= 0) return;
        const past = before;
        before = new Map();
        nodes = answer.processes;
        link(nodes);
        for (const node of nodes) {
          const used = node.subtree_exec_runtime_ns;
          if (used === undefined || node.entity_id === undefined) continue;
          const earlier = past.get(node.entity_id);
          if (earlier !== undefined) node.cpu = Math.max(0, used - earlier) / elapsed;
          before.set(node.entity_id, used);
        }
        const isFirst = made === 0;
        made = answer.boottime_ns;
        if (isFirst && state.chosen) reveal();
        if (cells.size > 4 * MOST) cells.clear();
        draw();
        if (isFirst) list.element.querySelector('tr.chosen')?.scrollIntoView({ block: 'center' });
      },
    },
    connection,
    signal,
  );

  /** Shows the chosen process by itself, not in a group. */
  function reveal() {
    const node = nodes.find((it) => it.entity_id === state.chosen || String(it.pid) === state.chosen);
    if (!node) return;
    state.spread.add(node.parent?.pid ?? 0);
    state.limit = Math.max(MOST, node.index + MOST);
  }
}
