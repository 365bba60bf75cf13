// Makes the tables and the users. Standard input is a JSON list of [email, password, secret].
import fs from "node:fs";
import { auth, db, load, options, secret } from "./auth.mjs";

const { getMigrations } = await load("better-auth/db/migration");
const { symmetricEncrypt } = await load("better-auth/crypto");
await (await getMigrations(options)).runMigrations();

const now = new Date().toISOString();
const user = db.prepare(
  'insert into "user" (id, name, email, emailVerified, createdAt, updatedAt, twoFactorEnabled) values (?, ?, ?, 1, ?, ?, 1)',
);
const account = db.prepare(
  "insert into account (id, accountId, providerId, userId, password, createdAt, updatedAt) values (?, ?, 'credential', ?, ?, ?, ?)",
);
const factor = db.prepare(
  "insert into twoFactor (id, secret, backupCodes, userId, verified, failedVerificationCount) values (?, ?, '', ?, 1, 0)",
);
const sealed = new Map();
const people = JSON.parse(fs.readFileSync(0, "utf8"));
for (const [, , text] of people) {
  if (!sealed.has(text)) sealed.set(text, await symmetricEncrypt({ key: secret, data: text }));
}
db.transaction(() => {
  people.forEach(([email, password, text], number) => {
    user.run(`user${number}`, `user${number}`, email, now, now);
    account.run(`account${number}`, `user${number}`, `user${number}`, password, now, now);
    factor.run(`factor${number}`, sealed.get(text), `user${number}`);
  });
})();
