// A server of node's `http` module that writes down what it was asked, as app.py does.
'use strict';
const fs = require('node:fs');
const { execFile } = require('node:child_process');
const http = require('node:http');

const log = fs.openSync(process.env.TRUTH_LOG, 'a');
const now = () => Number(process.hrtime.bigint() - base.monotonic) + base.epoch;
const base = { monotonic: process.hrtime.bigint(), epoch: Date.now() * 1e6 };

function write(request, status, begin) {
  const line = { pid: process.pid, method: request.method, target: request.url, status, begin, end: now() };
  fs.writeSync(log, JSON.stringify(line) + '\n');
}

const server = http.createServer((request, response) => {
  const begin = now();
  const content = [];
  request.on('data', (chunk) => content.push(chunk));
  request.on('end', () => {
    const action = request.url.split('?')[0].split('/').pop();
    const status = action.startsWith('status-') ? Number(action.slice(7)) : 200;
    write(request, status, begin);
    if (action === 'destroy') {
      request.socket.destroy();
      return;
    }
    response.statusCode = status;
    if (action === 'launch') {
      const wait = Number(new URL(request.url, 'http://h').searchParams.get('ms'));
      setTimeout(() => execFile('true', () => response.end('done')), wait);
      return;
    }
    if (action === 'stream') {
      response.write('one ');
      response.write('HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n');
      response.end(' three');
    } else {
      response.end(action === 'echo' ? Buffer.concat(content) : 'hello\n');
    }
  });
});

// What follows the 101 is the other protocol's, here an echo, whatever it looks like.
server.on('upgrade', (request, socket) => {
  write(request, 101, now());
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  socket.pipe(socket);
});

server.on('connect', (request, socket) => {
  write(request, 200, now());
  socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
  socket.pipe(socket);
});

server.keepAliveTimeout = 60000;
server.listen(Number(process.argv[2]), '127.0.0.1');
