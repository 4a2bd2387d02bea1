// Elements and tables. Texts become text nodes only: no name of a process or cgroup is ever parsed as markup.

/** Makes an element. A property that begins with `on` is a listener; all others are attributes. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

/** Replaces the text of an element if it differs. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A pane with a heading; `body` follows it. */
export function pane(title, body, { link, className = '', id } = {}) {
  const counter = h('span', { class: 'count' });
  const heading = h('h2', id ? { id } : {}, title);
  const element = h(
    'section',
    { class: `pane ${className}`, 'aria-label': title },
    h('header', {}, heading, counter, link && h('a', { href: link.href }, link.text)),
    body,
  );
  return { element, count: (text) => setText(counter, text) };
}

const SIGNS = { bad: '!', odd: '*' };
const SPOKEN = { bad: 'needs action', odd: 'unusual' };

/**
 * A table whose rows are kept by id: only cells that differ are changed, so that focus, selection and scroll position stay.
 * A column is {title, number, name, grow, wrap, sort}; a row is {id, mark, cells, chosen}; a cell is a text, a node, or
 * {text, title, href}.
 */
export class Table {
  constructor(caption, columns, { empty = 'nothing', onsort } = {}) {
    this.columns = columns;
    this.empty = empty;
    this.rows = new Map();
    this.heads = columns.map((column) => {
      const title = column.sort && onsort ? h('button', { type: 'button', onclick: () => onsort(column.sort) }, column.title) : column.title;
      return h('th', { scope: 'col', class: classOf(column) }, title);
    });
    this.body = h('tbody');
    this.element = h(
      'div',
      { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
      h(
        'table',
        {},
        h('caption', { class: 'hidden' }, caption),
        h('thead', {}, h('tr', {}, h('th', { scope: 'col', class: 'sign' }, h('span', { class: 'hidden' }, 'Mark')), this.heads)),
        this.body,
      ),
    );
  }

  sorted(by) {
    this.columns.forEach((column, n) => {
      if (column.sort === by && by) this.heads[n].setAttribute('aria-sort', 'descending');
      else this.heads[n].removeAttribute('aria-sort');
    });
  }

  update(rows) {
    if (rows.length === 0) {
      this.rows.clear();
      const only = this.body.querySelector('td.empty');
      if (only && this.body.children.length === 1) setText(only, this.empty);
      else this.body.replaceChildren(h('tr', {}, h('td', { class: 'empty', colspan: this.columns.length + 1 }, this.empty)));
      return;
    }
    if (this.rows.size === 0) this.body.replaceChildren();
    const before = this.rows;
    this.rows = new Map();
    let at = this.body.firstElementChild;
    for (const row of rows) {
      let kept = before.get(row.id);
      before.delete(row.id);
      if (!kept) kept = this.make();
      this.fill(kept, row);
      this.rows.set(row.id, kept);
      if (kept.element === at) at = at.nextElementSibling;
      else this.body.insertBefore(kept.element, at);
    }
    for (const gone of before.values()) gone.element.remove();
  }

  make() {
    const cells = this.columns.map((column) => h('td', { class: classOf(column) }));
    const sign = h('td', { class: 'sign' });
    return { element: h('tr', {}, sign, cells), cells, sign, shown: [], mark: '' };
  }

  fill(kept, row) {
    const mark = row.mark ?? '';
    if (kept.mark !== mark) {
      kept.mark = mark;
      kept.sign.replaceChildren();
      if (mark) kept.sign.append(h('span', { 'aria-hidden': 'true' }, SIGNS[mark]), h('span', { class: 'hidden' }, SPOKEN[mark]));
    }
    const className = row.chosen ? `chosen ${mark}` : mark;
    if (kept.element.className !== className) kept.element.className = className;
    row.cells.forEach((cell, n) => {
      if (cell instanceof Node) {
        kept.cells[n].replaceChildren(cell);
        kept.shown[n] = undefined;
        return;
      }
      const { text, title, href } = typeof cell === 'object' ? cell : { text: cell };
      const key = `${href ?? ''}\n${title ?? ''}\n${text}`;
      if (kept.shown[n] === key) return;
      kept.shown[n] = key;
      const td = kept.cells[n];
      const link = td.firstElementChild;
      if (href && link && link.localName === 'a') {
        link.setAttribute('href', href);
        setText(link, text);
      } else if (href) td.replaceChildren(h('a', { href }, text));
      else td.replaceChildren(text);
      if (title) td.setAttribute('title', title);
      else td.removeAttribute('title');
    });
  }
}

function classOf(column) {
  return ['number', 'name', 'grow', 'wrap'].filter((key) => column[key]).join(' ');
}
