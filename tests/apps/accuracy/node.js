// node's own `http` at both sides, as plan.py says: `node.js PORT`. The hop is a timer and then `setImmediate`.
'use strict';
const http = require('node:http');

const { HOW, IDS, LEAF } = process.env;
const agent = new http.Agent({ keepAlive: true });
const sleep = () => new Promise((done) => setTimeout(done, Math.random() * 3));

function targets(path) {
  const request = path.slice(1);
  const shown = IDS === 'plain' ? request : [...request].reverse().join('');
  return Array.from({ length: 1 + (parseInt(request, 16) % 3) }, (_, n) => `/call/${shown}/${n}`);
}

async function call(path) {
  await sleep();
  await new Promise((done, failed) => {
    const asked = http.get({ host: '127.0.0.1', port: LEAF, path, agent }, (answer) => {
      answer.resume().on('end', done);
    });
    asked.on('error', failed);
  });
}

async function inTurn(paths) {
  for (const path of paths) await call(path);
}

async function parallel(paths) {
  await Promise.all(paths.map(call));
}

function hop(paths) {
  return new Promise((done, failed) => {
    setTimeout(() => setImmediate(() => inTurn(paths).then(done, failed)), Math.random() * 3);
  });
}

const make = { turn: inTurn, parallel, hop }[HOW];
const server = http.createServer(async (request, response) => {
  await make(targets(request.url));
  response.end('ok\n');
});
server.keepAliveTimeout = 60000;
server.listen(Number(process.argv[2]), '127.0.0.1');
