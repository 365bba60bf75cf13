// Serves it, on Node's own server.
import http from "node:http";
import { auth, load } from "./auth.mjs";

const { toNodeHandler } = await load("better-auth/node");
const server = http.createServer({ keepAliveTimeout: 75_000 }, toNodeHandler(auth));
server.listen(Number(process.env.PORT), "127.0.0.1");
process.on("SIGTERM", () => process.exit(0));
