// The program as the checks use it: its commands, and servers that end with the test.
import {spawn, spawnSync} from 'node:child_process';
import {existsSync} from 'node:fs';

export class Program {
  #running = new Set();
  constructor(path, folder) { this.path = path; this.folder = folder; }

  // What a command prints.
  run(...parts) {
    const result = spawnSync(this.path, parts, {cwd: this.folder, encoding: 'utf8', maxBuffer: 1 << 28});
    if (result.status !== 0) throw new Error(`aviary ${parts.join(' ')}: ${result.stderr}`);
    return result.stdout;
  }
  // Lets a command run until this file is there, then stops it as Ctrl-C does.
  async interrupted(file, ...parts) {
    const child = spawn(this.path, parts, {cwd: this.folder, stdio: 'ignore'});
    const ended = new Promise((done) => child.on('exit', done));
    this.#running.add(child);
    while (!existsSync(file) && child.exitCode === null) await new Promise((done) => setTimeout(done, 20));
    child.kill('SIGINT');
    await ended;
    this.#running.delete(child);
  }
  // The address of a server that has been started.
  serve(...parts) {
    const child = spawn(this.path, [...parts, '--port', '0'], {cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe']});
    this.#running.add(child);
    let output = '', errors = '';
    child.stderr.on('data', (data) => { errors += data; });
    return new Promise((done, fail) => {
      child.stdout.on('data', (data) => {
        const found = (output += data).match(/(?:Listening on|look at) (http:\/\/[^\s/]+)/);
        if (found) done(found[1]);
      });
      child.on('exit', (code) => { this.#running.delete(child); fail(new Error(`aviary ${parts.join(' ')} ended with ${code}: ${errors}`)); });
    });
  }
  end() { for (const child of this.#running) child.kill('SIGKILL'); }
}
