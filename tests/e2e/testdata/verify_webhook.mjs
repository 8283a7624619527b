// Verifies deliveries with the published library of Standard Webhooks. Each line of the input is one, as JSON.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { Webhook, WebhookVerificationError } = createRequire(process.env.PACKAGES)("standardwebhooks");

for await (const line of createInterface({ input: process.stdin })) {
  const d = JSON.parse(line);
  let good = true;
  try {
    new Webhook(d.secret).verify(Buffer.from(d.body, "base64").toString(), d.headers);
  } catch (e) {
    if (!(e instanceof WebhookVerificationError)) throw e;
    good = false;
  }
  console.log(good ? "good" : "bad");
}
