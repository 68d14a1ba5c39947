/** Starts moto's server as Glue and Athena, from a virtual environment in the cache. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { cacheDir, madeOnce } from "./cache.js";
import { freePort, onPath, runToEnd, startServer } from "./processes.js";

const MOTO = "5.2.5";

export interface Moto {
  endpoint: string;
  stop(): Promise<void>;
}

export async function startMoto(): Promise<Moto> {
  const venv = join(cacheDir(), `moto-${MOTO}`);
  const done = join(venv, "installed");
  await madeOnce(
    `moto-${MOTO}`,
    () => (existsSync(done) ? done : undefined),
    async () => {
      if (!onPath("python3")) {
        throw new Error(
          "the Glue and Athena tests need moto: install Python 3.10 or later with venv (moto is then installed once)",
        );
      }
      process.stderr.write(`installing moto ${MOTO} into ${cacheDir()}\n`);
      await runToEnd("python3", ["-m", "venv", venv]);
      await runToEnd(join(venv, "bin/pip"), ["install", "--quiet", `moto[server,glue,athena]==${MOTO}`]);
      await runToEnd("touch", [done]);
    },
  );
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const server = await startServer(
    "moto",
    join(venv, "bin/moto_server"),
    ["-H", "127.0.0.1", "-p", String(port)],
    {},
    async () => (await fetch(`${endpoint}/moto-api/data.json`)).ok,
  );
  return { endpoint, stop: server.stop };
}
