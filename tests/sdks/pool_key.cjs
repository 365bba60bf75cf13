// The vendor's spec takes its options from a helper that knows the public key of Authing's own servers. Passwords must come
// under the pool's, as for everybody who runs a server of their own; the vendor's files stay as they are.
'use strict';
const path = require('node:path');

const helper = require(path.resolve('build/main/lib/testing-helper'));
const { getOptionsFromEnv } = helper;
helper.getOptionsFromEnv = () => ({ ...getOptionsFromEnv(), publicKey: process.env.AUTHING_PUBLIC_KEY });
