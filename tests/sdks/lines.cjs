// Reads calls as lines of JSON, and answers each with one; see clients.py.
'use strict';
const readline = require('node:readline');

/** Calls `a.b.c` of the client, or a function of `more` that has the whole name. */
function find(client, more, name) {
  if (more[name]) return more[name];
  const steps = name.split('.');
  const last = steps.pop();
  const owner = steps.reduce((one, step) => one[step], client);
  return owner[last].bind(owner);
}

function described(error) {
  const { name, code, message, data, response } = error;
  return { name, code, message, data, status: response?.status, body: response?.data };
}

async function serve(client, more = {}) {
  const answer = (what) => process.stdout.write(JSON.stringify(what) + '\n');
  console.log = console.error;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { call, arguments: given } = JSON.parse(line);
    try {
      answer({ value: await find(client, more, call)(...given) });
    } catch (error) {
      answer({ thrown: described(error) });
    }
  }
}

module.exports = { serve };
