// Drives headless Chromium for tests: one JSON command per line on stdin, one JSON answer per line on stdout.
//
// TASKSCOPE_CHROMIUM is the browser, TASKSCOPE_NODE_MODULES a folder with playwright-core and axe-core.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const modules = process.env.TASKSCOPE_NODE_MODULES;
const { chromium } = createRequire(join(modules, '/'))('playwright-core');

/** Where the proxy puts the daemon. */
const PREFIX = '/a/prefix';

/** Between two polls of the page, ms. */
const POLL = 50;

let [browser, context, page, session] = [];
let problems = [];
let received = new Map();

/** A reverse proxy to a Unix socket, which takes the prefix off. */
function proxy(socket) {
  const server = http.createServer((request, response) => {
    if (!request.url.startsWith(`${PREFIX}/`)) {
      response.writeHead(404).end();
      return;
    }
    const options = { socketPath: socket, path: request.url.slice(PREFIX.length), method: request.method, headers: request.headers };
    const onward = http.request(options, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
      answer.on('error', () => response.destroy());
      // Headers of a stream are sent before its first event.
      response.flushHeaders();
    });
    // There is no daemon: a proxy answers 502 then.
    onward.on('error', () => (response.headersSent ? response.destroy() : response.writeHead(502).end()));
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${server.address().port}${PREFIX}/`));
  });
}

/** Evaluates an expression as a debugger does: the page's policy allows no other way. */
async function evaluate(expression) {
  const { result, exceptionDetails } = await session.send('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true });
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  return result.value;
}

const commands = {
  proxy: ({ socket }) => proxy(socket),

  async open({ url, width = 1280, height = 800, scheme = 'light' }) {
    browser ??= await chromium.launch({ executablePath: process.env.TASKSCOPE_CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] });
    await context?.close();
    context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, timezoneId: 'UTC' });
    page = await context.newPage();
    [problems, received] = [[], new Map()];
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) problems.push(`${message.type()}: ${message.text()} ${message.location().url}`);
    });
    page.on('pageerror', (error) => problems.push(`exception: ${error.stack ?? error.message}`));
    session = await context.newCDPSession(page);
    await session.send('Network.enable');
    const paths = new Map();
    session.on('Network.responseReceived', ({ requestId, response }) => paths.set(requestId, new URL(response.url).pathname));
    session.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
      if (paths.has(requestId)) received.set(paths.get(requestId), encodedDataLength);
    });
    session.on('Network.requestWillBeSent', ({ request }) => {
      if (!request.url.startsWith(new URL(url).origin) && !request.url.startsWith('data:')) problems.push(`request to ${request.url}`);
    });
    await page.goto(url);
  },

  /**
   * Opens a page as another user does, in a window that the other commands do not reach. A browser opens six connections to a server at
   * most, and each page of one user keeps one for its events.
   */
  async openAnother({ url }) {
    await (await browser.newContext()).newPage().then((another) => another.goto(url));
  },

  async go({ hash }) {
    await evaluate(`location.hash = ${JSON.stringify(hash)}; undefined`);
  },

  evaluate: ({ expression }) => evaluate(expression),

  /** Waits until an expression is true; the error shows what the page has. */
  async until({ expression, what, deadline }) {
    const end = Date.now() + deadline;
    for (;;) {
      const value = await evaluate(expression);
      if (value) return value;
      if (Date.now() > end) throw new Error(`${what} does not come to be:\n${await evaluate('document.body.innerText')}\n${problems.join('\n')}`);
      await new Promise((resolve) => { setTimeout(resolve, POLL); });
    }
  },

  async press({ key }) {
    await page.keyboard.press(key);
  },

  async fill({ selector, text }) {
    await page.fill(selector, text);
  },

  async click({ selector }) {
    await page.click(selector);
  },

  async picture({ path }) {
    await page.screenshot({ path });
  },

  /** Serious and critical findings of axe-core. */
  async axe() {
    if (!(await evaluate('typeof axe === "object"'))) await evaluate(`${readFileSync(join(modules, 'axe-core/axe.min.js'), 'utf8')}; undefined`);
    return evaluate(`axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations
      .filter((it) => it.impact === 'serious' || it.impact === 'critical')
      .flatMap((it) => it.nodes.map((node) => it.id + ' ' + node.html.slice(0, 200) + ' ' + node.failureSummary)))`);
  },

  problems: () => problems,
  received: () => Object.fromEntries(received),

  async close() {
    await browser?.close();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...rest } = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await commands[command](rest)) ?? null };
  } catch (error) {
    answer = { error: error.message };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser?.close();
process.exit(0);
