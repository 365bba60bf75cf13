// A client of authing-js-sdk 4 for one user; `management.…` is the owner's; `document` sends a GraphQL document that the
// package ships without a method for it.
'use strict';
const { AuthenticationClient, ManagementClient } = require('authing-js-sdk');
const documents = require('authing-js-sdk/build/main/types/graphql.v2');
const { serve } = require('./lines.cjs');

const { host, userPoolId, secret, lang } = JSON.parse(process.argv[2]);
const client = new AuthenticationClient({ appId: 'example', appHost: host, lang });
if (secret) client.management = new ManagementClient({ userPoolId, secret, host });

serve(client, {
  document: (name, variables) =>
    client.graphqlClient.request({ query: documents[name], variables, token: client.tokenProvider.getToken() }),
});
