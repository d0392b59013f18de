# Keep the status of each delivery for a kitchen screen, and lose no event.
#
#     export ORDER_SYNC_REDIS_URL=redis://127.0.0.1:6379/0    # or `. var/settings.sh`
#     export DATABASE_URL=postgresql://user:password@127.0.0.1/kitchen
#     ruby subscriber.rb screen-1
#
# Run as many as you like, each with a name that it keeps. Only the oldest entry that is not acknowledged is handled, so
# the events keep their order: one reader works, and the others wait until it is done or silent for a minute. Needs the
# gems redis and pg, a PostgreSQL database, and Redis 7.
#
# If one working reader is too slow, divide the deliveries into partitions, and run readers of each: with the second
# argument 0/4, a reader handles the first of four partitions.
require "json"
require "pg"
require "redis"
require "zlib"

REDIS_URL, DATABASE_URL = ENV.values_at("ORDER_SYNC_REDIS_URL", "DATABASE_URL")
if [REDIS_URL, DATABASE_URL, ARGV.first].any? { |each| each.to_s.empty? }
  abort "set ORDER_SYNC_REDIS_URL and DATABASE_URL, and give the reader a name"
end
TEST_SOURCE = "/order-sync/test" # the source of `order-sync send-test-event`
PARTITION, PARTITIONS = ARGV.fetch(1, "0/1").split("/").map { |each| Integer(each) }
abort "the partitions of four are 0/4, 1/4, 2/4 and 3/4" unless (0...PARTITIONS).cover?(PARTITION)
STREAM, SUBSCRIBER, NAME = "deliveries", "kitchen-screen", ARGV.fetch(0)
# Each partition has a consumer group, which gets all events. So another number of partitions begins with new groups.
GROUPS = PARTITIONS == 1 ? [SUBSCRIBER] : Array.new(PARTITIONS) { |each| "#{SUBSCRIBER}.#{each}-of-#{PARTITIONS}" }
GROUP = GROUPS[PARTITION]
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
    bus.xadd("#{SUBSCRIBER}:failed", fields)
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

# Return the entries whose events belong to this partition; acknowledge the others.
def of_this_partition(bus, entries)
  events = entries.map { |id, fields| [id, JSON.parse(fields.fetch("event"))] }
  ours, others = events.partition { |_, event| Zlib.crc32(event.fetch("partitionkey")) % PARTITIONS == PARTITION }
  bus.xack(STREAM, GROUP, others.map(&:first)) if others.any?
  ours
end

# Create the groups of all partitions, so that the events of one without a reader wait for it.
def create_groups(bus)
  GROUPS.each do |group|
    bus.xgroup(:create, STREAM, group, "0", mkstream: true)
  rescue Redis::CommandError => e
    raise unless e.message.include?("BUSYGROUP") # the group exists already
  end
end

def subscribe(store, bus)
  store.exec(TABLE)
  create_groups(bus)
  loop do
    of_this_partition(bus, read(bus)).each do |id, event|
      handle(store, event)
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
