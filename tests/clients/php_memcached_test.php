<?php
// php-memcached: the text protocol, and the binary one, as sessions and caches of PHP programs use them.

if (!extension_loaded('memcached')) {
    echo "php-memcached is missing\n";
    exit(77);
}

$failures = 0;
ob_start(); // sessions begin before any output

function check(string $what, $wanted, $found): void
{
    global $failures;
    if ($wanted !== $found) {
        echo "$what: wanted ", var_export($wanted, true), ", found ", var_export($found, true), "\n";
        $failures++;
    }
}

function connect(bool $binary): Memcached
{
    $client = new Memcached();
    $client->setOption(Memcached::OPT_BINARY_PROTOCOL, $binary);
    $client->setOption(Memcached::OPT_TCP_NODELAY, true);
    $client->addServer(getenv('HOST'), (int) getenv('PORT'));
    return $client;
}

foreach ([false, true] as $binary) {
    $name = $binary ? 'binary' : 'text';
    $client = connect($binary);
    check("$name flush", true, $client->flush());

    foreach (['text', 7, 7.5, true, null, ['a' => [1, 2]], str_repeat('x', 300000)] as $value) {
        check("$name set", true, $client->set('key', $value));
        check("$name get", $value, $client->get('key'));
    }
    check("$name add over one", false, $client->add('key', 1));
    check("$name its code", $binary ? Memcached::RES_DATA_EXISTS : Memcached::RES_NOTSTORED, $client->getResultCode());
    check("$name replace", true, $client->replace('key', 'b'));
    $client->setOption(Memcached::OPT_COMPRESSION, false);
    check("$name set plain", true, $client->set('key', 'b'));
    check("$name append", true, $client->append('key', 'c'));
    check("$name prepend", true, $client->prepend('key', 'a'));
    check("$name joined", 'abc', $client->get('key'));

    $found = $client->get('key', null, Memcached::GET_EXTENDED);
    check("$name cas", true, $client->cas($found['cas'], 'key', 'new'));
    check("$name cas again", false, $client->cas($found['cas'], 'key', 'newer'));
    check("$name its code", Memcached::RES_DATA_EXISTS, $client->getResultCode());

    $client->set('counter', 10);
    check("$name increment", 15, $client->increment('counter', 5));
    check("$name decrement", 0, $client->decrement('counter', 50));
    if ($binary) {
        check("$name initial", 7, $client->increment('fresh', 1, 7, 100));
    }
    check("$name touch", true, $client->touch('key', 100));
    check("$name delete", true, $client->delete('key'));
    check("$name delete again", false, $client->delete('key'));
    check("$name its code", Memcached::RES_NOTFOUND, $client->getResultCode());

    $values = [];
    for ($i = 0; $i < 500; $i++) {
        $values["key$i"] = "value $i";
    }
    check("$name set many", true, $client->setMulti($values));
    check("$name get many", $values, $client->getMulti(array_keys($values)));
    $expired = $client->set('past', 1, 1);
    check("$name expiry", true, $expired);
    sleep(2);
    usleep(200000);
    check("$name expired", false, $client->get('past'));

    $statistics = current($client->getStats());
    check("$name statistics", true, $statistics['curr_items'] >= 500);
    check("$name version", 1, count($client->getVersion()));
    $client->quit();
}

// Sessions of PHP lie in it, with a lock made by add.
ini_set('session.save_handler', 'memcached');
ini_set('session.save_path', getenv('HOST') . ':' . getenv('PORT'));
ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');
session_id('quarry');
check('session starts', true, session_start());
$_SESSION['visits'] = 1;
session_write_close();
$_SESSION = [];
session_id('quarry');
check('session starts again', true, session_start());
check('session is kept', 1, $_SESSION['visits'] ?? null);
session_destroy();

echo $failures === 0 ? "all right\n" : "$failures failed\n";
exit($failures === 0 ? 0 : 1);
