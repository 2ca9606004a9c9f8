# Dalli, Ruby's client: the binary protocol, and the meta commands where it has them (3.2 on).

begin
  require 'dalli'
rescue LoadError
  puts 'ruby-dalli is missing'
  exit 77
end

$failures = 0

def check(what, wanted, found)
  return if wanted == found

  puts "#{what}: wanted #{wanted.inspect}, found #{found.inspect}"
  $failures += 1
end

def exercise(name, client)
  client.flush
  [{ 'a' => [1, nil] }, 'text', 7, 'x' * 300_000].each do |value|
    check("#{name} set", true, !!client.set('key', value))
    check("#{name} get", value, client.get('key'))
  end
  check("#{name} add", false, !!client.add('key', 1))
  check("#{name} replace", true, !!client.replace('key', 2))
  check("#{name} miss", nil, client.get('absent'))
  check("#{name} fetch", 'made', client.fetch('made') { 'made' })
  check("#{name} fetch again", 'made', client.fetch('made') { 'not this' })
  client.set('raw', 'b', 0, raw: true)
  client.append('raw', 'c')
  client.prepend('raw', 'a')
  check("#{name} joined", 'abc', client.get('raw'))
  check("#{name} cas", true, !!client.cas('key') { |value| value + 1 })
  check("#{name} after cas", 3, client.get('key'))
  check("#{name} incr", 10, client.incr('counter', 5, 0, 10))
  check("#{name} incr again", 15, client.incr('counter', 5))
  check("#{name} decr", 0, client.decr('counter', 50))
  check("#{name} touch", true, !!client.touch('key', 100))
  check("#{name} gat", 3, client.gat('key', 100))
  check("#{name} delete", true, !!client.delete('key'))
  check("#{name} gone", nil, client.get('key'))
  values = (0...300).to_h { |i| ["key#{i}", "value #{i}"] }
  client.multi { values.each { |key, value| client.set(key, value) } }
  check("#{name} many", values, client.get_multi(*values.keys))
  check("#{name} statistics", true, client.stats.values.first['curr_items'].to_i >= 300)
  client.close
end

address = "#{ENV.fetch('HOST')}:#{ENV.fetch('PORT')}"
exercise('binary', Dalli::Client.new(address))
exercise('meta', Dalli::Client.new(address, protocol: :meta)) if Dalli::VERSION >= '3.2'

puts $failures.zero? ? 'all right' : "#{$failures} failed"
exit($failures.zero? ? 0 : 1)
