// Lives of processes in columns: 100,000 of them take about 15 MB.

/** The most lives that are kept; the oldest ended ones are dropped beyond it. */
export const MOST = 100000;

/** Additional room for lives that arrive before the oldest are dropped. */
const SPARE = 10000;

const NUMBERS = {
  start: Float64Array, exit: Float64Array, release: Float64Array, exec: Float64Array, signalAt: Float64Array, movedAt: Float64Array,
  parent: Int32Array, sender: Int32Array, newParent: Int32Array, pid: Uint32Array, threads: Uint16Array, execs: Uint16Array, signal: Uint8Array,
};

/** A life that is not known (yet). */
const NONE = -1;

export class Lives {
  constructor(capacity = 1024) {
    this.count = 0;
    this.dropped = 0;
    this.version = 0;
    this.byId = new Map();
    /** Lives whose parent, sender or new parent is not known yet, by its entity id. */
    this.waiting = new Map();
    this.names = [];
    this.ids = [];
    this.ends = [];
    this.columns(capacity);
  }

  columns(capacity) {
    for (const [key, type] of Object.entries(NUMBERS)) {
      const column = new type(capacity);
      if (this[key]) column.set(this[key].subarray(0, this.count));
      this[key] = column;
    }
  }

  /** Returns the index of a life, which is made if it is new. Its start is part of its entity id. */
  life(id, pid, name) {
    const known = this.byId.get(id);
    if (known !== undefined) return known;
    if (this.count >= MOST + SPARE) this.forget();
    if (this.count === this.start.length) this.columns(2 * this.count);
    const n = this.count;
    this.count += 1;
    this.byId.set(id, n);
    this.ids[n] = id;
    this.names[n] = name ?? '?';
    this.ends[n] = '';
    this.pid[n] = pid;
    this.start[n] = Number(id.slice(id.lastIndexOf('-') + 1));
    this.exit[n] = this.release[n] = Infinity;
    this.exec[n] = this.signalAt[n] = this.movedAt[n] = NaN;
    this.parent[n] = this.sender[n] = this.newParent[n] = NONE;
    this.threads[n] = this.execs[n] = this.signal[n] = 0;
    for (const [column, of] of this.waiting.get(id) ?? []) this[column][of] = n;
    this.waiting.delete(id);
    return n;
  }

  /** Returns the life that had a pid at a time. A signal from a thread comes without the sender's entity id. */
  at(pid, time) {
    for (let n = this.pid.lastIndexOf(pid, this.count - 1); n >= 0; n = n > 0 ? this.pid.lastIndexOf(pid, n - 1) : NONE) {
      if (this.start[n] <= time && this.release[n] >= time) return n;
    }
    return NONE;
  }

  /** Sets a reference to another life, which may become known later. */
  refer(column, n, id) {
    if (!id) return;
    const other = this.byId.get(id);
    if (other !== undefined) {
      if (other !== n) this[column][n] = other;
      return;
    }
    const list = this.waiting.get(id);
    if (list) list.push([column, n]);
    else this.waiting.set(id, [[column, n]]);
  }

  /** Takes a line of /v1/lives. */
  addLife(line) {
    const { process, death } = line;
    if (!process.entity_id) return;
    const n = this.life(process.entity_id, process.pid, process.name);
    this.names[n] = process.name ?? this.names[n];
    this.release[n] = line.boottime_ns;
    this.exit[n] = line.ended_boottime_ns ?? line.boottime_ns;
    this.refer('parent', n, line.first_parent?.entity_id ?? process.parent_entity_id);
    if (line.exec_boottime_ns !== undefined) this.exec[n] = line.exec_boottime_ns;
    this.execs[n] = line.execs ?? 0;
    this.threads[n] = line.threads_peak ?? 0;
    if (line.reparented_boottime_ns !== undefined) {
      this.movedAt[n] = line.reparented_boottime_ns;
      this.refer('newParent', n, process.parent_entity_id);
    }
    this.died(n, process.exit, death?.cause, death?.signal && { ...death.signal, sender: death.signal.sender?.process });
    this.version += 1;
  }

