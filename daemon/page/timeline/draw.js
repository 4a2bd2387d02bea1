// Draws the part of the timeline that is visible: the cost depends on the size of the canvas, not on the number of lives.

import { clean } from '../format.js';
import { firstAfter } from './layout.js';

/** Pixels: the height of a row and of its bar, of the axis, and the least width of a bar. */
export const ROW = 17;
const BAR = 14;
export const AXIS = 22;
const LEAST = 1;

/** The most arrows that are drawn, and the most of them that only pass through the visible rows: more could not be distinguished. */
const ARROWS = 500;
const PASSING = 100;

const NAMES = [
  'text', 'soft', 'line', 'panel', 'life', 'life-edge', 'living', 'living-edge', 'zombie', 'zombie-edge', 'killed', 'box', 'box-two', 'signal', 'orphan', 'link', 'mono',
];

/** Reads the colours of the page. */
export function theme(canvas, context) {
  const style = getComputedStyle(canvas);
  const colours = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  // Zombies are hatched, so that they can be distinguished without their colour.
  const tile = document.createElement('canvas');
  tile.width = tile.height = 6;
  const ink = tile.getContext('2d');
  ink.strokeStyle = colours['zombie'];
  ink.lineWidth = 2.6;
  for (const x of [-6, 0, 6]) {
    ink.beginPath();
    ink.moveTo(x - 1, 7);
    ink.lineTo(x + 7, -1);
    ink.stroke();
  }
  colours.hatch = context.createPattern(tile, 'repeat');
  // A pattern is much quicker than a dashed line.
  const dash = document.createElement('canvas');
  dash.width = 2;
  dash.height = 7;
  const dots = dash.getContext('2d');
  dots.fillStyle = colours.orphan;
  dots.fillRect(0, 0, 2, 4);
  colours.dashes = context.createPattern(dash, 'repeat');
  colours.font = `11px ${colours.mono}`;
  context.font = colours.font;
  colours.letter = context.measureText('0').width;
  return colours;
}

/** Steps of the axis, s. */
const STEPS = [1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400, 604800];

/**
 * Draws. `view` has `from` and `to`, ns on CLOCK_BOOTTIME, `top`, the first visible row (may be a fraction), `now`, `wall`, the ns
 * between CLOCK_BOOTTIME and the wall clock, `width` and `height` in pixels, `chosen`, `hovered`, and `match(name)`.
 * Returns the numbers of what was drawn.
 */
export function draw(context, colours, lives, plan, view) {
  const { from, to, width, height } = view;
  const scale = width / (to - from);
  const x = (time) => (time - from) * scale;
  const y = (row) => AXIS + (row - view.top) * ROW;
  const end = (n) => (lives.release[n] === Infinity ? view.now : lives.release[n]);
  const firstRow = Math.max(0, Math.floor(view.top));
  const lastRow = Math.min(plan.rows - 1, Math.ceil(view.top + (height - AXIS) / ROW));
  context.clearRect(0, 0, width, height);
  context.font = colours.font;
  context.textBaseline = 'middle';
  context.lineWidth = 1;

  context.save();
  context.beginPath();
  context.rect(0, AXIS, width, height - AXIS);
  context.clip();

  let boxes = 0;
  for (const n of plan.boxes) {
    const top = plan.row[n];
    if (top > lastRow || top + plan.height[n] <= firstRow || lives.start[n] > to) continue;
    const until = plan.until[n] === Infinity ? view.now : plan.until[n];
    if (until < from) continue;
    const left = Math.max(-2, x(lives.start[n]));
    const right = Math.min(width + 2, x(until));
    if (right - left < 2) continue;
    context.fillStyle = plan.depth[n] % 2 ? colours['box-two'] : colours.box;
    const upper = Math.max(y(top), 0);
    context.fillRect(left, upper, right - left, Math.min(y(top + plan.height[n]) - 2, height) - upper);
    boxes += 1;
  }

  context.restore();
  axis(context, colours, view, x);
  context.save();
  context.beginPath();
  context.rect(0, AXIS, width, height - AXIS);
  context.clip();

  let bars = 0;
  for (let row = firstRow; row <= lastRow; row += 1) {
    const last = plan.first[row + 1];
    let at = firstAfter(lives, plan.items, plan.first[row], last, from);
    const top = y(row) + 1;
    while (at < last) {
      const n = plan.items[at];
      if (lives.start[n] > to) break;
      const left = x(lives.start[n]);
      const right = Math.max(x(end(n)), left + LEAST);
      bar(context, colours, lives, view, n, { left, right, top, x });
      bars += 1;
      // Skip further bars in the same pixel, because they cannot be seen.
      at = right - left <= LEAST ? firstAfter(lives, plan.items, at + 1, last, from + Math.ceil(left + LEAST) / scale) : at + 1;
    }
  }
  const arrows = drawArrows(context, colours, lives, plan, view, { x, y, firstRow, lastRow });
  now(context, colours, view, x(view.now));
  context.restore();
  return { bars, boxes, arrows };
}

