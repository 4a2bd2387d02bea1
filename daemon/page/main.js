// The page: which view is shown, and the lines about the daemon that every view has.

import { poll } from './api.js';
import { Connection } from './connection.js';
import { h, setText } from './dom.js';
import { count, duration, plural } from './format.js';
import { history } from './history.js';
import * as budget from './view/budget.js';
import * as culprits from './view/culprits.js';
import * as events from './view/events.js';
import * as life from './view/life.js';
import * as overview from './view/overview.js';
import * as timeline from './view/timeline.js';
import * as tree from './view/tree.js';

/** Views by the first part of the address, in the order of the navigation. */
const VIEWS = { '': overview, timeline, tree, culprits, budget, events, life };
const main = document.getElementById('main');
const state = document.getElementById('state');

const connection = new Connection((mark, text) => {
  if (state.className !== mark) state.className = mark;
  setText(state.lastElementChild, text);
});

const links = Object.entries(VIEWS).filter(([, view]) => view.label).map(([name, view]) => {
  const link = h('a', { href: `#/${name}` }, view.label);
  document.getElementById('nav').append(h('li', {}, link));
  return { name, link };
});

/** Parses `#/name/argument?key=value`. */
function address() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [name, ...rest] = path.split('/');
  let argument = rest.join('/');
  try {
    argument = decodeURIComponent(argument);
  } catch {
    // An invalid escape is shown as it is.
  }
  return { name, argument, parameters: new URLSearchParams(query) };
}

let shown;

function show() {
  const { name, argument, parameters } = address();
  const view = VIEWS[name] ?? overview;
  shown?.abort();
  shown = new AbortController();
  const { signal } = shown;
  const title = view.title?.(argument) ?? view.label;
  document.title = `${title} - taskscope`;
  for (const it of links) {
    if (it.name === name) it.link.setAttribute('aria-current', 'page');
    else it.link.removeAttribute('aria-current');
  }
  main.replaceChildren();
  main.className = `view-${name || 'overview'}`;
  view.show({ main, argument, parameters, connection, signal });
}

addEventListener('hashchange', () => {
  show();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
});

document.getElementById('skip').addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});

document.getElementById('find').addEventListener('submit', (event) => {
  event.preventDefault();
  const id = event.target.elements.id.value.trim();
  if (id) location.hash = `#/life/${encodeURIComponent(id)}`;
});

/** Shows the daemon's health. */
function trust(status) {
  history.add(status);
  const counts = document.getElementById('counts');
  const text = [
    `${count(status.tasks)} tasks`,
    `${count(status.processes)} processes`,
    plural(status.zombies, 'zombie', 'zombies'),
    status.zombies_unconfirmed ? `${count(status.zombies_unconfirmed)} unconfirmed` : '',
  ];
  spans(counts, text.map((it, n) => [it, n === 2 && status.zombies_old ? 'bad' : '']));
  const sum = (counters) => Object.values(counters).reduce((a, b) => a + b, 0);
  const [repaired, drift] = [sum(status.repaired), sum(status.drift)];
  spans(document.getElementById('trust'), [
    status.ready ? ['ready', ''] : [`not ready: ${status.not_ready_because ?? ''}`, 'bad'],
    [status.ready_but ?? '', 'odd'],
    [`lost ${count(status.records_lost)}`, status.records_lost ? 'odd' : ''],
    [`repaired ${count(repaired)}`, ''],
    [`drift ${count(drift)}`, drift ? 'bad' : ''],
    [status.canary_age_ns === undefined ? 'no canary yet' : `canary ${duration(status.canary_age_ns)} ago`, ''],
    [status.degraded.length ? `degraded: ${status.degraded.length}` : '', '', status.degraded.join('\n')],
    [`up ${duration(status.uptime_ns)}`, 'soft', `taskscope ${status.version}, pid ${status.pid}`],
  ]);
}

function spans(parent, parts) {
  const wanted = parts.filter(([text]) => text);
  while (parent.children.length > wanted.length) parent.lastElementChild.remove();
  while (parent.children.length < wanted.length) parent.append(h('span'));
  wanted.forEach(([text, className, title], n) => {
    const span = parent.children[n];
    setText(span, text);
    if (span.className !== className) span.className = className;
    if (title) span.title = title;
    else span.removeAttribute('title');
  });
}

show();
poll({ path: 'v1/status', every: 1000, apply: trust }, connection, new AbortController().signal);
