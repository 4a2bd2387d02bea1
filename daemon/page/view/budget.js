// The limits on pids: how full each is, who fills it, and the tasks of the last minutes.

import { poll } from '../api.js';
import { Table, h, pane } from '../dom.js';
import { count } from '../format.js';
import { growth, history } from '../history.js';
import { consumer, consumerLink, forecast, meter, share, what } from './limits.js';

export const label = 'Budget';

export function show({ main, connection, signal }) {
  const canvas = h('canvas', { class: 'chart', role: 'img', 'aria-label': 'Tasks in the last minutes' });
  const chart = pane('Tasks', h('div', { class: 'body' }, canvas));
  const table = new Table('Limits on pids, the fullest first', [
    { title: 'Limit', name: true },
    { title: 'Used', number: true },
    { title: 'Of', number: true },
    { title: '%', number: true },
    { title: 'Forecast' },
    { title: 'Zombies', number: true },
    { title: 'Refused', number: true },
    { title: 'Full: errno' },
    { title: 'Most used by', grow: true },
  ]);
  const limits = pane('Limits', table.element);
  const users = h('div', { class: 'panes' });
  main.append(h('h1', {}, 'Pid budget'), chart.element, limits.element, users);
  table.update([]);
  const draw = () => drawChart(canvas, chart);
  history.listeners.add(draw);
  addEventListener('resize', draw);
  const scheme = matchMedia('(prefers-color-scheme: dark)');
  scheme.addEventListener('change', draw);
  signal.addEventListener('abort', () => {
    history.listeners.delete(draw);
    removeEventListener('resize', draw);
    scheme.removeEventListener('change', draw);
  });
  draw();
  poll(
    {
      path: 'v1/limits',
      every: 3000,
      apply(answer) {
        const rates = growth(answer.limits);
        const all = answer.limits.map((limit, n) => ({ limit, rate: rates[n] })).toSorted((a, b) => share(b.limit) - share(a.limit));
        limits.count(count(all.length));
        table.update(
          all.map(({ limit, rate }) => {
            const most = limit.consumers[0];
            return {
              id: what(limit),
              mark: limit.full ? 'bad' : share(limit) >= 0.8 ? 'odd' : '',
              cells: [
                { text: what(limit), title: what(limit) },
                count(limit.used),
                count(limit.limit),
                (share(limit) * 100).toFixed(1),
                forecast(limit, rate).text,
                count(limit.zombies),
                count(limit.refused),
                limit.errno,
                most ? { text: consumer(most), href: consumerLink(most), title: consumer(most) } : '',
              ],
            };
          }),
        );
        users.replaceChildren(
          ...all.slice(0, 6).map(({ limit }) =>
            pane(
              what(limit),
              h('div', { class: 'body' }, meter(limit), h('ol', { class: 'plain' }, limit.consumers.map((it) => h('li', {}, h('a', { href: consumerLink(it) }, consumer(it)))))),
            ).element),
        );
      },
    },
    connection,
    signal,
  );
}

/** Draws tasks and zombies over time. */
function drawChart(canvas, chart) {
  const { points } = history;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (width === 0) return;
  const ratio = devicePixelRatio;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext('2d');
  context.scale(ratio, ratio);
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(name).trim();
  context.font = `11px ${colour('--mono')}`;
  const most = Math.max(1, ...points.map((it) => it.tasks));
  const step = niceStep(most / 4);
  const top = Math.ceil(most / step) * step;
  const [left, right, bottom] = [48, width - 8, height - 20];
  const y = (value) => bottom - ((bottom - 8) * value) / top;
  const now = Date.now();
  const span = 600000;
  const x = (at) => right - ((now - at) / span) * (right - left);
  context.strokeStyle = colour('--line');
  context.fillStyle = colour('--soft');
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  for (let value = 0; value <= top; value += step) {
    context.beginPath();
    context.moveTo(left, y(value));
    context.lineTo(right, y(value));
    context.stroke();
    context.fillText(count(value), left - 6, y(value));
  }
  context.textBaseline = 'top';
  for (let minute = 0; minute <= 10; minute += 2) {
    context.textAlign = minute === 0 ? 'right' : 'center';
    context.fillText(minute === 0 ? 'now' : `-${minute} min`, x(now - minute * 60000), bottom + 5);
  }
  const line = (key, stroke, dash) => {
    context.strokeStyle = stroke;
    context.lineWidth = 1.5;
    context.setLineDash(dash);
    context.beginPath();
    for (const it of points) context.lineTo(x(it.at), y(it[key]));
    context.stroke();
    context.setLineDash([]);
  };
  line('tasks', colour('--bar'), []);
  line('zombies', colour('--zombie-edge'), [4, 3]);
  const last = points.at(-1);
  if (last) {
    const text = `${count(last.tasks)} tasks (solid), ${count(last.zombies)} zombies (dashed)`;
    chart.count(text);
    canvas.setAttribute('aria-label', `Tasks in the last minutes: now ${text}, at most ${count(most)} tasks`);
  }
}

/** Returns 1, 2 or 5 times a power of ten, at least this. */
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return [1, 2, 5, 10].map((it) => it * power).find((it) => it >= least) ?? 10 * power;
}