  /** Takes a node of /v1/tree; `parent` is the node above it. */
  addNode(node, parent, boottime) {
    if (!node.entity_id) return;
    const n = this.life(node.entity_id, node.pid, node.name);
    this.names[n] = node.name ?? this.names[n];
    this.refer('parent', n, node.orphan_of?.entity_id ?? parent?.entity_id);
    this.threads[n] = Math.max(this.threads[n], (node.threads ?? 1) - 1);
    if (node.state === 'zombie') this.exit[n] = Math.min(this.exit[n], boottime - (node.zombie_at_least_ns ?? 0));
    if (node.orphan_of && parent?.entity_id) this.refer('newParent', n, parent.entity_id);
    this.version += 1;
  }

  /** Takes an event of the stream. */
  addEvent(event) {
    const { process, thread, task = {}, boottime_ns: at } = event;
    if (!process?.entity_id) return;
    const { action } = event.event;
    const isThread = task.kind === 'thread' || task.kind === 'io_worker' || task.kind === 'user_worker';
    const known = this.byId.get(process.entity_id);
    // The last event of a process that is not known adds nothing.
    if (known === undefined && (isThread || action === 'reaped' || action === 'autoreaped')) return;
    const n = known ?? this.life(process.entity_id, process.pid, process.name);
    this.version += 1;
    if (isThread) {
      if (action === 'forked') this.threads[n] = Math.min(65535, this.threads[n] + 1);
      return;
    }
    if (process.name) this.names[n] = process.name;
    if (known === undefined) this.refer('parent', n, process.parent_entity_id);
    switch (action) {
      case 'execed':
        this.exec[n] = at;
        this.execs[n] += 1;
        break;
      case 'reparented':
        this.movedAt[n] = at;
        this.refer('newParent', n, process.parent_entity_id);
        break;
      case 'group_exited': {
        this.exit[n] = at;
        const signal = task.death?.by_signal;
        this.died(n, process.exit, task.death?.cause, signal && { ...signal, boottime_ns: signal.sent_boottime_ns });
        break;
      }
      case 'reaped':
      case 'autoreaped':
        if (thread && thread.id !== process.pid) break;
        this.exit[n] = Math.min(this.exit[n], at);
        this.release[n] = at;
        break;
      default:
    }
  }

  died(n, exit, cause, signal) {
    if (exit?.signal) {
      this.signal[n] = exit.signal;
      this.ends[n] = exit.signal_name ?? `signal ${exit.signal}`;
    } else if (exit) this.ends[n] = `code ${exit.code}`;
    if (cause && cause !== 'exited' && cause !== 'killed') this.ends[n] += `, ${cause.replaceAll('_', ' ')}`;
    if (signal?.sender) {
      this.ends[n] += ` from ${signal.sender.name ?? '?'} (${signal.sender.pid})`;
      this.signalAt[n] = signal.boottime_ns;
      if (signal.sender.entity_id) this.refer('sender', n, signal.sender.entity_id);
      else this.sender[n] = this.at(signal.sender.pid, signal.boottime_ns);
    }
  }

  /** Drops the oldest ended lives, so that `MOST` are left. */
  forget() {
    const ended = [];
    for (let n = 0; n < this.count; n += 1) if (this.release[n] !== Infinity) ended.push(n);
    ended.sort((a, b) => this.release[a] - this.release[b]);
    const gone = new Set(ended.slice(0, this.count - MOST + SPARE));
    const moved = new Int32Array(this.count).fill(NONE);
    let to = 0;
    for (let n = 0; n < this.count; n += 1) {
      if (gone.has(n)) {
        this.byId.delete(this.ids[n]);
        continue;
      }
      moved[n] = to;
      for (const key of Object.keys(NUMBERS)) this[key][to] = this[key][n];
      for (const key of ['names', 'ids', 'ends']) this[key][to] = this[key][n];
      this.byId.set(this.ids[to], to);
      to += 1;
    }
    for (let n = 0; n < to; n += 1) {
      for (const key of ['parent', 'sender', 'newParent']) if (this[key][n] !== NONE) this[key][n] = moved[this[key][n]];
    }
    this.waiting.clear();
    for (const key of ['names', 'ids', 'ends']) this[key].length = to;
    this.dropped += gone.size;
    this.count = to;
    this.version += 1;
  }
}
