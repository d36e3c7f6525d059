/** When a silent connection is asked, and when it is given up. All in milliseconds. */
export interface HeartbeatTimes {
  /** Silence after which we ask whether anybody is there. */
  readonly intervalMs: number;
  /** Silence after which nobody is. */
  readonly timeoutMs: number;
  /** How long a greeting may take after we began to connect. */
  readonly connectMs: number;
}

/** Server-Sent Events cannot be asked, and have a comment every 15 s when nothing happens. */
export const HEARTBEAT: HeartbeatTimes = { intervalMs: 10_000, timeoutMs: 25_000, connectMs: 10_000 };

/** The network may be another one, or none: an answer is due at once, or the connection is dead. */
const WAKE_TIMEOUT_MS = 5_000;

/** Tells when a connection has fallen silent: cut lines and sleeping machines end no connection by themselves. */
export class Heartbeat {
  // the wall clock: others stand still while the machine sleeps
  private heardAt = Date.now();
  private greeted = false;
  private stopped = false;
  private readonly timer: ReturnType<typeof setInterval>;
  private readonly once = new Set<ReturnType<typeof setTimeout>>();

  /**
   * @param dead called at most once, with a sentence
   * @param ping asks the other side to say something, where the protocol can
   */
  constructor(
    private readonly times: HeartbeatTimes,
    private readonly dead: (why: string) => void,
    private readonly ping?: () => void,
  ) {
    this.timer = setInterval(() => this.look(), Math.min(times.intervalMs, times.timeoutMs) / 2);
    this.later(times.connectMs, () => {
      if (!this.greeted) this.die(`no greeting within ${times.connectMs} ms`);
    });
  }

  /** Something came. */
  heard(): void {
    this.greeted = true;
    this.heardAt = Date.now();
  }

  /** The machine woke up, or its network came, went or changed. */
  wake(): void {
    this.look();
    if (this.stopped || !this.greeted || !this.ping) return;
    const before = Date.now();
    this.ping();
    this.later(WAKE_TIMEOUT_MS, () => {
      if (this.heardAt < before) this.die("no answer after the network changed or the page came back");
    });
  }

  stop(): void {
    this.stopped = true;
    clearInterval(this.timer);
    for (const timer of this.once) clearTimeout(timer);
    this.once.clear();
  }

  private look(): void {
    if (!this.greeted) return;
    const silent = Date.now() - this.heardAt;
    if (silent >= this.times.timeoutMs) this.die(`silent for ${silent} ms`);
    else if (silent >= this.times.intervalMs) this.ping?.();
  }

  private later(ms: number, act: () => void): void {
    this.once.add(setTimeout(act, ms));
  }

  private die(why: string): void {
    this.stop();
    this.dead(why);
  }
}
