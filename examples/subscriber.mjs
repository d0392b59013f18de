// Keep the status of each delivery for a kitchen screen, and lose no event.
//
//     export ORDER_SYNC_REDIS_URL=redis://127.0.0.1:6379/0    # or `. var/settings.sh`
//     export DATABASE_URL=postgresql://user:password@127.0.0.1/kitchen
//     node subscriber.mjs screen-1
//
// Run as many as you like, each with a name that it keeps. Only the oldest entry that is not acknowledged is handled, so
// the events keep their order: one reader works, and the others wait until it is done or silent for a minute. Needs
// `npm install`, Node 20.15 or newer, a PostgreSQL database, and Redis 7.
//
// If one working reader is too slow, divide the deliveries into partitions, and run readers of each: with the second
// argument 0/4, a reader handles the first of four partitions.
import { setTimeout as sleep } from "node:timers/promises";
import { crc32 } from "node:zlib";
import pg from "pg";
import { createClient } from "redis";

const { ORDER_SYNC_REDIS_URL: REDIS_URL, DATABASE_URL } = process.env;
if (!REDIS_URL || !DATABASE_URL || !process.argv[2]) {
  console.error("set ORDER_SYNC_REDIS_URL and DATABASE_URL, and give the reader a name");
  process.exit(1);
}
const TEST_SOURCE = "/order-sync/test"; // the source of `order-sync send-test-event`
const [PARTITION, PARTITIONS] = (process.argv[3] ?? "0/1").split("/").map(Number);
if (!(0 <= PARTITION && PARTITION < PARTITIONS)) {
  console.error("the partitions of four are 0/4, 1/4, 2/4 and 3/4");
  process.exit(1);
}
const STREAM = "deliveries", SUBSCRIBER = "kitchen-screen", NAME = process.argv[2];
// Each partition has a consumer group, which gets all events. So another number of partitions begins with new groups.
const GROUPS = PARTITIONS === 1 ? [SUBSCRIBER] : Array.from({ length: PARTITIONS }, groupOf);
const GROUP = GROUPS[PARTITION];
const DEAD_MS = 60_000, TRIES = 10, RETRY_SECONDS = 5;
const TABLE = "CREATE TABLE IF NOT EXISTS kitchen_screen (delivery_id text PRIMARY KEY, sequence integer, status text)";
// The effect and the sequence are stored in one statement, so an event that arrives again changes nothing.
const STORE = `INSERT INTO kitchen_screen (delivery_id, sequence, status) VALUES ($1, $2, $3)
    ON CONFLICT (delivery_id) DO UPDATE SET sequence = excluded.sequence, status = excluded.status
    WHERE kitchen_screen.sequence < excluded.sequence`;

function groupOf(_, partition) {
  return `${SUBSCRIBER}.${partition}-of-${PARTITIONS}`;
}

async function handle(store, { source, type, data }) {
  if (source === TEST_SOURCE || !type.startsWith("delivery.")) return;
  await store.query(STORE, [data.delivery_id, data.sequence, data.status]);
}

// Return the oldest entry that was read and not acknowledged, if this reader may handle it.
async function unfinished(bus, oldest) {
  const mine = oldest.consumer === NAME;
  if (!mine && oldest.millisecondsSinceLastDelivery < DEAD_MS) return sleep(200, []); // its reader is at work
  const entries = await bus.xClaim(STREAM, GROUP, NAME, mine ? 0 : DEAD_MS, oldest.id);
  if (oldest.deliveriesCounter < TRIES) return entries;
  for (const { id, message } of entries) { // put it aside for an operator, so that the others go on
    await bus.xAdd(`${SUBSCRIBER}:failed`, "*", message);
    await bus.xAck(STREAM, GROUP, id);
  }
  return [];
}

// Return the entries that may be handled now, in their order.
async function read(bus) {
  const [oldest] = await bus.xPendingRange(STREAM, GROUP, "-", "+", 1);
  if (oldest) return unfinished(bus, oldest);
  const found = await bus.xReadGroup(GROUP, NAME, { key: STREAM, id: ">" }, { COUNT: 100, BLOCK: 2000 });
  if (!found) return [];
  // Another reader may have read the entries before these meanwhile; then these wait.
  const [earlier] = await bus.xPendingRange(STREAM, GROUP, "-", `(${found[0].messages[0].id}`, 1);
  return earlier ? [] : found[0].messages;
}

// Return the entries whose events belong to this partition; acknowledge the others.
async function ofThisPartition(bus, entries) {
  const events = entries.map(({ id, message }) => ({ id, event: JSON.parse(message.event) }));
  const isOurs = ({ event }) => crc32(event.partitionkey) % PARTITIONS === PARTITION;
  const others = events.filter((each) => !isOurs(each)).map(({ id }) => id);
  if (others.length) await bus.xAck(STREAM, GROUP, others);
  return events.filter(isOurs);
}

// Create the groups of all partitions, so that the events of one without a reader wait for it.
async function createGroups(bus) {
  for (const group of GROUPS) {
    await bus.xGroupCreate(STREAM, group, "0", { MKSTREAM: true }).catch((error) => {
      if (!error.message.includes("BUSYGROUP")) throw error; // the group exists already
    });
  }
}

async function subscribe(store, bus) {
  await store.connect();
  await store.query(TABLE);
  await bus.connect();
  await createGroups(bus);
  for (;;) {
    for (const { id, event } of await ofThisPartition(bus, await read(bus))) {
      await handle(store, event);
      await bus.xAck(STREAM, GROUP, id);
    }
  }
}

for (;;) {
  const store = new pg.Client({ connectionString: DATABASE_URL });
  const bus = createClient({ url: REDIS_URL, socket: { reconnectStrategy: false, socketTimeout: 10_000 } });
  for (const client of [store, bus]) client.on("error", () => {}); // the next command reports it
  await subscribe(store, bus).catch((error) => console.error(error)); // whatever failed, begin again at the oldest entry
  await store.end().catch(() => {});
  if (bus.isOpen) bus.destroy();
  await sleep(RETRY_SECONDS * 1000);
}
