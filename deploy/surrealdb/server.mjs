// A development front for the embedded SurrealDB engine (@surrealdb/node): it speaks the server's
// WebSocket protocol (/rpc, subprotocol cbor), so the store driver is tested against the real engine
// without a server binary. For development and tests only; production runs the SurrealDB server.
//
// Requests and replies are passed as bytes, never re-encoded: a number that went through JavaScript
// would not be the same number any more.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Reader, Tagged, decode, encode } from '@surrealdb/cbor'
import { WebSocketServer } from 'ws'

const usage = 'usage: node server.mjs --path rocksdb://DIR|surrealkv://DIR|mem:// --password-file FILE [--user root] [--listen 127.0.0.1:8000]\n' +
  '       --temporary instead of --path: a new folder that goes when the front ends; --leashed: end when standard input does'
const { path: given, listen, user, temporary, leashed, 'password-file': passwordFile } = parseArgs({ options: {
  path: { type: 'string' }, temporary: { type: 'boolean' }, leashed: { type: 'boolean' }, 'password-file': { type: 'string' },
  user: { type: 'string', default: 'root' }, listen: { type: 'string', default: '127.0.0.1:8000' },
} }).values
if (!given === !temporary || !passwordFile) fail(2, usage)
const scratch = temporary && mkdtempSync(join(tmpdir(), 'surrealdb-'))
if (scratch) process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))
const path = given ?? `rocksdb://${scratch}/db`
if (!/^[a-z][a-z0-9_]*$/.test(user)) fail(2, 'the user name must be lower-case letters, digits and underscores')
const password = readFileSync(passwordFile, 'utf8').replace(/\r?\n$/, '')
if (!password) fail(2, `${passwordFile} is empty`)

// A store that loses acknowledged commits is of no use here, not even in a test.
const asked = [new URL(path).searchParams.get('sync'), process.env.SURREAL_DATASTORE_SYNC_DATA]
for (const sync of asked) {
  if (sync && sync !== 'every') fail(2, `sync setting "${sync}" refused: only "every" (each commit is on disk before it is acknowledged)`)
}

const engine = await native().SurrealNodeEngine.connect(path, {})
const uuidTag = 37 // CBOR tag of a binary UUID; the engine wants sessions as such
let internalCalls = 0

