/** Events that have come and were not asked for yet, for one consumer. */
export class EventBuffer<T> {
  private readonly items: T[] = [];
  private readonly waiting: { resolve(result: IteratorResult<T>): void; reject(error: Error): void }[] = [];
  private readonly roomy = new Set<() => void>();
  private ended = false;
  private error: Error | undefined;

  /** @param limit how many events it holds before it is full */
  constructor(private readonly limit: number) {}

  /** Take an event. @returns whether another one may come */
  push(item: T): boolean {
    const consumer = this.waiting.shift();
    if (consumer) consumer.resolve({ value: item, done: false });
    else this.items.push(item);
    return this.items.length < this.limit;
  }

  /** No event comes any more; those that are here can still be had, then `error` is thrown if there is one. */
  end(error?: Error): void {
    if (this.ended) return;
    this.ended = true;
    this.error = error;
    for (const consumer of this.waiting.splice(0)) this.settle(consumer);
    this.releaseRoom();
  }

  /** Forget what was not asked for. */
  clear(): void {
    this.items.length = 0;
  }

  next(): Promise<IteratorResult<T>> {
    return new Promise((resolve, reject) => {
      const item = this.items.shift();
      if (item !== undefined) resolve({ value: item, done: false });
      else if (this.ended) this.settle({ resolve, reject });
      else this.waiting.push({ resolve, reject });
      if (this.items.length <= this.limit / 2) this.releaseRoom();
    });
  }

  /** Returns once it is at most half full, or has ended. */
  room(): Promise<void> {
    if (this.ended || this.items.length <= this.limit / 2) return Promise.resolve();
    return new Promise((resolve) => {
      this.roomy.add(resolve);
    });
  }

  private settle(consumer: { resolve(result: IteratorResult<T>): void; reject(error: Error): void }): void {
    const error = this.error;
    this.error = undefined; // an iterator throws once and is done then
    if (error) consumer.reject(error);
    else consumer.resolve({ value: undefined, done: true });
  }

  private releaseRoom(): void {
    for (const resolve of this.roomy) resolve();
    this.roomy.clear();
  }
}
