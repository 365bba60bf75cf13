// better-auth with its plugin twoFactor, on better-sqlite3. Passwords are compared in plain, for hashing is not
// compared here; rate limits are off, for they go by the address, and all callers have the same.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.BENCH_NODE}/package.json`);
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { betterAuth } = await load("better-auth");
const { twoFactor } = await load("better-auth/plugins");
const Database = require("better-sqlite3");

export { load };
export const secret = "a benchmark's, which is long enough for it to be content";
export const db = new Database(process.env.BENCH_FILE);
db.pragma("journal_mode = WAL");
db.pragma("synchronous = FULL");
export const options = {
  baseURL: `http://127.0.0.1:${process.env.PORT ?? 1}`,
  trustedOrigins: ["http://benchmark.example.com"],
  secret,
  database: db,
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  logger: { level: "error" },
  emailAndPassword: {
    enabled: true,
    password: { hash: async (plain) => plain, verify: async ({ hash, password }) => hash === password },
  },
  plugins: [twoFactor({ issuer: "benchmark" })],
};
export const auth = betterAuth(options);
