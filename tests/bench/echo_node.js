// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Node's echo server, for tests/bench/bench: prints its port, ends with its last connection.

'use strict';
const net = require('node:net');

let open = 0;
const server = net.createServer({noDelay: true}, (socket) => {
  open += 1;
  socket.on('data', (data) => socket.write(data));
  socket.on('error', () => {});
  socket.on('close', () => {
    open -= 1;
    if (open === 0) {
      process.exit();
    }
  });
});
server.listen({host: '127.0.0.1', port: 0, backlog: 1024}, () => console.log(server.address().port));
