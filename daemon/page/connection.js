// What the page says about its connection to the daemon: whether it answers, and whether events are missing or late.

/** How long a gap is shown, ms. */
const SHOWN = 30000;

export class Connection {
  constructor(show) {
    this.show = show;
    this.state = 'connecting';
    this.why = '';
    this.behind = false;
    this.gap = '';
    this.gapUntil = 0;
    this.render();
  }

  answered() {
    if (this.state === 'live') return;
    this.state = 'live';
    this.why = '';
    this.render();
  }

  failed(why) {
    if (this.state === 'gone' && this.why === why) return;
    if (this.state !== 'gone') this.since = new Date();
    this.state = 'gone';
    this.why = why;
    this.render();
  }

  /** Notes that events are missing. */
  missed(gap) {
    const lost = gap.lost === undefined ? 'events are' : `${gap.lost.toLocaleString('en')} events are`;
    const why = { restart: 'the daemon was restarted', output: 'this page was too slow', backlog: 'they are not kept any more' }[gap.place];
    this.gap = `${lost} missing: ${why ?? `lost at ${gap.place}`}`;
    this.gapUntil = Date.now() + SHOWN;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.render(), SHOWN + 10);
    this.render();
  }

  /** Notes that events come faster than the page reads them. */
  late(behind) {
    if (this.behind === behind) return;
    this.behind = behind;
    this.render();
  }

  render() {
    const two = (n) => String(n).padStart(2, '0');
    if (this.state === 'connecting') this.show('', 'connecting');
    else if (this.state === 'gone') {
      const at = `${two(this.since.getHours())}:${two(this.since.getMinutes())}:${two(this.since.getSeconds())}`;
      this.show('bad', `disconnected since ${at}: ${this.why}`);
    } else if (this.behind) this.show('odd', 'behind: more events than this page reads');
    else if (Date.now() < this.gapUntil) this.show('odd', `gap: ${this.gap}`);
    else this.show('good', 'live');
  }
}
