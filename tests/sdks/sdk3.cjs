// A client of authing-js-sdk 3.22.3, which asks its host for the owner's token as soon as it is constructed. Tokens belong
// to the whole process there: one process is one user, or the owner as long as nobody has logged in.
'use strict';
const Authing = require('sdk3');
const { serve } = require('./lines.cjs');

async function main() {
  const { host, userPoolId, secret } = JSON.parse(process.argv[2]);
  const known = await (await fetch(`${host}/api/v2/.well-known`)).json();
  const url = `${host}/graphql`;
  const authing = new Authing({
    userPoolId,
    secret,
    host: { user: url, oauth: url },
    passwordEncPublicKey: known.data.publicKey,
  });
  await authing.fetchToken;
  await serve(authing);
}

main();
