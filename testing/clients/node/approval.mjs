// A durable function on AWS's SDK for JavaScript: a step, a wait and a callback, one after the other.

import { appendFile } from "node:fs/promises";
import { withDurableExecution } from "@aws/durable-execution-sdk-js";

export const handler = withDurableExecution(async (event, context) => {
  const charged = await context.step("charge", async () => {
    // One line for each time the body is run: a replay must add none.
    await appendFile(event.ran, "charge\n");
    return event.amount * 2;
  });
  await context.wait("cool-off", { seconds: 1 });
  const [approval] = await context.createCallback("approval", { timeout: { minutes: 10 } });
  return { charged, approval: await approval };
});
