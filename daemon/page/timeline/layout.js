// Where each life is drawn: below the first row of its parent, in the first row that is free at its start. A life and its descendants
// are a block; blocks of siblings share rows if they do not overlap in time.

/** A binary heap of pairs, the least key first. */
class Heap {
  constructor() {
    this.keys = [];
    this.values = [];
  }

  get size() {
    return this.keys.length;
  }

  push(key, value) {
    const { keys, values } = this;
    let n = keys.length;
    while (n > 0) {
      const above = (n - 1) >> 1;
      if (keys[above] <= key) break;
      keys[n] = keys[above];
      values[n] = values[above];
      n = above;
    }
    keys[n] = key;
    values[n] = value;
  }

  pop() {
    const { keys, values } = this;
    const value = values[0];
    const [key, last] = [keys.pop(), values.pop()];
    const size = keys.length;
    let n = 0;
    while (size > 0) {
      let below = 2 * n + 1;
      if (below >= size) break;
      if (below + 1 < size && keys[below + 1] < keys[below]) below += 1;
      if (keys[below] >= key) break;
      keys[n] = keys[below];
      values[n] = values[below];
      n = below;
    }
    if (size > 0) {
      keys[n] = key;
      values[n] = last;
    }
    return value;
  }
}

/** Blocks of about the same height share rows. */
const heightClass = (height) => (height <= 4 ? height : 2 ** Math.ceil(Math.log2(height)));

/**
 * Returns `row` of each life, `rows`, `first` and `items`: the lives of row r, in order of time, are items[first[r]] to
 * items[first[r + 1]]; `boxes`: lives with children, whose block has `height` rows and ends at `until`.
 */
export function layout(lives) {
  const { count, start, release, parent } = lives;
  const order = new Uint32Array(count);
  for (let n = 0; n < count; n += 1) order[n] = n;
  order.sort((a, b) => start[a] - start[b] || a - b);
  // Children in order of their start. A parent that does not start before its child is not taken for its parent: there are no circles.
  const rank = new Uint32Array(count);
  order.forEach((n, at) => { rank[n] = at; });
  const above = (n) => (parent[n] >= 0 && rank[parent[n]] < rank[n] ? parent[n] : -1);
  const child = new Int32Array(count + 1).fill(-1);
  const next = new Int32Array(count).fill(-1);
  for (let at = count - 1; at >= 0; at -= 1) {
    const n = order[at];
    const slot = above(n) + 1;
    next[n] = child[slot];
    child[slot] = n;
  }
  const [height, offset, until] = [new Int32Array(count).fill(1), new Int32Array(count), new Float64Array(count)];

  /** Places the blocks of these children below each other; returns the number of rows. */
  const place = (slot, owner) => {
    let rows = 0;
    const lanes = new Map();
    for (let n = child[slot]; n >= 0; n = next[n]) {
      const size = heightClass(height[n]);
      let lane = lanes.get(size);
      if (!lane) lanes.set(size, (lane = { busy: new Heap(), free: new Heap() }));
      while (lane.busy.size && lane.busy.keys[0] <= start[n]) {
        const at = lane.busy.pop();
        lane.free.push(at, at);
      }
      let at = rows;
      if (lane.free.size) at = lane.free.pop();
      else rows += size;
      offset[n] = at;
      lane.busy.push(until[n], at);
      if (owner >= 0 && until[n] > until[owner]) until[owner] = until[n];
    }
    return rows;
  };
  for (let at = count - 1; at >= 0; at -= 1) {
    const n = order[at];
    until[n] = release[n];
    if (child[n + 1] >= 0) height[n] = 1 + place(n + 1, n);
  }
  const rows = place(0, -1);
  const row = new Int32Array(count);
  const first = new Uint32Array(rows + 2);
  const boxes = [];
  for (const n of order) {
    const owner = above(n);
    row[n] = offset[n] + (owner >= 0 ? row[owner] + 1 : 0);
    first[row[n] + 1] += 1;
    if (height[n] > 1) boxes.push(n);
  }
  for (let r = 0; r <= rows; r += 1) first[r + 1] += first[r];
  const items = new Uint32Array(count);
  const at = first.slice();
  for (const n of order) items[at[row[n]]++] = n;
  const [orphans, signals] = [[], []];
  for (const n of order) {
    if (lives.heir[n] >= 0 && !Number.isNaN(lives.movedAt[n])) orphans.push(n);
    if (lives.sender[n] >= 0) signals.push(n);
  }
  return { row, rows, first, items, boxes: Uint32Array.from(boxes), height, until, orphans, signals };
}

/** Returns the first item of a row that ends at or after this time; `last` is the end of the row's items. */
export function firstAfter(lives, items, from, last, time) {
  let [low, high] = [from, last];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (lives.release[items[middle]] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}
