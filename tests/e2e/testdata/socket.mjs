import { readFileSync } from 'node:fs' // the token
import { createRequire } from 'node:module'
globalThis.WebSocket = createRequire(process.env.PACKAGES)('ws') // Node 20 has none of its own
const ws = new WebSocket(`${process.env.BASE_URL.replace('http', 'ws')}/ws?token=${readFileSync(process.env.TOKEN_FILE, 'utf8')}`);
ws.onmessage = function(event) {
    const data = JSON.parse(event.data);
    console.log('Event:', data);
};
