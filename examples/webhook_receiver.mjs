// Keep the status of each delivery for a kitchen screen from signed webhooks: `node webhook_receiver.mjs 127.0.0.1:9000`.
//
// An event is answered with 204 when its effect is stored. After any other answer it is sent again. Needs `npm install`,
// a PostgreSQL database (DATABASE_URL), and the secret of `order-sync subscribers add` (WEBHOOK_SECRET). A proxy in front
// of it serves https.
import { createServer } from "node:http";
import pg from "pg";
import { Webhook } from "standardwebhooks";

const [HOST, PORT] = (process.argv[2] ?? "127.0.0.1:9000").split(":");
const TEST_SOURCE = "/order-sync/test"; // the source of `order-sync send-test-event`
const MAX_BODY = 1_000_000;
const webhook = new Webhook(process.env.WEBHOOK_SECRET);
const store = new pg.Pool({ connectionString: process.env.DATABASE_URL });
const TABLE = "CREATE TABLE IF NOT EXISTS kitchen_screen (delivery_id text PRIMARY KEY, sequence integer, status text)";
// The effect and the sequence are stored in one statement, so an event that arrives again changes nothing.
const STORE = `INSERT INTO kitchen_screen (delivery_id, sequence, status) VALUES ($1, $2, $3)
    ON CONFLICT (delivery_id) DO UPDATE SET sequence = excluded.sequence, status = excluded.status
    WHERE kitchen_screen.sequence < excluded.sequence`;

async function handle({ source, type, data }) {
  // Not a test, nor an event about an order without a delivery or about an account.
  if (source === TEST_SOURCE || !type.startsWith("delivery.")) return;
  await store.query(STORE, [data.delivery_id, data.sequence, data.status]);
}

async function answer(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > MAX_BODY) return 413;
    parts.push(part);
  }
  let event;
  try {
    event = webhook.verify(Buffer.concat(parts), request.headers); // the bytes as they came, not a document that was parsed and written again
  } catch {
    return 401;
  }
  try {
    await handle(event);
  } catch (error) { // it is sent again until it is stored
    console.error(error);
    return 500;
  }
  return 204;
}

store.on("error", () => {}); // the next query reports it
await store.query(TABLE);
createServer(async (request, response) => {
  const status = await answer(request).catch(() => 400);
  response.writeHead(status, { "Content-Length": 0 }).end();
}).listen(Number(PORT), HOST);
