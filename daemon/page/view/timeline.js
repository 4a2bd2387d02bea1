// The timeline: lives as bars, below and inside their parents.

import { setParameters } from '../address.js';
import { ask, request } from '../api.js';
import { Table, h, pane, setText } from '../dom.js';
import { clean, clockTime, count, duration, lifeLink, plural } from '../format.js';
import { follow } from '../stream.js';
import { AXIS, ROW, draw, theme } from '../timeline/draw.js';
import { firstAfter, layout } from '../timeline/layout.js';
import { Lives, MOST } from '../timeline/lives.js';

export const label = 'Timeline';

const ACTIONS = 'forked,execed,exec_takeover,renamed,reparented,group_exited,reaped,autoreaped';

/** The shortest time between two layouts, ms; it is also at least ten times the duration of the last one. */
const LAYOUT = 500;

/** Margin around the visible time in which lives are placed too, as a part of the visible time. */
const MARGIN = 0.25;

/** Time between two frames if nothing but the time changes, ms. */
const FRAME = 250;

/** Rows of the table. */
const ROWS = 200;

const SECOND = 1e9;

export function show({ main, parameters, connection, signal }) {
  const lives = new Lives();
  const still = matchMedia('(prefers-reduced-motion: reduce)');
  const canvas = h('canvas', { tabindex: 0, role: 'img', 'aria-describedby': 'keys' });
  const frame = h('div', { class: 'timeline' }, canvas);
  const chosen = h('p', { id: 'chosen', class: 'mono', 'aria-live': 'polite' });
  const find = h('input', { type: 'search', size: 16, placeholder: 'name or pid', autocomplete: 'off', spellcheck: 'false', class: 'mono' });
  const past = h('select', {}, [['2m', '2 minutes'], ['10m', '10 minutes'], ['1h', '1 hour']].map(([value, text]) => h('option', { value, selected: value === (parameters.get('since') ?? '10m') }, text)));
  const following = h('button', { type: 'button', 'aria-pressed': 'true', title: 'Keep the present at the right edge' }, 'Follow');
  const only = h('button', { type: 'button', 'aria-pressed': 'false', title: 'Show only the chosen life and its descendants' }, 'Subtree');
  const listed = h('button', { type: 'button', 'aria-pressed': 'false', 'aria-controls': 'in-view' }, 'Table');
  const state = h('span', { class: 'soft right', role: 'status' });
  const table = new Table('Lives in view', [
    { title: 'Start' }, { title: 'Process', name: true }, { title: 'Lived', number: true }, { title: 'Zombie', number: true }, { title: 'Threads', number: true }, { title: 'End', grow: true },
  ], { empty: 'no life is in view' });
  const tablePane = pane('Lives in view', table.element, { id: 'in-view' });
  tablePane.element.hidden = true;
  const step = (text, title, act) => h('button', { type: 'button', title, 'aria-label': text.length === 1 && title, onclick: act }, text);
  main.append(
    h('h1', { class: 'hidden' }, 'Timeline'),
    h(
      'div',
      { class: 'bar-row' },
      h('label', {}, 'Past', past),
      h('label', {}, 'Find', find),
      step('−', 'Zoom out', () => zoom(2)),
      step('+', 'Zoom in', () => zoom(0.5)),
      step('All', 'Show everything', () => fit()),
      following,
      only,
      listed,
      state,
    ),
    h('section', { class: 'pane tall', 'aria-label': 'Lives' }, h('header', {}, chosen), frame),
    tablePane.element,
    h(
      'ul',
      { class: 'legend', 'aria-label': 'Legend' },
      [['living', 'lives'], ['life', 'ended'], ['zombie', 'zombie'], ['killed', 'killed by a signal'], ['exec', 'exec'], ['signal', 'signal to its victim'], ['orphan', 'orphan to its new parent']]
        .map(([name, text]) => h('li', {}, h('i', { class: name, 'aria-hidden': 'true' }), text)),
      h('li', { id: 'keys', class: 'right' }, 'Drag: pan. Wheel: rows; with Ctrl: zoom; with Shift: time. Keys: arrows, + −, Home, End, n p, Enter'),
    ),
  );
  const context = canvas.getContext('2d');
  let colours = theme(canvas, context);
  let plan = layout(lives, 0, 0, 1);
  let [planned, plannedAt, planCost, dirty, framed] = [0, 0, 0, true, 0];
  /** The clock of the daemon: boottime at a time of this page, and ns between boottime and the wall clock. */
  let [clock, wall] = [{ boot: 0, at: 0 }, 0];
  const now = () => clock.boot + (performance.now() - clock.at) * 1e6;
  const view = { from: 0, to: 1, top: 0, chosen: -1, hovered: -1, width: 1, height: 1, match: undefined };
  let span = (Number(parameters.get('span')) || 60) * SECOND;
  let isFollowing = !parameters.has('to');
  let wanted = parameters.get('life') ?? '';
  let rootId = parameters.get('root') ?? '';
  /** Room to the right of the present. */
  const lead = () => span * 0.02;

  function sync(answer) {
    const boot = answer.boottime_ns;
    clock = { boot, at: performance.now() };
    wall = new Date(answer['@timestamp']).getTime() * 1e6 - boot;
    if (view.to === 1) {
      view.to = parameters.has('to') ? Number(parameters.get('to')) * SECOND : boot + lead();
      view.from = view.to - span;
    }
  }

  function setFollow(on) {
    isFollowing = on;
    following.setAttribute('aria-pressed', String(on));
    dirty = true;
  }

  let saving;
  function moved() {
    dirty = true;
    clearTimeout(saving);
    saving = setTimeout(() => {
      if (signal.aborted) return;
      setParameters('timeline', {
        since: past.value === '10m' ? '' : past.value,
        span: (span / SECOND).toPrecision(6) === '60.0000' ? '' : Number((span / SECOND).toPrecision(6)),
        to: isFollowing ? '' : (view.to / SECOND).toFixed(6),
        life: view.chosen >= 0 ? lives.ids[view.chosen] : wanted,
        root: rootId,
      });
      if (!tablePane.element.hidden) list();
    }, 300);
  }

  /** Zooms around a point of the canvas, or its middle; around the present while following. */
  function zoom(factor, at = isFollowing ? view.width : view.width / 2) {
    const middle = view.from + ((view.to - view.from) * at) / view.width;
    const size = Math.min(Math.max(span * factor, 1e3), 30 * 86400 * SECOND);
    const share = at / view.width;
    span = size;
    view.from = middle - size * share;
    view.to = view.from + size;
    if (isFollowing) stick();
    moved();
  }

  function pan(pixels) {
    const time = (pixels / view.width) * span;
    view.from += time;
    view.to += time;
    setFollow(false);
    moved();
  }

  function scroll(rows) {
    const most = Math.max(0, plan.rows - (view.height - AXIS) / ROW + 1);
    view.top = Math.min(Math.max(0, view.top + rows), most);
    moved();
  }

  function fit() {
    let first = now() - 60 * SECOND;
    for (let n = 0; n < lives.count; n += 1) if (lives.release[n] !== Infinity) first = Math.min(first, lives.start[n]);
    view.from = Math.max(first, now() - { '2m': 120, '10m': 600, '1h': 3600 }[past.value] * SECOND);
    view.to = now() + (now() - view.from) * 0.02;
    span = view.to - view.from;
    setFollow(true);
    moved();
  }

  function stick() {
    view.to = now() + lead();
    view.from = view.to - span;
  }

  /** Returns the life at a point of the canvas, or -1. */
  function hit(x, y) {
    const row = Math.floor(view.top + (y - AXIS) / ROW);
    if (y < AXIS || row < 0 || row >= plan.rows) return -1;
    const scale = (view.to - view.from) / view.width;
    const last = plan.first[row + 1];
    const at = firstAfter(lives, plan.items, plan.first[row], last, view.from + (x - 2) * scale);
    if (at >= last) return -1;
    const n = plan.items[at];
    return lives.start[n] <= view.from + (x + 2) * scale ? n : -1;
  }

  /** The time of two pixels. */
  const tolerance = () => (2 * span) / view.width;

  /** Makes a new layout, of the visible time and a margin. */
  function place() {
    const [from, to] = [view.from - span * MARGIN, view.to + span * MARGIN];
    const root = rootId ? lives.byId.get(rootId) ?? -1 : -1;
    plan = layout(lives, from, to >= now() ? Infinity : to, tolerance(), root);
  }

  const timeOf = (ns) => clockTime((ns + wall) / 1e6, true);
  function describe(n) {
    const until = lives.exit[n] === Infinity ? now() : lives.exit[n];
    const parts = [`${clean(lives.names[n])} (${lives.pid[n]})`, `from ${timeOf(lives.start[n])}`, `${lives.exit[n] === Infinity ? 'lives since' : 'lived'} ${duration(until - lives.start[n])}`];
    if (lives.threads[n]) parts.push(plural(lives.threads[n] + 1, 'thread', 'threads'));
    if (lives.execs[n]) parts.push(plural(lives.execs[n], 'exec', 'execs'));
    if (lives.exit[n] !== Infinity) {
      const zombie = (lives.release[n] === Infinity ? now() : lives.release[n]) - lives.exit[n];
      if (lives.ends[n]) parts.push(clean(lives.ends[n]));
      parts.push(lives.release[n] === Infinity ? `zombie for ${duration(zombie)}` : `zombie ${duration(zombie)}`);
    }
    if (lives.parent[n] >= 0) parts.push(`parent ${clean(lives.names[lives.parent[n]])} (${lives.pid[lives.parent[n]]})`);
    if (lives.newParent[n] >= 0) parts.push(`orphan, then of ${clean(lives.names[lives.newParent[n]])} (${lives.pid[lives.newParent[n]]})`);
    return parts.join('  ');
  }

  function choose(n, { scrollTo = false } = {}) {
    view.chosen = n;
    if (n >= 0 && scrollTo) {
      const rows = (view.height - AXIS) / ROW;
      const until = lives.release[n] === Infinity ? now() : lives.release[n];
      if (lives.start[n] > view.to || until < view.from) {
        view.from = lives.start[n] - span / 4;
        view.to = view.from + span;
        place();
        setFollow(false);
      }
      if (plan.row[n] < view.top || plan.row[n] > view.top + rows - 2) view.top = Math.max(0, plan.row[n] - rows / 2);
    }
    caption();
    moved();
  }

  function caption() {
    const n = view.chosen >= 0 ? view.chosen : view.hovered;
    if (n < 0) {
      chosen.replaceChildren(h('span', { class: 'soft' }, 'Point at a bar or choose it with n and p to see whose life it is.'));
      return;
    }
    const text = describe(n);
    chosen.replaceChildren(h('a', { href: lifeLink({ entity_id: lives.ids[n] }) }, 'Story'), `  ${text}`);
    chosen.title = text;
  }

  /** Lives in view, row by row. */
  function* inView() {
    const firstRow = Math.max(0, Math.floor(view.top));
    const lastRow = Math.min(plan.rows - 1, Math.floor(view.top + (view.height - AXIS) / ROW));
    for (let row = firstRow; row <= lastRow; row += 1) {
      const last = plan.first[row + 1];
      for (let at = firstAfter(lives, plan.items, plan.first[row], last, view.from); at < last; at += 1) {
        const n = plan.items[at];
        if (lives.start[n] > view.to) break;
        yield n;
      }
    }
  }

  /** The life that keeps its place in a new layout: the chosen one, or the first in view. */
  function topmost() {
    if (view.chosen >= 0 && plan.row[view.chosen] >= 0) return view.chosen;
    for (const n of inView()) return n;
    return -1;
  }

  function next(direction) {
    let [before, found, first] = [-1, false, -1];
    for (const n of inView()) {
      if (first < 0) first = n;
      if (direction > 0 && found) return choose(n, { scrollTo: true });
      if (n === view.chosen) {
        if (direction < 0 && before >= 0) return choose(before, { scrollTo: true });
        found = true;
      }
      before = n;
    }
    return choose(found && direction > 0 ? view.chosen : first, { scrollTo: true });
  }

  function list() {
    const rows = [];
    let more = 0;
    for (const n of inView()) {
      if (rows.length === ROWS) {
        more += 1;
        if (more >= 1000) break;
        continue;
      }
      const isAlive = lives.exit[n] === Infinity;
      const isZombie = !isAlive && lives.release[n] === Infinity;
      const name = `${clean(lives.names[n])} (${lives.pid[n]})`;
      rows.push({
        id: lives.ids[n],
        mark: isZombie ? 'bad' : lives.signal[n] ? 'odd' : '',
        chosen: n === view.chosen,
        cells: [
          timeOf(lives.start[n]),
          { text: name, title: name, href: lifeLink({ entity_id: lives.ids[n] }) },
          duration((isAlive ? now() : lives.exit[n]) - lives.start[n]),
          isAlive ? '' : duration((isZombie ? now() : lives.release[n]) - lives.exit[n]),
          String(lives.threads[n] + 1),
          isAlive ? 'lives' : clean(lives.ends[n]),
        ],
      });
    }
    table.update(rows);
    tablePane.count(more ? `first ${ROWS} of ${more >= 1000 ? 'more than ' : ''}${count(ROWS + more)}` : count(rows.length));
  }

  // Drawing.
  function resize() {
    const box = frame.getBoundingClientRect();
    const ratio = devicePixelRatio;
    [view.width, view.height] = [Math.max(1, box.width), Math.max(1, box.height)];
    canvas.width = Math.round(view.width * ratio);
    canvas.height = Math.round(view.height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    colours = theme(canvas, context);
    dirty = true;
  }
  const observer = new ResizeObserver(resize);
  observer.observe(frame);
  const scheme = matchMedia('(prefers-color-scheme: dark)');
  scheme.addEventListener('change', resize);
  signal.addEventListener('abort', () => {
    observer.disconnect();
    scheme.removeEventListener('change', resize);
  });

  function tick(time) {
    if (signal.aborted) return;
    requestAnimationFrame(tick);
    if (document.hidden || clock.boot === 0) return;
    if (isFollowing) stick();
    const zoomed = tolerance() / plan.tolerance;
    const isOutside = view.from < plan.from || view.to > plan.to || zoomed > 2 || zoomed < 0.5;
    const rest = time - plannedAt;
    if (isOutside ? rest > Math.max(50, 3 * planCost) : lives.version !== planned && rest > Math.max(LAYOUT, 10 * planCost)) {
      const started = performance.now();
      planned = lives.version;
      const anchor = topmost();
      const before = anchor < 0 ? 0 : plan.row[anchor];
      place();
      // Scroll so that visible rows stay where they are.
      if (anchor >= 0 && plan.row[anchor] >= 0 && view.top > 0) view.top = Math.max(0, view.top + plan.row[anchor] - before);
      planCost = performance.now() - started;
      plannedAt = time;
      dirty = true;
      if (wanted && lives.byId.has(wanted)) {
        choose(lives.byId.get(wanted), { scrollTo: true });
        wanted = '';
      }
      describeCanvas();
    }
    if (!dirty && time - framed < (still.matches ? 1000 : FRAME)) return;
    dirty = false;
    framed = time;
    view.now = now();
    view.wall = wall;
    const started = performance.now();
    const drawn = draw(context, colours, lives, plan, view);
    canvas.dataset.drawn = JSON.stringify({ ...drawn, lives: lives.count, rows: plan.rows, layout_ms: planCost, draw_ms: performance.now() - started });
  }

  let loading = '';
  function describeCanvas() {
    const dropped = lives.dropped ? `, ${count(lives.dropped)} older ones dropped` : '';
    const text = `${plural(lives.count, 'life', 'lives')}${dropped}${loading}`;
    setText(state, text);
    canvas.setAttribute('aria-label', `Timeline of ${text}. The button Table lists the lives in view.`);
  }

  // Input.
  let drag;
  canvas.addEventListener('pointerdown', (event) => {
    drag = { x: event.offsetX, y: event.offsetY, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointermove', (event) => {
    if (drag) {
      const [dx, dy] = [event.offsetX - drag.x, event.offsetY - drag.y];
      if (!drag.moved && Math.hypot(dx, dy) < 4) return;
      Object.assign(drag, { x: event.offsetX, y: event.offsetY, moved: true });
      if (dx) pan(-dx);
      if (dy) scroll(-dy / ROW);
      return;
    }
    const n = hit(event.offsetX, event.offsetY);
    if (n === view.hovered) return;
    view.hovered = n;
    dirty = true;
    caption();
  });
  canvas.addEventListener('pointerup', (event) => {
    if (drag && !drag.moved) choose(hit(event.offsetX, event.offsetY));
    drag = undefined;
  });
  canvas.addEventListener('pointercancel', () => { drag = undefined; });
  canvas.addEventListener('pointerleave', () => {
    view.hovered = -1;
    dirty = true;
    caption();
  });
  canvas.addEventListener('dblclick', (event) => {
    const n = hit(event.offsetX, event.offsetY);
    if (n < 0) return zoom(0.5, event.offsetX);
    const until = lives.release[n] === Infinity ? now() : lives.release[n];
    span = Math.max((until - lives.start[n]) * 1.2, 1e4);
    view.from = lives.start[n] - span / 12;
    view.to = view.from + span;
    setFollow(false);
    return moved();
  });
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : 1;
    const [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
    if (event.ctrlKey || event.metaKey || event.altKey) zoom(2 ** (dy / 200), event.offsetX);
    else if (event.shiftKey) pan(dx || dy);
    else {
      if (dx) pan(dx);
      if (dy) scroll(dy / ROW / 2);
    }
  }, { passive: false });
  const keys = {
    ArrowLeft: () => pan(-view.width / 8),
    ArrowRight: () => pan(view.width / 8),
    ArrowUp: () => scroll(-3),
    ArrowDown: () => scroll(3),
    PageUp: () => scroll(-(view.height - AXIS) / ROW),
    PageDown: () => scroll((view.height - AXIS) / ROW),
    '+': () => zoom(0.5),
    '=': () => zoom(0.5),
    '-': () => zoom(2),
    Home: () => fit(),
    End: () => { setFollow(true); moved(); },
    n: () => next(1),
    p: () => next(-1),
    Escape: () => choose(-1),
    Enter: () => { if (view.chosen >= 0) location.hash = lifeLink({ entity_id: lives.ids[view.chosen] }); },
  };
  canvas.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  following.addEventListener('click', () => { setFollow(!isFollowing); moved(); });
  const showRoot = () => only.setAttribute('aria-pressed', String(rootId !== ''));
  only.addEventListener('click', () => {
    if (rootId) rootId = '';
    else if (view.chosen >= 0) rootId = lives.ids[view.chosen];
    showRoot();
    view.top = 0;
    place();
    moved();
  });
  showRoot();
  listed.addEventListener('click', () => {
    tablePane.element.hidden = !tablePane.element.hidden;
    listed.setAttribute('aria-pressed', String(!tablePane.element.hidden));
    if (!tablePane.element.hidden) list();
  });
  find.addEventListener('input', () => {
    const text = find.value.toLowerCase();
    view.match = text ? (name, pid) => name.toLowerCase().includes(text) || String(pid) === text : undefined;
    dirty = true;
  });
  past.addEventListener('change', () => {
    load();
    fit();
  });

  // Data: live processes, ended processes, and events from now on.
  async function living() {
    const answer = await ask('v1/tree', signal);
    connection.answered();
    sync(answer);
    const open = [];
    for (const node of answer.processes) {
      while (open.length && open.at(-1).depth >= node.depth) open.pop();
      lives.addNode(node, open.at(-1), answer.boottime_ns);
      open.push(node);
    }
  }

  let loads = 0;
  async function load() {
    const mine = ++loads;
    loading = ', loading the past';
    describeCanvas();
    try {
      const answer = await request(`v1/lives?since=${past.value}`, { signal });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = '';
      for (;;) {
        const { done, value } = await reader.read();
        if (done || mine !== loads || signal.aborted) break;
        const lines = (rest + value).split('\n');
        rest = lines.pop();
        for (const line of lines) if (line) lives.addLife(JSON.parse(line));
      }
      if (mine !== loads) reader.cancel();
    } catch (error) {
      if (!signal.aborted) connection.failed(error.message);
    }
    if (mine === loads) loading = lives.count >= MOST ? `, at most ${count(MOST)} are kept` : '';
    describeCanvas();
  }

  async function begin() {
    while (!signal.aborted) {
      try {
        await living();
        break;
      } catch (error) {
        if (signal.aborted) return;
        connection.failed(error.message);
        await new Promise((resolve) => { setTimeout(resolve, 1000); });
      }
    }
    load();
    follow(
      {
        query: `action=${ACTIONS}`,
        since: '10s',
        apply(events) {
          for (const event of events) {
            if (event.gap) living().catch(() => {});
            else lives.addEvent(event);
          }
        },
      },
      connection,
      signal,
    );
  }

  resize();
  caption();
  describeCanvas();
  setFollow(isFollowing);
  requestAnimationFrame(tick);
  begin();
  // For measurements: the test fills the columns.
  canvas.lives = lives;
}
