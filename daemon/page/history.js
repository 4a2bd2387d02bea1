// Numbers of tasks in the last minutes, as far as this page was open.

/** How long the numbers are kept, ms. */
const KEPT = 600000;

export const history = {
  points: [],
  listeners: new Set(),
  /** Takes an answer of /v1/status. */
  add(status) {
    const now = Date.now();
    this.status = status;
    this.points.push({ at: now, tasks: status.tasks, zombies: status.zombies });
    while (this.points[0].at < now - KEPT) this.points.shift();
    for (const listener of this.listeners) listener();
  },
};

/** How much past usage a forecast is computed from, ms, and the least that it needs. */
const PAST = 300000;
const LEAST = 10000;

/** Past usage by kind and name of the limit. */
const used = new Map();

/** Adds an answer of /v1/limits; returns for each limit its growth per second, or undefined. */
export function growth(limits) {
  const now = Date.now();
  return limits.map((limit) => {
    const key = `${limit.kind} ${limit.name ?? ''}`;
    const past = used.get(key) ?? [];
    used.set(key, past);
    past.push([now, limit.used]);
    while (past[0][0] < now - PAST) past.shift();
    if (used.size > 200) used.delete(used.keys().next().value);
    return now - past[0][0] < LEAST ? undefined : slope(past);
  });
}

/** The slope of a least-squares fit, per second. */
function slope(points) {
  let [n, x, y, xx, xy] = [0, 0, 0, 0, 0];
  for (const [at, value] of points) {
    const s = (at - points[0][0]) / 1000;
    const v = value - points[0][1];
    n += 1; x += s; y += v; xx += s * s; xy += s * v;
  }
  const width = n * xx - x * x;
  return width > 0 ? (n * xy - x * y) / width : undefined;
}
