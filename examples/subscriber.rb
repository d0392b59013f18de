# Keep the status of each delivery for a kitchen screen, and lose no event.
#
#     export ORDER_SYNC_REDIS_URL=redis://127.0.0.1:6379/0    # or `. var/settings.sh`
#     export DATABASE_URL=postgresql://user:password@127.0.0.1/kitchen
#     ruby subscriber.rb screen-1
#
# Run as many as you like, each with a name that it keeps. Only the oldest entry that is not acknowledged is handled, so
# the events keep their order: one reader works, and the others wait until it is done or silent for a minute. Needs the
# gems redis and pg, a PostgreSQL database, and Redis 7.
require "json"
require "pg"
require "redis"

REDIS_URL, DATABASE_URL = ENV.values_at("ORDER_SYNC_REDIS_URL", "DATABASE_URL")
if [REDIS_URL, DATABASE_URL, ARGV.first].any? { |each| each.to_s.empty? }
  abort "set ORDER_SYNC_REDIS_URL and DATABASE_URL, and give the reader a name"
end
TEST_SOURCE = "/order-sync/test" # the source of `order-sync send-test-event`
STREAM, GROUP, NAME = "deliveries", "kitchen-screen", ARGV.fetch(0)
DEAD_MS, TRIES, RETRY_SECONDS = 60_000, 10, 5
TABLE = "CREATE TABLE IF NOT EXISTS kitchen_screen (delivery_id text PRIMARY KEY, sequence integer, status text)"
# The effect and the sequence are stored in one statement, so an event that arrives again changes nothing.
STORE = <<~SQL
  INSERT INTO kitchen_screen (delivery_id, sequence, status) VALUES ($1, $2, $3)
  ON CONFLICT (delivery_id) DO UPDATE SET sequence = excluded.sequence, status = excluded.status
  WHERE kitchen_screen.sequence < excluded.sequence
SQL

def handle(store, event)
  return if event["source"] == TEST_SOURCE || !event["type"].start_with?("delivery.")

  store.exec_params(STORE, event["data"].fetch_values("delivery_id", "sequence", "status"))
end

# Return the oldest entry that was read and not acknowledged, if this reader may handle it.
def unfinished(bus, oldest)
  mine = oldest["consumer"] == NAME
  if !mine && oldest["elapsed"] < DEAD_MS
    sleep 0.2 # its reader is at work
    return []
  end
  entries = bus.xclaim(STREAM, GROUP, NAME, mine ? 0 : DEAD_MS, oldest["entry_id"])
  return entries if oldest["count"] < TRIES

  entries.each do |id, fields| # put it aside for an operator, so that the others go on
    bus.xadd("#{GROUP}:failed", fields)
    bus.xack(STREAM, GROUP, id)
  end
  []
end

# Return the entries that may be handled now, in their order.
def read(bus)
  bus.xpending(STREAM, GROUP, "-", "+", 1).each { |oldest| return unfinished(bus, oldest) }
  entries = bus.xreadgroup(GROUP, NAME, STREAM, ">", count: 100, block: 2000).fetch(STREAM, [])
  # Another reader may have read the entries before these meanwhile; then these wait.
  entries.any? && bus.xpending(STREAM, GROUP, "-", "(#{entries[0][0]}", 1).any? ? [] : entries
end

def subscribe(store, bus)
  store.exec(TABLE)
  begin
    bus.xgroup(:create, STREAM, GROUP, "0", mkstream: true)
  rescue Redis::CommandError => e
    raise unless e.message.include?("BUSYGROUP") # the group exists already
  end
  loop do
    read(bus).each do |id, fields|
      handle(store, JSON.parse(fields.fetch("event")))
      bus.xack(STREAM, GROUP, id)
    end
  end
end

loop do
  store = PG.connect(DATABASE_URL)
  bus = Redis.new(url: REDIS_URL, timeout: 10, reconnect_attempts: 0)
  subscribe(store, bus)
rescue StandardError => e # whatever failed, begin again at the oldest entry
  warn "#{e.class}: #{e.message}"
  sleep RETRY_SECONDS
ensure
  store&.close
  bus&.close
end
