"""Keep the status of each delivery for a kitchen screen from signed webhooks: `webhook_receiver.py 127.0.0.1:9000`.

An event is answered with 204 when its effect is stored. After any other answer it is sent again. Needs the package
standardwebhooks, a PostgreSQL database (DATABASE_URL), and the secret of `order-sync subscribers add`
(WEBHOOK_SECRET). A proxy in front of it serves https.
"""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg
from standardwebhooks import Webhook, WebhookVerificationError

HOST, PORT = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:9000").split(":")
TEST_SOURCE = "/order-sync/test"  # the source of `order-sync send-test-event`
MAX_BODY = 1_000_000
WEBHOOK = Webhook(os.environ["WEBHOOK_SECRET"])
TABLE = "CREATE TABLE IF NOT EXISTS kitchen_screen (delivery_id text PRIMARY KEY, sequence integer, status text)"
# The effect and the sequence are stored in one statement, so an event that arrives again changes nothing.
STORE = """INSERT INTO kitchen_screen (delivery_id, sequence, status) VALUES (%s, %s, %s)
    ON CONFLICT (delivery_id) DO UPDATE SET sequence = excluded.sequence, status = excluded.status
    WHERE kitchen_screen.sequence < excluded.sequence"""


def handle(event):
    # Not a test, nor an event about an order without a delivery or about an account.
    if event["source"] != TEST_SOURCE and event["type"].startswith("delivery."):
        data = event["data"]
        with psycopg.connect(os.environ["DATABASE_URL"]) as store:
            store.execute(STORE, (data["delivery_id"], data["sequence"], data["status"]))


class Receiver(BaseHTTPRequestHandler):
    """Answers each request when its event is stored."""

    timeout = 30

    def do_POST(self):
        """Answer a request."""
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), MAX_BODY))
        self.send_response(self.status_of(body))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def status_of(self, body):
        """Verify and handle an event; return the status of the answer."""
        try:
            event = WEBHOOK.verify(
                body, dict(self.headers)
            )  # the bytes as they came, not a document that was parsed and written again
        except (WebhookVerificationError, ValueError):
            return 401
        try:
            handle(event)
        except Exception as error:  # it is sent again until it is stored
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            return 500
        return 204


with psycopg.connect(os.environ["DATABASE_URL"]) as database:
    database.execute(TABLE)
ThreadingHTTPServer((HOST, int(PORT)), Receiver).serve_forever()