function bar(context, colours, lives, view, n, { left, right, top, x }) {
  const isAlive = lives.exit[n] === Infinity;
  const exit = isAlive ? right : Math.min(right, Math.max(x(lives.exit[n]), left + LEAST));
  const [from, until] = [Math.max(left, -4), Math.min(exit, view.width + 4)];
  const isFaint = view.match && !view.match(lives.names[n], lives.pid[n]);
  context.globalAlpha = isFaint ? 0.22 : 1;
  context.fillStyle = right - left < 3 ? (isAlive ? colours['living-edge'] : colours['life-edge']) : isAlive ? colours.living : colours.life;
  if (until > from) context.fillRect(from, top, until - from, BAR);
  if (right > exit && right > 0) {
    const tail = Math.max(exit, -4);
    context.fillStyle = colours.hatch;
    context.fillRect(tail, top, Math.min(right, view.width + 4) - tail, BAR);
    context.strokeStyle = colours['zombie-edge'];
    if (right - exit > 3) context.strokeRect(tail + 0.5, top + 0.5, Math.min(right, view.width + 4) - tail - 1, BAR - 1);
    else context.fillStyle = colours['zombie-edge'], context.fillRect(tail, top, right - exit, BAR);
  }
  if (until - from > 3) {
    context.strokeStyle = isAlive ? colours['living-edge'] : colours['life-edge'];
    context.strokeRect(from + 0.5, top + 0.5, until - from - 1, BAR - 1);
  }
  if (lives.signal[n] && until - from > 1) {
    context.fillStyle = colours.killed;
    context.fillRect(exit - Math.min(4, until - from), top, Math.min(4, until - from), BAR);
  }
  const exec = x(lives.exec[n]);
  let begin = Math.max(left, 0) + 5;
  if (until - from > 8 && exec >= from - 4 && exec <= until) {
    const middle = Math.max(exec, from + 4);
    // The text begins after the mark of an early exec.
    if (exec < left + 14) begin = Math.max(begin, middle + 8);
    context.fillStyle = colours.text;
    context.beginPath();
    context.moveTo(middle, top + 3);
    context.lineTo(middle + 4, top + BAR / 2);
    context.lineTo(middle, top + BAR - 3);
    context.lineTo(middle - 4, top + BAR / 2);
    context.fill();
  }
  // The text ends before the tail if there is room.
  const edge = exit - left > 60 ? exit : right;
  label(context, colours, lives, n, begin, Math.min(edge, view.width), top);
  if (n === view.chosen || n === view.hovered) {
    context.globalAlpha = 1;
    context.strokeStyle = n === view.chosen ? colours.link : colours.text;
    context.lineWidth = 2;
    context.strokeRect(from, top, Math.max(Math.min(right, view.width + 4) - from, 3), BAR);
    context.lineWidth = 1;
  }
  context.globalAlpha = 1;
}

function label(context, colours, lives, n, left, right, top) {
  const letters = Math.floor((right - left - 5) / colours.letter);
  if (letters < 3) return;
  const threads = lives.threads[n] > 0 ? ` +${lives.threads[n]} thr` : '';
  const name = clean(lives.names[n]);
  const long = `${name} ${lives.pid[n]}${threads}`;
  const text = long.length <= letters ? long : name.length <= letters ? name : `${name.slice(0, letters - 1)}…`;
  context.fillStyle = colours.text;
  context.textAlign = 'left';
  context.fillText(text, left, top + BAR / 2 + 0.5);
}

