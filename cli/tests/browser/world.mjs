// What the clicks need: a `longhaul serve` on a folder of its own, its API, and a browser that tells on the page.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const require = createRequire(join(process.env.BROWSER_MODULES, "/"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

// Nothing that is awaited takes longer; what does is a failure.
export const longest = 20_000;

export async function until(what, check) {
  const deadline = Date.now() + longest;
  for (;;) {
    const found = await check();
    if (found) return found;
    assert.ok(Date.now() < deadline, `it never came true that ${what}`);
    await pause(25);
  }
}

// A running `longhaul serve`.
export class Serve {
  constructor(words = []) {
    this.words = words;
    this.folder = mkdtempSync(join(tmpdir(), "longhaul-browser-"));
    this.state = join(this.folder, "state");
  }

  async start() {
    const file = join(this.state, "service.json");
    this.child = spawn(process.env.LONGHAUL, ["serve", "--state", this.state, ...this.words], { stdio: "ignore" });
    this.url = await until("longhaul serve is up", () => {
      assert.equal(this.child.exitCode, null, "longhaul serve ended");
      const found = existsSync(file) && JSON.parse(readFileSync(file, "utf8"));
      return found && found.pid === this.child.pid && found.url;
    });
  }

  async stop() {
    if (!this.child) return;
    const ended = once(this.child, "exit");
    this.child.kill("SIGTERM");
    await ended;
    this.child = null;
  }

  // Stops every execution, so that no job is left, not even of those that were completed by hand; and then the service.
  async end() {
    if (this.child) {
      for (const name of await this.names()) await this.longhaul("stop", name);
      await this.stop();
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  async longhaul(...words) {
    const child = spawn(process.env.LONGHAUL, [...words, "--state", this.state], { stdio: ["ignore", "pipe", "ignore"] });
    let text = "";
    child.stdout.on("data", (data) => (text += data));
    await once(child, "close");
    return text;
  }

  async names() {
    const lines = await this.longhaul("ps", "--all", "--json");
    return lines.split("\n").filter(Boolean).map((line) => JSON.parse(line).name);
  }

  // Starts an execution of the function that runs jobs.
  async job(name, script, more = {}) {
    const answer = await fetch(`${this.url}/2015-03-31/functions/longhaul/invocations?Qualifier=%24LATEST`, {
      method: "POST",
      headers: { "x-amz-invocation-type": "Event", "x-amz-durable-execution-name": name },
      body: JSON.stringify({ name: name.replace(/-\d+$/, ""), command: ["sh", "-c", script], ...more }),
    });
    assert.equal(answer.status, 202, await answer.text());
    return answer.headers.get("x-amz-durable-execution-arn");
  }

  async history(arn) {
    const answer = await fetch(`${this.url}/2025-12-01/durable-executions/${encodeURIComponent(arn)}/history`);
    return (await answer.json()).Events;
  }

  // The ids of an execution's callbacks, once it waits for one.
  async callbackIds(arn) {
    return until("a callback is open", async () => {
      const events = await this.history(arn);
      const ids = events.map((event) => event.CallbackStartedDetails?.CallbackId).filter(Boolean);
      return events.some((event) => event.EventType === "InvocationCompleted") && ids;
    });
  }
}

export async function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      ...(process.getuid() === 0 ? ["--no-sandbox"] : []),
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

// A page that collects what must not happen on it.
export async function visitor(browser, serve, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(longest);
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("console", (message) => {
    // The browser reports answers of the service that say no, and a service that is away; both are asked for here.
    const asked = /Failed to load resource/.test(message.text());
    if (["error", "warning"].includes(message.type()) && !asked) faults.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(serve.url)) faults.push(`request to ${request.url()}`);
  });
  return { context, page, faults };
}

// What the accessibility checker has to say against the page.
export async function barriers(page) {
  await page.evaluate(axe);
  const result = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"] }));
  return result.violations.map((it) => `${it.id}: ${it.nodes.map((node) => node.target.join(" ")).join(", ")}`);
}
