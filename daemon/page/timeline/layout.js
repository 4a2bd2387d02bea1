// Where each life is drawn: below the first row of its parent, in the first row that is free at its start. A life and its descendants
// are a block; blocks of siblings share rows if they do not overlap in time. Only lives of the visible time and a margin are placed, so
// that lives at other times leave no empty rows.

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

/** The most rows that one layout searches one by one. After that, blocks of about the same height share rows, which heaps find. */
const SCANS = 3e6;

/** Blocks of about the same height share rows. */
const heightClass = (height) => (height <= 4 ? height : 2 ** Math.ceil(Math.log2(height)));

/**
 * Places the lives between two times, ns. Lives that overlap by less than `tolerance`, such as the time of two pixels, may share a row;
 * otherwise most rows would be nearly empty. With `root` only this life and its descendants are placed. Returns `row` of each life; the
 * number of `rows`; `first` and `items`: the lives of row r, in order of time, are items[first[r]] to items[first[r + 1]]; `boxes`: lives
 * with children, whose block has `height` rows and ends at `until`.
 */
export function layout(lives, from = -Infinity, to = Infinity, tolerance = 0, root = -1) {
  const { count, start, release, parent, newParent } = lives;
  const placed = new Uint8Array(count);
  const isInside = root < 0 ? () => true : descendants(lives, root);
  let size = 0;
  for (let n = 0; n < count; n += 1) {
    if (start[n] <= to && release[n] >= from && isInside(n)) {
      placed[n] = 1;
      size += 1;
    }
  }
  const order = new Uint32Array(size);
  for (let n = 0, at = 0; n < count; n += 1) if (placed[n]) order[at++] = n;
  order.sort((a, b) => start[a] - start[b] || a - b);
  const rank = new Uint32Array(count);
  order.forEach((n, at) => { rank[n] = at; });
  // A parent that does not start before its child is ignored, so there are no cycles.
  const isAbove = (p, n) => p >= 0 && placed[p] && rank[p] < rank[n];
  const above = (n) => {
    if (isAbove(parent[n], n)) return parent[n];
    // An orphan whose first parent ended before the visible time is drawn below its new parent.
    if (isAbove(newParent[n], n)) return newParent[n];
    let p = parent[n];
    for (let steps = 0; p >= 0 && steps < 64; steps += 1) {
      if (isAbove(p, n)) return p;
      p = parent[p];
    }
    return -1;
  };
  const child = new Int32Array(count + 1).fill(-1);
  const next = new Int32Array(count).fill(-1);
  for (let at = size - 1; at >= 0; at -= 1) {
    const n = order[at];
    const slot = above(n) + 1;
    next[n] = child[slot];
    child[slot] = n;
  }
  const [height, offset, until] = [new Int32Array(count).fill(1), new Int32Array(count), new Float64Array(count)];

  let scans = 0;

  /** Places the blocks of these children below each other; returns the number of rows. */
  const place = (slot, owner) => {
    // `free`: when each of the first rows is free again. Further rows form lanes of one height each, which heaps find.
    const free = [];
    let lanes;
    let rows = 0;
    for (let n = child[slot]; n >= 0; n = next[n]) {
      const tall = height[n];
      let at = -1;
      let fits = 0;
      const most = scans < SCANS ? free.length : 0;
      for (let r = 0; r < most; r += 1) {
        fits = free[r] <= start[n] + tolerance ? fits + 1 : 0;
        if (fits === tall) {
          at = r - tall + 1;
          break;
        }
      }
      scans += at < 0 ? most : at;
      // A block that needs new rows may begin in the last rows if these are free.
      if (at < 0 && !lanes && scans < SCANS) {
        at = free.length - fits;
        rows = at + tall;
      }
      if (at >= 0) {
        for (let r = at; r < at + tall; r += 1) free[r] = until[n];
      } else {
        lanes ??= new Map();
        const size = heightClass(tall);
        let lane = lanes.get(size);
        if (!lane) lanes.set(size, (lane = { busy: new Heap(), free: new Heap() }));
        while (lane.busy.size && lane.busy.keys[0] <= start[n] + tolerance) {
          const idle = lane.busy.pop();
          lane.free.push(idle, idle);
        }
        at = rows;
        if (lane.free.size) at = lane.free.pop();
        else rows += size;
        lane.busy.push(until[n], at);
      }
      offset[n] = at;
      if (owner >= 0 && until[n] > until[owner]) until[owner] = until[n];
    }
    return rows;
  };
  for (let at = size - 1; at >= 0; at -= 1) {
    const n = order[at];
    until[n] = release[n];
    if (child[n + 1] >= 0) height[n] = 1 + place(n + 1, n);
  }
  const rows = place(0, -1);
  const row = new Int32Array(count).fill(-1);
  const first = new Uint32Array(rows + 2);
  const boxes = [];
  const depth = new Uint8Array(count);
  for (const n of order) {
    const owner = above(n);
    row[n] = offset[n] + (owner >= 0 ? row[owner] + 1 : 0);
    first[row[n] + 1] += 1;
    if (owner >= 0) depth[n] = Math.min(255, depth[owner] + 1);
    if (height[n] > 1) boxes.push(n);
  }
  for (let r = 0; r <= rows; r += 1) first[r + 1] += first[r];
  const items = new Uint32Array(size);
  const at = first.slice();
  for (const n of order) items[at[row[n]]++] = n;
  const isPlaced = (n) => n >= 0 && placed[n] === 1;
  const [orphans, signals] = [[], []];
  for (const n of order) {
    // An orphan that was already one when the page opened was reparented when its first parent ended.
    const first = parent[n];
    if (newParent[n] >= 0 && Number.isNaN(lives.movedAt[n]) && first >= 0 && lives.exit[first] !== Infinity) lives.movedAt[n] = lives.exit[first];
    if (newParent[n] >= 0 && !Number.isNaN(lives.movedAt[n])) orphans.push(n);
    if (isPlaced(lives.sender[n])) signals.push(n);
  }
  return { from, to, tolerance, root, row, rows, first, items, boxes: Uint32Array.from(boxes), height, until, depth, orphans, signals };
}

/** Returns whether a life is `root` or descends from it, by its first parents. */
function descendants({ count, parent }, root) {
  // 0: not known yet, 1: outside, 2: inside.
  const known = new Uint8Array(count);
  known[root] = 2;
  const path = [];
  return (n) => {
    let at = n;
    while (at >= 0 && known[at] === 0) {
      known[at] = 1;
      path.push(at);
      at = parent[at];
    }
    const answer = at >= 0 ? known[at] : 1;
    while (path.length) known[path.pop()] = answer;
    return answer === 2;
  };
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
