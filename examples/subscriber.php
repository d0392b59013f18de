<?php
// Keep the status of each delivery for a kitchen screen, and lose no event.
//
//     export ORDER_SYNC_REDIS_URL=redis://127.0.0.1:6379/0    # or `. var/settings.sh`
//     export DATABASE_URL='pgsql:host=127.0.0.1;dbname=kitchen;user=user;password=password'
//     php subscriber.php screen-1
//
// Run as many as you like, each with a name that it keeps. Only the oldest entry that is not acknowledged is handled, so
// the events keep their order: one reader works, and the others wait until it is done or silent for a minute. Needs the
// extensions redis and pdo_pgsql, a PostgreSQL database, and Redis 7.
//
// If one working reader is too slow, divide the deliveries into partitions, and run readers of each: with the second
// argument 0/4, a reader handles the first of four partitions.

[$redis_url, $database_url] = [getenv('ORDER_SYNC_REDIS_URL'), getenv('DATABASE_URL')];
if (!$redis_url || !$database_url || $argc < 2) {
    fwrite(STDERR, "set ORDER_SYNC_REDIS_URL and DATABASE_URL, and give the reader a name\n");
    exit(1);
}
const TEST_SOURCE = '/order-sync/test'; // the source of `order-sync send-test-event`
[$partition, $partitions] = sscanf($argv[2] ?? '0/1', '%d/%d');
if ($partition === null || $partition < 0 || $partition >= $partitions) {
    fwrite(STDERR, "the partitions of four are 0/4, 1/4, 2/4 and 3/4\n");
    exit(1);
}
const STREAM = 'deliveries', SUBSCRIBER = 'kitchen-screen', DEAD_MS = 60_000, TRIES = 10, RETRY_SECONDS = 5;
define('NAME', $argv[1]);
define('PARTITION', $partition);
define('PARTITIONS', $partitions);
// Each partition has a consumer group, which gets all events. So another number of partitions begins with new groups.
$group_of = fn($each) => PARTITIONS === 1 ? SUBSCRIBER : SUBSCRIBER . ".$each-of-" . PARTITIONS;
define('GROUPS', array_map($group_of, range(0, PARTITIONS - 1)));
define('GROUP', GROUPS[PARTITION]);
const TABLE = 'CREATE TABLE IF NOT EXISTS kitchen_screen (delivery_id text PRIMARY KEY, sequence integer, status text)';
// The effect and the sequence are stored in one statement, so an event that arrives again changes nothing.
const STORE = 'INSERT INTO kitchen_screen (delivery_id, sequence, status) VALUES (?, ?, ?)
    ON CONFLICT (delivery_id) DO UPDATE SET sequence = excluded.sequence, status = excluded.status
    WHERE kitchen_screen.sequence < excluded.sequence';

function handle(PDO $store, array $event): void {
    if ($event['source'] === TEST_SOURCE || !str_starts_with($event['type'], 'delivery.')) return;
    $data = $event['data'];
    $store->prepare(STORE)->execute([$data['delivery_id'], $data['sequence'], $data['status']]);
}

/** Send a command. phpredis returns false for an error, and this function throws it. */
function send(Redis $bus, string $command, mixed ...$arguments): mixed {
    $bus->clearLastError();
    $reply = $bus->$command(...$arguments);
    if ($error = $bus->getLastError()) throw new RedisException($error);
    return $reply;
}

/** Connect to an address such as `rediss://user:password@host:6379/0`; `rediss` means TLS. */
function connect(string $url): Redis {
    $at = array_map('rawurldecode', parse_url($url));
    $bus = new Redis();
    $bus->connect(($at['scheme'] === 'rediss' ? 'tls://' : '') . $at['host'], (int) ($at['port'] ?? 6379), 5, null, 0, 10);
    if (isset($at['pass'])) send($bus, 'auth', array_filter([$at['user'] ?? '', $at['pass']], 'strlen'));
    send($bus, 'select', (int) trim($at['path'] ?? '', '/'));
    return $bus;
}

/** Return the oldest entry that was read and not acknowledged, if this reader may handle it. */
function unfinished(Redis $bus, string $id, string $reader, int $idle, int $deliveries): array {
    if ($reader !== NAME && $idle < DEAD_MS) {
        usleep(200_000); // its reader is at work
        return [];
    }
    $entries = send($bus, 'xClaim', STREAM, GROUP, NAME, $reader === NAME ? 0 : DEAD_MS, [$id], []);
    if ($deliveries < TRIES) return $entries;
    foreach ($entries as $fields) { // put it aside for an operator, so that the others go on
        send($bus, 'xAdd', SUBSCRIBER . ':failed', '*', $fields);
        send($bus, 'xAck', STREAM, GROUP, [$id]);
    }
    return [];
}

/** Return the entries that may be handled now, in their order. */
function read(Redis $bus): array {
    foreach (send($bus, 'xPending', STREAM, GROUP, '-', '+', 1) as $oldest) return unfinished($bus, ...$oldest);
    $entries = send($bus, 'xReadGroup', GROUP, NAME, [STREAM => '>'], 100, 2000)[STREAM] ?? [];
    // Another reader may have read the entries before these meanwhile; then these wait.
    return $entries && send($bus, 'xPending', STREAM, GROUP, '-', '(' . key($entries), 1) ? [] : $entries;
}

/** Return the events of this partition by the ids of their entries; acknowledge the other entries. */
function of_this_partition(Redis $bus, array $entries): array {
    $events = array_map(fn($fields) => json_decode($fields['event'], true, flags: JSON_THROW_ON_ERROR), $entries);
    $ours = array_filter($events, fn($event) => crc32($event['partitionkey']) % PARTITIONS === PARTITION);
    if ($others = array_keys(array_diff_key($events, $ours))) send($bus, 'xAck', STREAM, GROUP, $others);
    return $ours;
}

function subscribe(PDO $store, Redis $bus): never {
    $store->exec(TABLE);
    // All groups are created, so that the events of a partition without a reader wait for it.
    foreach (GROUPS as $group) $bus->xGroup('CREATE', STREAM, $group, '0', true); // fails if the group exists already
    while (true) {
        foreach (of_this_partition($bus, read($bus)) as $id => $event) {
            handle($store, $event);
            send($bus, 'xAck', STREAM, GROUP, [$id]);
        }
    }
}

set_error_handler(fn($level, $text) => throw new ErrorException($text)); // a missing field is an error, too
while (true) {
    try {
        subscribe(new PDO($database_url), connect($redis_url));
    } catch (Throwable $error) { // whatever failed, begin again at the oldest entry
        fwrite(STDERR, get_class($error) . ": {$error->getMessage()}\n");
        sleep(RETRY_SECONDS);
    }
}
