// Parents that have not waited for their zombies, each with the reason and the remedy.

import { poll } from '../api.js';
import { Table, h, pane } from '../dom.js';
import { clean, lifeLink, namePid, plural, zombieAge } from '../format.js';
import { CULPRIT_COLUMNS, culpritRows } from './rows.js';

export const label = 'Culprits';

/** Parents whose evidence is shown. */
const MOST = 20;

export function show({ main, connection, signal }) {
  const table = new Table('Zombies by parent', CULPRIT_COLUMNS, { empty: 'no parent has zombies' });
  const list = pane('Zombies by parent', table.element);
  const evidence = h('div', { class: 'panes' });
  main.append(h('h1', {}, 'Culprits'), list.element, evidence);
  table.update([]);
  const cards = new Map();
  poll(
    {
      path: 'v1/zombies',
      every: 1000,
      apply(answer) {
        const rows = culpritRows(answer);
        table.update(rows);
        const left = answer.parents_left_off ? `, ${answer.parents_left_off} more parents` : '';
        list.count(`${plural(answer.zombies, 'zombie', 'zombies')}, ${plural(answer.parents.length, 'parent', 'parents')}${left}`);
        const gone = new Set(cards.keys());
        const elements = rows.filter((row) => row.mark).slice(0, MOST).map((row) => {
          gone.delete(row.id);
          const key = JSON.stringify([row.parent.verdict.summary, row.parent.verdict.evidence, row.parent.children.zombies]);
          const kept = cards.get(row.id);
          if (kept?.key === key) return kept.element;
          const element = card(row.parent);
          cards.set(row.id, { key, element });
          return element;
        });
        for (const id of gone) cards.delete(id);
        if (elements.length !== evidence.children.length || elements.some((it, n) => it !== evidence.children[n])) evidence.replaceChildren(...elements);
      },
    },
    connection,
    signal,
  );
}

function card(parent) {
  const { verdict, oldest_zombies: oldest } = parent;
  const zombies = oldest.slice(0, 8).map((it) => h('li', {}, h('a', { class: 'name', href: lifeLink(it) }, namePid(it)), ` ${zombieAge(it)}`));
  const body = h(
    'div',
    { class: 'body' },
    h(
      'div',
      { class: 'verdict bad' },
      h('p', { class: 'summary' }, clean(verdict.summary)),
      h('ul', {}, (verdict.evidence ?? []).map((it) => h('li', {}, clean(it)))),
      verdict.remedy && h('p', {}, h('strong', {}, 'What to do: '), clean(verdict.remedy)),
      h('details', {}, h('summary', {}, `Oldest zombies (${oldest.length})`), h('ul', {}, zombies)),
    ),
  );
  return pane(namePid(parent.process), body, { link: { href: lifeLink(parent.process), text: 'Story' } }).element;
}
