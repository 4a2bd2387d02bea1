// Names of processes for which an event has only the pid. A few names are requested each second.

import { ask, sleep } from './api.js';

/** Time between two requests, ms, and how many names are kept. */
const EVERY = 150;
const KEPT = 300;

export class Names {
  constructor(changed, signal) {
    this.known = new Map();
    this.wanted = [];
    this.changed = changed;
    this.signal = signal;
  }

  /** Returns the name of the process that had this pid at a time, if it is known already. */
  name(pid, boottime) {
    if (!pid) return undefined;
    const known = this.known.get(pid);
    // If the known process started after that time, the pid belonged to an earlier process.
    if (known) return known.start <= boottime ? known.name : undefined;
    if (!this.wanted.includes(pid)) {
      // Further names are requested when the rows are drawn again.
      if (this.wanted.length < 20) this.wanted.push(pid);
      if (!this.asking) this.asking = this.run();
    }
    return undefined;
  }

  async run() {
    while (this.wanted.length && !this.signal.aborted) {
      const pid = this.wanted.shift();
      try {
        const { process, task } = await ask(`v1/tasks/${pid}`, this.signal);
        this.known.set(pid, { name: process.name, start: task.start_boottime_ns ?? 0 });
      } catch {
        if (this.signal.aborted) return;
        this.known.set(pid, { start: Infinity });
      }
      if (this.known.size > KEPT) this.known.delete(this.known.keys().next().value);
      this.changed();
      await sleep(EVERY, this.signal);
    }
    this.asking = undefined;
  }
}