/** Arrows: dashed from an orphan to its new parent, solid from the sender of a signal to its victim. */
function drawArrows(context, colours, lives, plan, view, { x, y, firstRow, lastRow }) {
  let drawn = 0;
  let passing = 0;
  const seen = new Set();
  const isSeen = (at) => at > -10 && at < view.height + 10;
  const arrow = (time, fromRow, toRow, colour, line) => {
    if (time < view.from || time > view.to || drawn >= ARROWS) return;
    if (Math.min(fromRow, toRow) > lastRow || Math.max(fromRow, toRow) < firstRow || fromRow === toRow || fromRow < 0) return;
    const at = Math.round(x(time));
    const key = `${colour}${at} ${toRow} ${fromRow}`;
    if (seen.has(key)) return;
    const ends = [fromRow, toRow].some((row) => row >= firstRow && row <= lastRow);
    if (!ends && ++passing > PASSING) return;
    seen.add(key);
    drawn += 1;
    const down = toRow > fromRow;
    const start = y(fromRow) + 1 + (down ? BAR : 0);
    const tip = toRow < 0 ? AXIS : y(toRow) + 1 + (down ? 0 : BAR);
    const back = down ? -5 : 5;
    const top = Math.max(Math.min(start, tip + back), 0);
    const bottom = Math.min(Math.max(start, tip + back), view.height);
    context.globalAlpha = 0.75;
    context.fillStyle = line;
    if (bottom > top) context.fillRect(at, top, 1, bottom - top);
    context.fillStyle = colour;
    if (isSeen(tip)) {
      context.beginPath();
      context.moveTo(at + 0.5, tip);
      context.lineTo(at - 3, tip + back);
      context.lineTo(at + 4, tip + back);
      context.fill();
    }
    if (isSeen(start)) context.fillRect(at - 1.5, start - 2, 4, 4);
    context.globalAlpha = 1;
  };
  // An arrow to a new parent that is not placed goes to the top.
  for (const n of plan.orphans) arrow(lives.movedAt[n], plan.row[n], Math.max(plan.row[lives.newParent[n]], -1), colours.orphan, colours.dashes);
  for (const n of plan.signals) arrow(lives.signalAt[n], plan.row[lives.sender[n]], plan.row[n], colours.signal, colours.signal);
  return drawn;
}

function axis(context, colours, view, x) {
  const least = ((view.to - view.from) / 1e9) * (95 / view.width);
  const step = STEPS.find((it) => it >= least) ?? STEPS.at(-1);
  context.fillStyle = colours.soft;
  context.strokeStyle = colours.line;
  context.textAlign = 'left';
  const offset = view.wall / 1e9 - new Date().getTimezoneOffset() * 60;
  let tick = Math.ceil((view.from / 1e9 + offset) / step);
  for (; ; tick += 1) {
    const seconds = tick * step - offset;
    if (seconds * 1e9 > view.to) break;
    const at = Math.round(x(seconds * 1e9)) + 0.5;
    context.beginPath();
    context.moveTo(at, 0);
    context.lineTo(at, view.height);
    context.stroke();
    context.fillText(timeText(tick * step, step), at + 4, AXIS / 2);
  }
  context.beginPath();
  context.moveTo(0, AXIS - 0.5);
  context.lineTo(view.width, AXIS - 0.5);
  context.stroke();
}

/** Returns a time of day from seconds of local time. */
function timeText(seconds, step) {
  const digits = step >= 1 ? 0 : Math.min(6, Math.ceil(-Math.log10(step) - 1e-9));
  const day = ((seconds % 86400) + 86400) % 86400;
  const two = (n) => String(Math.floor(n)).padStart(2, '0');
  const s = (day % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, '0');
  return step >= 60 ? `${two(day / 3600)}:${two((day / 60) % 60)}` : `${two(day / 3600)}:${two((day / 60) % 60)}:${s}`;
}

function now(context, colours, view, at) {
  if (at < 0 || at > view.width) return;
  context.strokeStyle = colours.soft;
  context.setLineDash([2, 3]);
  context.beginPath();
  context.moveTo(Math.round(at) + 0.5, AXIS);
  context.lineTo(Math.round(at) + 0.5, view.height);
  context.stroke();
  context.setLineDash([]);
}
