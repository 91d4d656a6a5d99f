// node-postgres: unnamed and named statements (no types declared, text format), transactions, a pool, cursors by portals, COPY streams,
// pipelined queries, errors, cancel. The modules are what node/package-lock.json pins.
'use strict'
const assert = require('assert')
const { Client, Pool } = require('pg')
const Cursor = require('pg-cursor')
const { from: copyFrom, to: copyTo } = require('pg-copy-streams')
const { pipeline } = require('stream/promises')
const { Readable, Writable } = require('stream')

const uuid = (n) => n.toString(16).padStart(8, '0').split('').reverse().join('') + '-0000-4000-8000-' + n.toString(16).padStart(12, '0')

async function main() {
  const client = new Client({ ssl: false })
  const notices = []
  client.on('notice', (notice) => notices.push(notice.message))
  await client.connect()

  for (let key = 1; key <= 40; key++) await client.query('INSERT INTO accounts (id, owner, balance) VALUES ($1, $2, $3)', [key, `owner ${key}`, key])
  for (let key = 1; key <= 40; key++) {
    const found = await client.query({ name: 'find', text: 'SELECT owner, balance FROM accounts WHERE id = $1', values: [key] })
    assert.deepStrictEqual(found.rows, [{ owner: `owner ${key}`, balance: `${key}.00` }])
  }
  for (let number = 0; number < 30; number++) {
    await client.query('INSERT INTO tokens VALUES ($1, $2)', [uuid(number), String(number)])
    assert.strictEqual((await client.query('SELECT note FROM tokens WHERE token = $1', [uuid(number)])).rows[0].note, String(number))
    await client.query('INSERT INTO words VALUES ($1, $2)', [`wörd ${number}`, number])
    await client.query(`INSERT INTO entries VALUES (${number}, 1, 'simple')`)
  }
  assert.strictEqual((await client.query('SELECT owner FROM accounts WHERE id = ANY ($1)', [[5]])).rows[0].owner, 'owner 5')
  assert.strictEqual((await client.query('SELECT owner FROM accounts WHERE id = ANY ($1::bigint[])', [[6, 6]])).rows[0].owner, 'owner 6')
  // A key with other uses, undeclared: only the server knows its type.
  assert.strictEqual((await client.query('UPDATE accounts SET balance = $1 + 1000 WHERE id = $1 RETURNING balance', [7])).rows[0].balance, '1007.00')
  assert.strictEqual((await client.query({ text: 'SELECT balance FROM accounts WHERE id = $1', values: [7], rowMode: 'array' })).rows[0][0], '1007.00')

  // Queries queued without waiting.
  const many = await Promise.all(Array.from({ length: 100 }, (_, n) => client.query('SELECT $1::int AS n', [n])))
  assert.deepStrictEqual(many.map((one) => one.rows[0].n), Array.from({ length: 100 }, (_, n) => n))
  const several = await client.query('SELECT 1 AS a; SELECT 2 AS b')
  assert.deepStrictEqual(several.map((one) => one.rows[0]), [{ a: 1 }, { b: 2 }])

  // Transactions.
  await client.query('BEGIN')
  await client.query('UPDATE accounts SET balance = 0 WHERE id = $1', [5])
  await client.query('SAVEPOINT a')
  await assert.rejects(client.query("INSERT INTO accounts VALUES (5, 'again')"), (e) => e.code === '23505' && e.constraint === 'accounts_pkey' && e.detail === 'Key (id)=(5) already exists.')
  await client.query('ROLLBACK TO a')
  await client.query('COMMIT')
  assert.strictEqual((await client.query('SELECT balance FROM accounts WHERE id = 5')).rows[0].balance, '0.00')
  await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE')
  await assert.rejects(client.query('SELECT 1 / 0'), { code: '22012' })
  await assert.rejects(client.query('SELECT 1'), { code: '25P02' })
  await client.query('ROLLBACK')

  // COPY in both directions, a cursor, types, notices.
  const lines = Array.from({ length: 1000 }, (_, n) => `${100 + n}\tcopied ${n}\n`)
  await pipeline(Readable.from(lines), client.query(copyFrom('COPY notes (id, body) FROM STDIN')))
  let out = ''
  await pipeline(client.query(copyTo('COPY (SELECT id FROM notes ORDER BY id) TO STDOUT')), new Writable({ write(chunk, _e, done) { out += chunk; done() } }))
  assert.strictEqual(out.split('\n').length, 1001)
  await assert.rejects(pipeline(Readable.from(['x\n']), client.query(copyFrom('COPY notes (id) FROM STDIN'))), { code: '22P02' })
  await client.query('BEGIN')
  const cursor = client.query(new Cursor('SELECT id FROM notes WHERE id >= $1 ORDER BY id', [100]))
  assert.strictEqual((await cursor.read(300)).length, 300)
  assert.strictEqual((await cursor.read(3))[0].id, 400)
  await cursor.close()
  await client.query('COMMIT')
  await client.query('INSERT INTO notes VALUES ($1, $2, $3, $4, $5)', [1, 'text', new Date(0), { a: [1, null] }, ['x', 'y z']])
  const row = (await client.query('SELECT * FROM notes WHERE id = 1')).rows[0]
  assert.deepStrictEqual([row.made.getTime(), row.extra, row.tags], [0, { a: [1, null] }, ['x', 'y z']])
  await client.query("DO $$ BEGIN RAISE NOTICE 'told'; END $$")
  assert.deepStrictEqual(notices, ['told'])

  // Cancel.
  const sleeping = client.query('SELECT pg_sleep(60)')
  const other = new Client({ ssl: false })
  setTimeout(() => other.cancel(client, client.activeQuery || sleeping), 300)
  await assert.rejects(sleeping, { code: '57014' })
  assert.strictEqual((await client.query('SELECT 1 AS one')).rows[0].one, 1)
  await client.end()

  const pool = new Pool({ max: 12, ssl: false })
  const owners = await Promise.all(Array.from({ length: 200 }, (_, n) => pool.query('SELECT owner FROM accounts WHERE id = $1', [1 + (n % 40)])))
  owners.forEach((one, n) => assert.strictEqual(one.rows[0].owner, `owner ${1 + (n % 40)}`))
  await pool.end()

  // The admin console; with a name a statement is prepared.
  const admin = new Client({ ssl: false, user: 'admin', password: process.env.CONSOLE_PASSWORD, database: 'pgrotor' })
  await admin.connect()
  for (const query of ['SHOW SHARDS', { name: 'shards', text: 'SHOW SHARDS' }, { name: 'shards', text: 'SHOW SHARDS' }])
    assert.deepStrictEqual((await admin.query(query)).rows.map((one) => one.shard), ['s1', 's2', 's3'])
  await assert.rejects(admin.query({ name: 'wrong', text: 'SHOW NOTHING' }), { code: '42601' })
  assert.strictEqual(typeof (await admin.query({ name: 'stats', text: 'SHOW STATS' })).rows[0].total, 'number')
  await admin.end()
  const hasty = new Client({ ssl: false })  // connect and end in one breath: Terminate is the first that it sends
  hasty.connect().catch(() => {})
  await hasty.end()
  console.log('pg', require('pg/package.json').version, 'node', process.version)
}

main().catch((failure) => { console.error(failure); process.exit(1) })
