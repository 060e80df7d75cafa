// The service, asked by at most two requests at a time; a busy one is asked again when it says so.
const MOST = 2;
const BUSY = new Set([429, 503]);
const TRIES = { busy: 20, gone: 5 };

export class Refusal extends Error {
  constructor(status, error, request = "") {
    super(error.message || "");
    Object.assign(this, { status, code: error.code || "fault", hint: error.hint || "", request });
  }
}

function patience(answer, tries) {
  const said = answer?.headers.get("Retry-After");
  const seconds = said && /^\d+$/.test(said) ? Number(said) : (Date.parse(said ?? "") - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(120, Math.max(1, Math.ceil(seconds))) : Math.min(30, 2 ** tries);
}

async function failed(answer) {
  try {
    const told = await answer.json();
    return new Refusal(answer.status, told.error ?? {}, told.request_id ?? "");
  } catch {
    return new Refusal(answer.status, { code: answer.status === 401 ? "no_key" : "fault" });
  }
}

export class Service {
  // `wait` is told ("busy" or "gone", seconds) when the queue rests, and (null) when it goes on.
  constructor(wait) {
    this.wait = wait;
    this.queue = [];
    this.flying = 0;
    this.resting = null;
  }

  async models() {
    const answer = await fetch("models", { cache: "no-store" });
    if (!answer.ok) throw await failed(answer);
    const given = await answer.json();
    return Array.isArray(given) ? given : given.models;
  }

  // One file by one model; `layers()` names the layers when it is sent, `first` goes before what waits, `began` is called
  // when it is sent.
  predict(file, { model, layers, began, first = false }) {
    const path = () => {
      const wanted = layers();
      return `predict?${new URLSearchParams(wanted ? { model, with: wanted } : { model })}`;
    };
    return this.ask({ path, file, began, read: (answer) => answer.json() }, first);
  }

  objects(file, { model, rule }) {
    const query = new URLSearchParams(rule ? { model, rule } : { model });
    return this.ask({ path: () => `objects?${query}`, file, read: (answer) => answer.blob() }, true);
  }

  ask(job, first) {
    return new Promise((resolve, reject) => {
      Object.assign(job, { resolve, reject, tries: 0 });
      if (first) this.queue.unshift(job);
      else this.queue.push(job);
      this.pump();
    });
  }

  // What has not been sent is not asked any more: its promise is refused with the code `stopped`.
  drop(files = null) {
    const gone = this.queue.filter((job) => !files || files.has(job.file));
    this.queue = this.queue.filter((job) => !gone.includes(job));
    for (const job of gone) job.reject(new Refusal(0, { code: "stopped" }));
  }

  urgent(file) {
    const wanted = this.queue.filter((job) => job.file === file);
    if (wanted.length) this.queue = [...wanted, ...this.queue.filter((job) => job.file !== file)];
  }

  pump() {
    while (!this.resting && this.flying < MOST && this.queue.length) {
      this.flying += 1;
      this.send(this.queue.shift()).finally(() => {
        this.flying -= 1;
        this.pump();
      });
    }
  }

  async send(job) {
    job.began?.();
    let body;
    try {
      // the bytes alone, not a form: a form would tell the file's name
      body = await job.file.arrayBuffer();
    } catch {
      return job.reject(new Refusal(0, { code: "unreadable" }));
    }
    let answer = null;
    try {
      const headers = { "Content-Type": "application/octet-stream" };
      answer = await fetch(job.path(), { method: "POST", body, headers, cache: "no-store" });
      if (answer.ok) return job.resolve(await job.read(answer));
    } catch {
      answer = null;
    }
    const kind = answer ? "busy" : "gone";
    if (answer && !BUSY.has(answer.status)) return job.reject(await failed(answer));
    job.tries += 1;
    if (job.tries >= TRIES[kind]) {
      return job.reject(answer ? await failed(answer) : new Refusal(0, { code: "unreachable" }));
    }
    this.queue.unshift(job);
    this.rest(kind, patience(answer, job.tries));
  }

  rest(kind, seconds) {
    if (this.resting) return;
    const until = Date.now() + seconds * 1000;
    const tick = () => {
      const left = Math.ceil((until - Date.now()) / 1000);
      if (left <= 0) this.wake();
      else this.wait(kind, left);
    };
    this.resting = setInterval(tick, 500);
    this.wait(kind, seconds);
  }

  wake() {
    clearInterval(this.resting);
    this.resting = null;
    this.wait(null, 0);
    this.pump();
  }
}
