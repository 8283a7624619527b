# Verifies deliveries with the published library of Standard Webhooks. Each line of the input is one, as JSON.
import base64
import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    d = json.loads(line)
    try:
        Webhook(d["secret"]).verify(base64.b64decode(d["body"]), d["headers"])
        good = True
    except WebhookVerificationError:
        good = False
    print("good" if good else "bad", flush=True)
