/** A real terminal: types into a shell in tmux, and takes pictures of what it shows. */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { cleanEnv } from "./cli.js";
import { debianProgram } from "./linters.js";

/** What a command left on the screen. */
interface Shown {
  exitCode: number;
  /** The lines between the command and the next prompt. A line wider than the terminal has wrapped. */
  lines: string[];
}

/** The prompt shows the exit code of the last command. */
const PROMPT = /^(\d+)> *$/;
const WITHIN_MS = 60_000;
const LOOK_EVERY_MS = 50;

export class Terminal {
  /** The tmux command, with a server for this terminal only. */
  private readonly command: string[];

  private constructor(program: string, socket: string) {
    this.command = [program, "-S", socket];
  }

  /** Opens a terminal that shows only a prompt. Its socket is in `cwd`, its variables are `env` without NO_COLOR. */
  static async open(columns: number, cwd: string, env: NodeJS.ProcessEnv): Promise<Terminal> {
    const socket = join(cwd, `${randomBytes(6).toString("hex")}.tmux`);
    const terminal = new Terminal(await debianProgram("tmux", "tmux", "usr/bin/tmux"), socket);
    const shell = { PROMPT_COMMAND: 'PS1="$?> "', HISTFILE: "", NO_COLOR: undefined };
    const size = ["-x", String(columns), "-y", "30"];
    terminal.tmux(["-f", "/dev/null", "new-session", "-d", ...size, "-c", cwd, "bash --noprofile --norc"], {
      ...cleanEnv(),
      ...shell,
      ...env,
    });
    terminal.tmux(["set-option", "-g", "status", "off"]);
    await waitUntil(
      () => terminal.picture(),
      ([line = ""]) => PROMPT.test(line),
    );
    return terminal;
  }

  /** Types a command and waits for its end. */
  async run(command: string): Promise<Shown> {
    this.type(command);
    return this.end();
  }

  /** Types a command with Enter. It must be the first of this terminal. */
  type(command: string): void {
    this.write(command);
    this.press("Enter");
  }

  /** Types without Enter. */
  write(text: string): void {
    this.tmux(["send-keys", "-l", "--", text]);
  }

  /** Presses a key, by tmux's name: `C-c`, `Enter`. */
  press(key: string): void {
    this.tmux(["send-keys", key]);
  }

  /** Waits until the shell asks for the next command. */
  async end(): Promise<Shown> {
    const lines = await this.waitFor((all) => all.length > 0 && PROMPT.test(all.at(-1) as string));
    return { exitCode: Number(PROMPT.exec(lines.at(-1) as string)?.[1]), lines: lines.slice(0, -1) };
  }

  /** Waits until the lines below the command are as wanted. If they never are, throws with what they are. */
  waitFor(isWanted: (lines: string[]) => boolean): Promise<string[]> {
    return waitUntil(() => this.picture("-S", "-").slice(1), isWanted);
  }

  /** The lines below the command, with colours as escape sequences. */
  coloured(): string {
    return this.picture("-S", "-", "-e").slice(1).join("\n");
  }

  get isCursorShown(): boolean {
    return this.tmux(["display-message", "-p", "#{cursor_flag}"]).trim() === "1";
  }

  /** Whether a line that is too long continues on the next one. */
  get isWrapping(): boolean {
    return this.tmux(["display-message", "-p", "#{wrap_flag}"]).trim() === "1";
  }

  close(): void {
    this.tmux(["kill-server"]);
  }

  /** Without empty lines at the end. */
  private picture(...options: string[]): string[] {
    const text = this.tmux(["capture-pane", "-p", "-J", ...options]);
    return text
      .trimEnd()
      .split("\n")
      .map((line) => line.trimEnd());
  }

  private tmux(args: string[], env: NodeJS.ProcessEnv = process.env): string {
    const [program, ...server] = this.command;
    const { status, stdout, stderr } = spawnSync(program as string, [...server, ...args], {
      env,
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(`tmux ${args.join(" ")}: ${stderr}`);
    return stdout;
  }
}

async function waitUntil(look: () => string[], isWanted: (lines: string[]) => boolean): Promise<string[]> {
  for (const deadlineMs = Date.now() + WITHIN_MS; ; await setTimeout(LOOK_EVERY_MS)) {
    const lines = look();
    if (isWanted(lines)) return lines;
    if (Date.now() > deadlineMs) throw new Error(`the terminal shows:\n${lines.join("\n")}`);
  }
}
