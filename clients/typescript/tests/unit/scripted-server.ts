import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";

/** What a test has the server do with a connection: `query` is the client's. */
export interface Script {
  socket?: (socket: WebSocket, query: URLSearchParams, protocols: string[], path: string) => void;
  sse?: (response: ServerResponse, query: URLSearchParams) => void;
  /** Answer upgrades with this status instead of a WebSocket; 0 drops the connection. */
  refuseSockets?: number;
  /** Seconds that tokens are good for. */
  tokenSeconds?: number;
  /** Status of the answer to a question for a token. */
  tokenStatus?: number;
  /** What other addresses are answered: HTML, or JavaScript for those that end in `.js`. */
  page?: (path: string) => Promise<string | Buffer>;
  /** What a question for the task's status is answered. */
  status?: object;
  /** What a question for the wheel is answered; with a `title` it is a problem. */
  wheel?: { state?: string; title?: string; status?: number; detail: string };
}

/** A real HTTP and WebSocket server that says what a test wants said. */
export class ScriptedServer {
  /** Tokens that were made. */
  tokens = 0;
  /** WebSockets and answers that have not ended. Not connections: `fetch` keeps idle ones to use them again. */
  readonly open = new Set<object>();
  private readonly connections = new Set<Socket>();
  private readonly http: Server;
  private readonly sockets = new WebSocketServer({ noServer: true });

  private constructor(private readonly script: Script) {
    this.http = createServer((request, response) => this.answer(request, response));
    this.http.on("connection", (socket) => {
      this.connections.add(socket);
      socket.on("close", () => this.connections.delete(socket));
    });
    this.http.on("upgrade", (request, socket, head) => {
      const { refuseSockets } = this.script;
      if (refuseSockets !== undefined) {
        socket.end(refuseSockets ? `HTTP/1.1 ${refuseSockets} No\r\nContent-Length: 0\r\n\r\n` : undefined);
        return;
      }
      this.sockets.handleUpgrade(request, socket, head, (made) => {
        this.track(made);
        const protocols = (request.headers["sec-websocket-protocol"] ?? "").split(/, */);
        const { pathname } = new URL(request.url ?? "/", "http://unknown");
        this.script.socket?.(made, queryOf(request), protocols, pathname);
      });
    });
  }

  static async start(script: Script): Promise<ScriptedServer> {
    const server = new ScriptedServer(script);
    await new Promise<void>((resolve) => server.http.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.http.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.connections) socket.destroy();
    this.sockets.close();
    await new Promise((resolve) => this.http.close(resolve));
  }

  private track(stream: WebSocket | ServerResponse): void {
    this.open.add(stream);
    stream.on("close", () => this.open.delete(stream));
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    this.track(response);
    if (request.url?.startsWith("/api/auth/stream-token")) {
      this.tokens += 1;
      const status = this.script.tokenStatus ?? 200;
      const seconds = this.script.tokenSeconds ?? 600;
      const expires_at = new Date(Date.now() + seconds * 1000).toISOString();
      response.writeHead(status, { "Content-Type": "application/json", Connection: "close" });
      response.end(JSON.stringify({ token: `token-${this.tokens}`, expires_at, title: "No", detail: "no" }));
    } else if (this.script.wheel && request.url?.startsWith("/api/scraper/control/")) {
      response.writeHead(this.script.wheel.status ?? 200, {
        "Content-Type": "application/json",
        Connection: "close",
      });
      response.end(JSON.stringify(this.script.wheel));
    } else if (this.script.status && request.url?.startsWith("/api/scraper/status/")) {
      response.writeHead(200, { "Content-Type": "application/json", Connection: "close" });
      response.end(JSON.stringify(this.script.status));
    } else if (this.script.sse) {
      this.script.sse(response, queryOf(request));
    } else if (this.script.page) {
      const { pathname } = new URL(request.url ?? "/", "http://unknown");
      const type = pathname.endsWith(".js") ? "text/javascript" : "text/html";
      void this.script
        .page(pathname)
        .then((body) => response.writeHead(200, { "Content-Type": type }).end(body));
    } else {
      response.writeHead(503, { Connection: "close" }).end();
    }
  }
}

function queryOf(request: IncomingMessage): URLSearchParams {
  return new URL(request.url ?? "/", "http://unknown").searchParams;
}

export function connected(retryMs = 1): string {
  return JSON.stringify({ type: "connected", retry_ms: retryMs, id: "0-0" });
}

export function log(id: string, message = id): string {
  return JSON.stringify({ type: "log", id, timestamp: "2026-01-01T00:00:00.000Z", level: "info", message });
}

export function completed(id: string): string {
  return JSON.stringify({ type: "task_completed", id, timestamp: "2026-01-01T00:00:00.000Z", data: {} });
}

export function openSse(response: ServerResponse): void {
  response.writeHead(200, { "Content-Type": "text/event-stream", Connection: "close" });
}