// rpc makes a call of the front's own and returns the decoded result.
async function rpc(method, params, session) {
  const answer = await engine.execute(encode({ id: ++internalCalls, method, params, ...(session && { session }) }))
  const value = decode(answer, { tagged: { 6: () => undefined } })
  if (value?.error) throw new Error(`${method}: ${value.error.message ?? JSON.stringify(value.error)}`)
  return value
}
// The engine's owner session defines the one user. Bound values are not allowed in DEFINE USER, so the
// password goes in as a quoted literal, whose only special characters are escaped.
const quoted = "'" + password.replace(/\\/g, '\\\\').replace(/'/g, "\\'") + "'"
for (const r of await rpc('query', [`DEFINE USER OVERWRITE ${user} ON ROOT PASSWORD ${quoted} ROLES OWNER`])) {
  if (r.status !== 'OK') throw new Error('the user could not be defined')
}

const sockets = new Map() // session (hex) → socket, for notifications
const open = new Set(['ping', 'version', 'use', 'signin', 'authenticate']) // what needs no sign-in
const own = new Set(['attach', 'detach', 'sessions']) // one session a connection, made by the front

const server = createServer((_, res) => res.writeHead(404).end())
const wss = new WebSocketServer({ server, path: '/rpc', maxPayload: 128 << 20, perMessageDeflate: false,
  handleProtocols: (offered) => offered.has('cbor') && 'cbor' })

wss.on('connection', async (socket) => {
  socket.on('error', () => {})
  if (socket.protocol !== 'cbor') return socket.close(1002, 'subprotocol cbor only')
  const id = crypto.getRandomValues(new Uint8Array(16))
  const session = new Tagged(uuidTag, id)
  const member = encode({ session }).subarray(1) // the key and value alone, to be added to a request's map
  const attached = rpc('attach', [], session)
  sockets.set(hex(id), socket)
  let signedIn = false

  socket.on('message', async (data) => {
    let request = {}
    try {
      request = envelope(data)
      await attached
      if (own.has(request.method)) return socket.send(wrapError(request.id, -32601, 'the front owns sessions'))
      if (!signedIn && !open.has(request.method)) {
        return socket.send(wrapError(request.id, -32002, 'IAM error: sign in first (this front refuses anonymous calls)'))
      }
      const scoped = Buffer.concat([data, member])
      scoped[0]++ // one more member in the request's map
      const answer = await engine.execute(scoped)
      const refused = isError(answer)
      if (!refused && ['signin', 'authenticate'].includes(request.method)) signedIn = true
      if (request.method === 'invalidate') signedIn = false
      // The engine answers the bare result, or a map with the one member "error".
      const head = encode({ id: request.id })
      head[0]++
      socket.send(Buffer.concat([head, refused ? answer.subarray(1) : Buffer.concat([encode('result'), answer])]))
    } catch (err) {
      socket.send(wrapError(request.id, -32000, String(err?.message ?? err)))
    }
  })
  socket.on('close', async () => {
    sockets.delete(hex(id))
    await attached.then(() => rpc('detach', [], session)).catch(() => {})
  })
})

// Live notifications of all sessions arrive as one stream; each goes to the connection it belongs to.
;(async () => {
  const receiver = await engine.notifications()
  for (let bytes = await receiver.recv(); bytes !== null; bytes = await receiver.recv()) {
    const session = decode(bytes).session
    const socket = session && sockets.get(hex(session.value ?? session))
    if (!socket) continue
    const head = encode({ result: null }) // the reply's map with the notification in place of the null
    socket.send(Buffer.concat([head.subarray(0, -1), bytes]))
  }
})().catch((err) => console.error('notifications ended:', err.message))

const [, host, port] = /^(.*):(\d+)$/.exec(listen) ?? fail(2, `--listen ${listen}: want host:port`)
server.on('error', (err) => fail(1, `listen ${listen}: ${err.message}`))
server.listen(Number(port), host.replace(/^\[|\]$/g, ''), () => console.log(`listening ws://${host}:${server.address().port}/rpc`))
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, end)
if (leashed) process.stdin.on('end', end).on('error', end).resume() // whoever started the front is gone
function end() { for (const s of wss.clients) s.terminate(); engine.free(); process.exit(0) }

// envelope reads a request's id and method and leaves its parameters unread (the client writes them last).
function envelope(bytes) {
  const reader = new Reader(bytes)
  const [major, length] = reader.readMajor()
  const count = reader.readMajorLength(length)
  if (major !== 5 || count > 22) throw new Error('a request is a map of a few members')
  const found = {}
  for (let i = 0; i < count && !('id' in found && 'method' in found); i++) found[decode(reader)] = decode(reader)
  return found
}
function isError(bytes) { return bytes[0] === 0xa1 && Buffer.from(bytes.subarray(1, 7)).toString('latin1') === 'eerror' }
function wrapError(id, code, message) { return Buffer.from(encode({ id: id ?? null, error: { code, message } })) }
function hex(bytes) { return Buffer.from(bytes).toString('hex') }
function fail(code, text) { console.error(text); process.exit(code) }

// native loads the engine's binding for this machine; the package exports only its JavaScript SDK.
function native() {
  const libc = process.platform !== 'linux' ? '' : process.report.getReport().header.glibcVersionRuntime ? '-gnu' : '-musl'
  const file = `surrealdb-node.${process.platform}-${process.arch}${libc}.node`
  return createRequire(import.meta.url)(new URL(file, import.meta.resolve('@surrealdb/node')).pathname)
}
