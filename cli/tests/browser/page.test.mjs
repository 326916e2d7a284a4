// Clicks through the web page of `longhaul serve`: what it shows, that it is alive, and that its buttons do what they say.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { Serve, barriers, launch, until, visitor } from "./world.mjs";

const serve = new Serve();
let browser;

before(async () => {
  await serve.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await serve.end();
});

const waiting = "echo waiting for somebody; sleep 600";
const path = (name) => `${serve.url}/executions/longhaul/${name}`;
const picture = (name) => join(process.env.PICTURES, `${name}.png`);

// Waits for the badge beside the title.
const badge = (page, word) => page.locator(".head .badge", { hasText: word }).waitFor();

// Something that a reload of the document would take away.
const mark = (page) => page.evaluate(() => (window.marked = true));
const isSame = (page) => page.evaluate(() => window.marked === true);

test("from the list to an execution, complete its callback, and see it succeed without a reload", async () => {
  const arn = await serve.job("approve-1", waiting);
  const [id] = await serve.callbackIds(arn);
  const { context, page, faults } = await visitor(browser, serve);
  await page.goto(serve.url);
  await page.getByRole("link", { name: "approve-1" }).click();
  await badge(page, "running");
  await page.getByText("Suspended, no compute while it waits for callback approve.").waitFor();
  await page.locator(".log pre", { hasText: "waiting for somebody" }).waitFor();
  assert.ok(!(await page.content()).includes(id), "the callback's id is on the page");
  await mark(page);
  await page.getByLabel("Result, as JSON").fill('{"approved": true}');
  await page.getByRole("button", { name: "Complete" }).click();
  await page.getByRole("status").filter({ hasText: "Completed: callback approve" }).waitFor();
  await badge(page, "succeeded");
  assert.match(await page.locator("#result pre").innerText(), /"approved": true/);
  assert.equal(await page.locator("#callbacks").count(), 0);
  assert.ok(await isSame(page), "the page was loaded again");
  assert.ok(!(await page.content()).includes(id), "the callback's id is on the page");
  assert.deepEqual(faults, []);
  await context.close();
});

test("stop an execution with a reason", async () => {
  await serve.job("endless-1", waiting);
  const { context, page, faults } = await visitor(browser, serve);
  await page.goto(path("endless-1"));
  await badge(page, "running");
  await page.getByText("Stop…").click();
  await page.getByLabel("Reason").fill("enough of it");
  await page.getByRole("button", { name: "Stop the execution" }).click();
  await badge(page, "stopped");
  await page.locator("#error", { hasText: "enough of it" }).waitFor();
  assert.deepEqual(faults, []);
  await context.close();
});

test("fail a callback, send a heartbeat, and read why a bad result is refused", async () => {
  await serve.job("reject-1", waiting);
  const { context, page, faults } = await visitor(browser, serve);
  await page.goto(path("reject-1"));
  await page.getByRole("button", { name: "Heartbeat" }).click();
  await page.locator("#notes p", { hasText: "Heartbeat noted" }).waitFor();
  await page.getByLabel("Result, as JSON").fill("plain words");
  await page.getByRole("button", { name: "Complete" }).click();
  await page.locator("#notes p.bad", { hasText: "Put text in double quotes" }).waitFor();
  assert.equal(await page.getByLabel("Result, as JSON").inputValue(), "plain words", "what was typed is gone");
  await page.getByLabel("Error type").fill("Rejected");
  await page.getByLabel("Message").fill("not today");
  await page.getByRole("button", { name: "Fail" }).click();
  await badge(page, "failed");
  await page.locator("#error", { hasText: "not today" }).waitFor();
  assert.deepEqual(faults, []);
  await context.close();
});

test("the list and the timeline are alive, and leave alone what somebody is doing", async () => {
  const { context, page, faults } = await visitor(browser, serve);
  await page.goto(serve.url);
  await mark(page);
  await serve.job("late-1", "for i in 1 2 3 4 5 6; do echo line $i; sleep 0.4; done; sleep 600");
  await page.getByRole("link", { name: "late-1" }).waitFor();
  assert.ok(await isSame(page));
  await page.goto(path("late-1"));
  await mark(page);
  const field = page.getByLabel("Result, as JSON");
  await field.fill("[1, 2");
  await page.locator("#event-1 summary").click();
  await field.focus();
  const width = () => page.locator("#lane-invocations + tr rect").getAttribute("x");
  const before = await width();
  await page.locator(".log pre", { hasText: "line 6" }).waitFor();
  await until("the bars have moved", async () => (await width()) !== before);
  assert.equal(await field.inputValue(), "[1, 2");
  assert.equal(await field.evaluate((it) => it === document.activeElement), true, "the focus has moved");
  assert.equal(await page.locator("#event-1 details").getAttribute("open"), "", "what was opened is shut");
  assert.ok(await isSame(page));
  assert.deepEqual(faults, []);
  await context.close();
});

test("everything can be done with the keyboard", async () => {
  await serve.job("keys-1", waiting);
  const { context, page, faults } = await visitor(browser, serve);
  await page.goto(serve.url);
  await page.getByRole("link", { name: "keys-1" }).waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("?");
  const keys = page.getByRole("dialog", { name: "Keys" });
  await keys.waitFor();
  await page.keyboard.press("Escape");
  await keys.waitFor({ state: "hidden" });
  await page.keyboard.press("/");
  await page.keyboard.type("keys-");
  await page.keyboard.press("Enter");
  await page.waitForURL(/name=keys-/);
  await page.keyboard.press("j");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "keys-1");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement.closest("tr")).outlineStyle);
  assert.equal(outline, "solid", "the focus cannot be seen");
  await page.keyboard.press("Enter");
  await page.waitForURL(path("keys-1"));
  await page.locator("#callbacks").waitFor();
  await page.keyboard.press("c");
  await page.keyboard.type("7");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await badge(page, "succeeded");
  await page.keyboard.press("u");
  await page.waitForURL(`${serve.url}/`);
  // Who does not want single letters to do things can switch them off.
  await page.keyboard.press("?");
  await page.getByLabel("Single-letter keys work").uncheck();
  await page.keyboard.press("Escape");
  await keys.waitFor({ state: "hidden" });
  await page.keyboard.press("/");
  assert.notEqual(await page.evaluate(() => document.activeElement.type), "search");
  assert.deepEqual(faults, []);
  await context.close();
});

test("it works without its script", async () => {
  await serve.job("plain-1", waiting).then((arn) => serve.callbackIds(arn));
  const { context, page } = await visitor(browser, serve, { javaScriptEnabled: false });
  await page.goto(path("plain-1"));
  await page.getByLabel("Result, as JSON").fill("nonsense");
  await page.getByRole("button", { name: "Complete" }).click();
  await page.getByText("Put text in double quotes").waitFor();
  await page.goBack();
  await page.getByLabel("Result, as JSON").fill("3");
  await page.getByRole("button", { name: "Complete" }).click();
  await page.waitForURL(path("plain-1"));
  await until("it has succeeded", async () => {
    await page.reload();
    return (await page.locator(".head .badge").innerText()) === "succeeded";
  });
  await context.close();
});

test("another page cannot press the buttons", async () => {
  const arn = await serve.job("forged-1", waiting);
  await serve.callbackIds(arn);
  const { context, page } = await visitor(browser, serve);
  // The other page is in another origin, and sends what a browser lets it send: a form, and a request of its script.
  const target = `${path("forged-1")}/stop`;
  const form = `<form method="post" action="${target}"><input name="reason" value="x"><button>Win a prize</button></form>`;
  await page.route("http://evil.example/**", (route) => route.fulfill({ contentType: "text/html", body: form }));
  await page.goto("http://evil.example/");
  await page.evaluate(
    (url) => fetch(url, { method: "POST", mode: "no-cors", body: new URLSearchParams({ reason: "x" }) }).catch(String),
    target,
  );
  const [refused] = await Promise.all([
    page.waitForResponse((response) => response.request().isNavigationRequest() && response.url() === target),
    page.getByRole("button").click(),
  ]);
  assert.equal(refused.status(), 403);
  const events = await serve.history(arn);
  assert.ok(!events.some((event) => event.EventType === "ExecutionStopped"));
  await context.close();
});

test("a service that goes away is said, and its return is noticed", async () => {
  const { context, page, faults } = await visitor(browser, serve);
  await page.goto(serve.url);
  await page.getByText("Live", { exact: true }).waitFor();
  await serve.stop();
  await page.getByText("The service does not answer").waitFor();
  await serve.start();
  await page.getByText("Live", { exact: true }).waitFor();
  assert.deepEqual(faults, []);
  await context.close();
});

test("light and dark, wide and narrow: pictures, and nobody is shut out", async () => {
  const retry = { attempts: 3, on: ["Failed"], backoff: "2s" };
  const script =
    'echo "rendering scene 7, attempt $LONGHAUL_ATTEMPT"; for i in 1 2 3 4; do echo "frame $((i * 60)) of 240"; sleep 0.3; done; ' +
    '[ "$LONGHAUL_ATTEMPT" -ge 2 ] || { echo "lost the scene cache" >&2; exit 3; }; sleep 600';
  await serve.job("render-7", script, { input: { scene: "s3://scenes/7", frames: 240 }, retry, timeout: "1h" });
  await serve.job("report-1", 'echo "done" && printf \'{"pages":12}\' > "$LONGHAUL_RESULT_FILE"');
  await serve.job("broken-1", 'echo "no such scene" >&2; exit 4');
  for (const colorScheme of ["light", "dark"]) {
    const { context, page, faults } = await visitor(browser, serve, { colorScheme });
    await page.goto(path("render-7"));
    await page.locator("#callbacks h3", { hasText: "callback render #2" }).waitFor();
    await page.locator(".log pre", { hasText: "frame 240" }).first().waitFor();
    assert.deepEqual(await barriers(page), [], `render-7, ${colorScheme}`);
    await page.screenshot({ path: picture(`execution-${colorScheme}`), fullPage: true });
    await page.screenshot({ path: picture(`serve-${colorScheme}`) });
    await page.goto(path("broken-1"));
    await badge(page, "failed");
    await page.locator("#event-1 summary").click();
    assert.deepEqual(await barriers(page), [], `broken-1, ${colorScheme}`);
    await page.screenshot({ path: picture(`failed-${colorScheme}`), fullPage: true });
    await page.goto(serve.url);
    await page.getByRole("link", { name: "render-7" }).waitFor();
    assert.deepEqual(await barriers(page), [], `the list, ${colorScheme}`);
    await page.screenshot({ path: picture(`list-${colorScheme}`) });
    await page.keyboard.press("?");
    assert.deepEqual(await barriers(page), [], `the keys, ${colorScheme}`);
    await page.screenshot({ path: picture(`keys-${colorScheme}`) });
    assert.deepEqual(faults, []);
    await context.close();
  }
  const { context, page } = await visitor(browser, serve, { viewport: { width: 390, height: 844 } });
  for (const address of [serve.url, path("render-7"), `${serve.url}/executions/longhaul/nobody`]) {
    await page.goto(address);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${address} is ${overflow} px too wide`);
  }
  await page.goto(path("render-7"));
  await page.screenshot({ path: picture("narrow"), fullPage: true });
  await context.close();
});
